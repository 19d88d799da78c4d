"""Connections that are reset, and idle ones that something forgot."""

import socket
import time

from ..frame import ACK, RST, SYN
from ..lab import scenario
from ..middlebox import Middlebox
from ..services import FILLER, Service, ask, connect, exchange, feed, read, reset_on_close, thread, together, tolerant
from .opening import attempts

STATEFUL = """table inet state { chain forward { type filter hook forward priority 0;
  tcp dport %d ct state invalid drop
  tcp dport %d ct state new tcp flags != syn drop
  }
}"""


def pool(clients, server, port, number, family=socket.AF_INET):
    """Connections that have been used once."""
    made = [connect(clients[index % len(clients)], server, port, family=family) for index in range(number)]
    for connection in made:
        ask(connection, 120)
    return made


def use(made, timeout=3):
    """Asks on every connection at nearly the same time, whatever comes of it."""

    def one(connection):
        connection.settimeout(timeout)
        with tolerant():
            ask(connection, 150)
        connection.close()

    works = []
    for connection in made:
        works.append(thread(one, connection))
        time.sleep(0.03)
    for work in works:
        work.join(timeout + 1)


@scenario
def server_rebooted(lab):
    """A server loses its state and is back a second later: every connection of the pool is reset by a host that knows none."""
    site = lab.site(rtt=14, jitter=0.4)
    server, clients = site.server(mac="02:00:5e:10:00:17"), [site.client(f"client{number}") for number in range(3)]
    first = Service(server, 5433, exchange())
    with lab.capture(site, "server side"):
        made = pool(clients, server, 5433, 30)
        # Its cable is pulled before its sockets are closed: nothing of that reaches the wire.
        server.ip("link del eth0")
        first.stop()
        booted = site.server("booted", number=server.number, mac="02:00:5e:10:00:17")
        Service(booted, 5433, exchange())
        time.sleep(1)
        use(made)
        for client in clients:
            attempts(client, server, 5433, 2, 3)
    lab.truth.expect("rst_storm", variant="no_socket", severity="warning", server=server.v4, port=5433, failed=30)
    lab.truth.shows = "tcp.srcport == 5433 && tcp.flags.reset == 1"


@scenario
def server_killed(lab):
    """A process dies with unread requests: its kernel resets their connections and refuses new ones, until it is restarted."""
    site = lab.site(rtt=29, jitter=0.4)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    first = Service(server, 9300, lambda connection: (read(connection, 5), connection.sendall(b"ready"), time.sleep(2.5)))
    with lab.capture(site, "client side"):
        made = [connect(clients[index % 3], server, 9300) for index in range(28)]
        for connection in made:
            connection.sendall(b"hello")
            read(connection, 5)
            connection.sendall(FILLER[:400])
        time.sleep(0.4)
        first.stop()
        for client in clients:
            attempts(client, server, 9300, 4, 2, pause=0.1)
        time.sleep(0.6)
        Service(server, 9300, exchange())
        for client in clients:
            attempts(client, server, 9300, 2, 2, pause=0.1)
        for connection in made:
            connection.close()
    lab.truth.expect("rst_storm", severity="warning", server=server.v4, port=9300, failed=[28, 40])
    lab.truth.allow("connection_refused")
    lab.truth.shows = "tcp.srcport == 9300 && tcp.flags.reset == 1"


@scenario
def service_stopped_ipv6(lab):
    """A service is not running while its clients ask for it again and again over IPv6: refused forty times in seconds."""
    site = lab.site(rtt=19, jitter=0.4)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(4)]
    with lab.capture(site, "middle"):
        together(*(lambda client=client: attempts(client, server, 8500, 11, 2, family=socket.AF_INET6, pause=0.15) for client in clients))
    lab.truth.expect("rst_storm", variant="refused", severity="warning", server=server.v6, port=8500, failed=44)
    lab.truth.allow("connection_refused")
    lab.truth.shows = "tcp.srcport == 8500 && tcp.flags.reset == 1"


def forgetful(lab, rtt, port, connections, vantage, idle, resets):
    """A firewall that forgets idle connections and drops their packets then, or answers them with RST in the server's name."""
    site = lab.site(rtt=rtt, jitter=0.4)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(2)]
    Service(server, port, exchange())
    site.west.nft(STATEFUL % (port, port))
    site.west.set(**{"net.netfilter.nf_conntrack_tcp_loose": 0})
    with lab.capture(site, vantage):
        made = pool(clients, server, port, connections)
        time.sleep(idle)
        site.west.forget()
        if resets:
            thread(reset_data, Middlebox(site.west, "lan"), server, port)
        use(made, timeout=5)
        for client in clients:
            attempts(client, server, port, 2, 2)
    return server


def reset_data(device, server, port):
    """Resets connections that were opened before the device watched."""
    known = set()
    for seen in device.segments(port):
        if seen.flags & SYN:
            known.add(seen.ports)
        elif seen.target == server.v4 and seen.payload and seen.ports not in known:
            device.send(seen.to_sender(RST | ACK, window=0))


@scenario
def firewall_forgets_silent(lab):
    """A firewall forgets idle connections and drops what comes on them: requests are repeated in vain, new connections open."""
    server = forgetful(lab, 37, 1521, 8, "client side", 6, resets=False)
    lab.truth.expect("idle_timeout", variant="silent", server=server.v4, port=1521)
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=1521)
    lab.truth.shows = "tcp.dstport == 1521 && tcp.analysis.retransmission"


@scenario
def firewall_forgets_rst(lab):
    """A firewall forgets idle connections and resets them in the server's name when they are used."""
    server = forgetful(lab, 33, 1522, 26, "client side", 5, resets=True)
    lab.truth.expect("rst_storm", severity="warning", server=server.v4, port=1522, failed=26)
    lab.truth.expect("idle_timeout", variant="reset", server=server.v4, port=1522)
    lab.truth.shows = "tcp.srcport == 1522 && tcp.flags.reset == 1"


@scenario
def keepalive_race(lab):
    """An upstream closes idle connections after a second, just when the proxy sends the next request: FIN and request cross."""
    site = lab.site(rtt=48)
    server, proxy = site.server("upstream"), site.client("proxy")

    def upstream(connection):
        connection.settimeout(1.0)
        with tolerant():
            while line := connection.recv(200):
                connection.sendall(FILLER[: int(line.split()[0])])

    Service(server, 8000, upstream)
    with lab.capture(site, "client side"):
        for _ in range(5):
            with connect(proxy, server, 8000) as made:
                ask(made, 700)
                # The FIN arrives a second after the answer did. Half a round trip before that, it is halfway.
                time.sleep(1.0 - site.rtt / 2 / 1000)
                with tolerant():
                    ask(made, 700)
    lab.truth.expect("keepalive_race", server=server.v4, port=8000)
    lab.truth.shows = "tcp.srcport == 8000 && tcp.flags.reset == 1"


@scenario
def rst_injected(lab):
    """A device on the path resets transfers in both hosts' names; its packets have another time to live."""
    site = lab.site(rtt=70, jitter=0.5)
    server, client = site.server(), site.client()
    Service(server, 8020, feed(40, 400, 0.05, first=60))
    with lab.capture(site, "client side"):
        for _ in range(4):
            device = Middlebox(site.west, "wan")
            thread(cut, device, server, 6)
            with tolerant(), connect(client, server, 8020, timeout=3) as made:
                made.sendall(FILLER[:60])
                read(made)
            device.close()
    lab.truth.expect("rst_injection", server=server.v4, port=8020)
    lab.truth.shows = f"tcp.flags.reset == 1 && ip.src == {server.v4} && ip.ttl > 200"


def cut(device, server, after):
    """Resets both ends once some of the server's packets have passed."""
    passing = (seen for seen in device.segments(8020) if seen.source == server.v4 and seen.payload)
    for number, seen in enumerate(passing):
        if number == after:
            device.send(seen.to_receiver(RST | ACK, ttl=243, window=0))
            device.send(seen.to_sender(RST | ACK, ttl=243, window=0))
            return


@scenario
def resets_benign(lab):
    """Sixty connections end by RST without harm: health checks, clients that have their answer, resets after FIN."""
    site = lab.site(rtt=9, jitter=0.3)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    Service(server, 8069, exchange())

    def probe():
        with connect(clients[0], server, 8069) as made:
            reset_on_close(made)

    def satisfied():
        with connect(clients[1], server, 8069) as made:
            ask(made, 900)
            reset_on_close(made)

    def after_fin():
        with connect(clients[2], server, 8069, family=socket.AF_INET6) as made:
            ask(made, 900)
            made.shutdown(socket.SHUT_WR)
            made.recv(1)
            reset_on_close(made)

    with lab.capture(site, "client side"):
        for _ in range(20):
            for way in (probe, satisfied, after_fin):
                way()
                time.sleep(0.05)
    lab.truth.shows = "tcp.dstport == 8069 && tcp.flags.reset == 1"
