"""A network that is well and hosts that are not; and paths that change."""

import socket
import time

from ..lab import scenario
from ..rules import Hold, both
from ..services import FILLER, Service, ask, connect, exchange, feed, read, together, tolerant
from ..web import Nginx, curl
from .opening import FORWARD, attempts
from .asymmetric import talk

PROXY = """
upstream pool {{ {servers} }}
server {{
  listen 8000;
  location / {{
    proxy_pass http://pool;
    proxy_read_timeout {patience};
    proxy_connect_timeout 2s;
    proxy_next_upstream off;
  }}
}}
"""


@scenario
def slow_server(lab):
    """A server acknowledges every request at once and answers some seconds later; another is quick. The network is well."""
    site = lab.site(rtt=9, jitter=0.3)
    slow, quick, client = site.server("slow"), site.server("quick"), site.client()
    Service(slow, 8080, exchange(think=1.9))
    Service(quick, 8080, exchange(think=0.004))
    with lab.capture(site, "client side"):
        with connect(client, slow, 8080) as one, connect(client, quick, 8080) as two:
            for size in (300, 900, 2000, 4000):
                together(lambda: ask(one, size), lambda: [ask(two, size) for _ in range(4)])
    lab.truth.expect("slow_server", server=slow.v4, port=8080)
    lab.truth.shows = f"ip.src == {slow.v4} && tcp.srcport == 8080 && tcp.len > 0"


@scenario
def proxy_504(lab):
    """A proxy waits two seconds for its upstream, which does not answer in time: 504 to the client, and a connection given up."""
    site = lab.site(rtt=6, jitter=0.2)
    proxy, upstream, client = site.client("proxy"), site.server("upstream"), site.client()

    def late(connection):
        connection.recv(2000)
        time.sleep(4)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    Service(upstream, 9001, late)
    Nginx(proxy).own(PROXY.format(servers=f"server {upstream.v4}:9001;", patience="2s")).start()
    with lab.capture(site, "client side"):
        together(*(lambda number=number: curl(client, f"http://{proxy.v4}:8000/report{number}") for number in range(4)))
        time.sleep(2.5)
    lab.truth.expect("http_error", server=proxy.v4, port=8000)
    lab.truth.expect("slow_server", server=upstream.v4, port=9001)
    lab.truth.shows = "http.response.code == 504"


@scenario
def proxy_502(lab):
    """One of a proxy's three upstreams is not running: a third of the answers is 502."""
    site = lab.site(rtt=5, jitter=0.2)
    proxy, client = site.client("proxy"), site.client()
    upstreams = [site.server(f"upstream{number}") for number in range(3)]
    for upstream in upstreams[:2]:
        Nginx(upstream).plain(9002).start()
    pool = " ".join(f"server {upstream.v4}:9002 max_fails=0;" for upstream in upstreams)
    Nginx(proxy).own(PROXY.format(servers=pool, patience="5s")).start()
    with lab.capture(site, "client side"):
        for _ in range(15):
            curl(client, f"http://{proxy.v4}:8000/small")
            time.sleep(0.1)
    lab.truth.expect("http_error", server=proxy.v4, port=8000)
    lab.truth.expect("connection_refused", server=upstreams[2].v4, port=9002)
    lab.truth.shows = "http.response.code == 502"


@scenario
def bad_backend(lab):
    """Of four backends of a service, one resets most connections after the request; clients ask each of them."""
    site = lab.site(rtt=11, jitter=0.3)
    backends, client = [site.server(f"backend{number}") for number in range(4)], site.client()

    def broken(connection):
        # Closing with unread bytes is what makes a kernel send RST.
        connection.recv(1)
        connection.close()

    for number, backend in enumerate(backends):
        Service(backend, 8085, broken if number == 2 else exchange())
    with lab.capture(site, "client side"):
        for _ in range(8):
            for backend in backends:
                with tolerant(ValueError), connect(client, backend, 8085, timeout=3) as made:
                    ask(made, 400, padding=200)
    lab.truth.expect("rst_storm", variant="abort", severity="warning", server=backends[2].v4, port=8085)
    lab.truth.shows = f"ip.src == {backends[2].v4} && tcp.flags.reset == 1"


@scenario
def zero_window(lab):
    """A client stops reading for three seconds: its window closes, the server probes; then everything goes on."""
    site = lab.site(rtt=26, jitter=0.3)
    server, client = site.server(), site.client()
    Service(server, 8092, feed(12, 8000, 0.01, first=1))
    with lab.capture(site, "server side"):
        with connect(client, server, 8092, timeout=20, options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 8000)]) as made:
            made.sendall(b"s")
            time.sleep(3)
            while made.recv(4000):
                time.sleep(0.02)
    lab.truth.expect("zero_window", server=server.v4, port=8092)
    lab.truth.shows = "tcp.analysis.zero_window"


@scenario
def rtt_step(lab):
    """The path's round trip goes from 5 to 80 ms and stays there; nothing is lost."""
    site = lab.site(rtt=5, jitter=0.2, rules=both(Hold, 0.0375, phase=1))
    server, client = site.server(), site.client()
    Service(server, 8093, exchange())
    with lab.capture(site, "client side"):
        for phase in (0, 1):
            site.relay.phase = phase
            for _ in range(12):
                with connect(client, server, 8093) as made:
                    for _ in range(3):
                        ask(made, 400)
                time.sleep(0.05)
    lab.truth.expect("latency_shift", server=server.v4, port=8093)
    lab.truth.shows = "tcp.srcport == 8093 && tcp.analysis.ack_rtt"


@scenario
def routing_loop(lab):
    """Two routers send a network to each other: datagrams go round until their time to live ends, and a router says so."""
    site = lab.site(rtt=2, jitter=0.05)
    client = site.client()
    lost = f"10.{site.octet}.251"
    site.west.ip(f"route add {lost}.0/24 via 10.{site.octet}.0.2")
    site.east.ip(f"route add {lost}.0/24 via 10.{site.octet}.0.1")
    with lab.capture(site, "middle"):
        attempts(client, f"{lost}.9", 443, 3, 2.5)
    lab.truth.expect("routing_loop", severity="warning")
    lab.truth.allow("missing_syn_ack")
    lab.truth.shows = "icmp.type == 11 && icmp.code == 0"


@scenario
def duplicate_ip(lab):
    """Two hosts have one address: ARP requests for it get two answers, and connections break as the winner changes."""
    site = lab.site(rtt=8, jitter=0.2)
    server, client = site.server(mac="02:00:5e:20:00:01"), site.client()
    double = site.server("double", number=server.number, mac="02:00:5e:20:00:02")
    for node in (server, double):
        Service(node, 8094, exchange())
    site.east.set(**{"net.ipv4.neigh.lan.base_reachable_time_ms": 1000, "net.ipv4.neigh.lan.delay_first_probe_time": 1})
    with lab.capture(site, "server side"):
        for _ in range(4):
            with tolerant(ValueError), connect(client, server, 8094, timeout=3) as made:
                ask(made, 300)
                site.east.ip("neigh flush dev lan")
                time.sleep(0.5)
                ask(made, 300)
    lab.truth.expect("duplicate_ip", mentions=server.v4)
    # Half of them end at a host that knows nothing of the connection.
    lab.truth.allow("rst_storm")
    lab.truth.shows = f"arp.opcode == 2 && arp.src.proto_ipv4 == {server.v4}"


@scenario
def snat_port_reuse(lab):
    """A NAT uses a port again while the server still has the old connection in TIME-WAIT: a second is lost each time."""
    site = lab.site(rtt=43, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    # Without timestamps the server cannot tell a new connection from an old one by its clock.
    for client in clients:
        client.set(**{"net.ipv4.tcp_timestamps": 0})
    ports = f"10.{site.octet}.0.1:40000-40003"
    site.west.nft(f"""table ip nat {{ chain out {{ type nat hook postrouting priority 100;
  ip daddr {server.v4} tcp dport 8095 snat to {ports}
  }}
}}""")

    def closing(connection):
        connection.recv(200)
        connection.sendall(FILLER[:300])

    Service(server, 8095, closing)
    with lab.capture(site, "server side"):
        for _ in range(4):
            for client in clients:
                with tolerant(), connect(client, server, 8095, timeout=6) as made:
                    made.sendall(b"x" * 50)
                    read(made)
                # Once the last ACK has passed.
                time.sleep(0.2)
                site.west.forget()
    lab.truth.note("The NAT may translate a repeated SYN to another port.")
    lab.truth.sees_all = False
    lab.truth.expect("port_reuse", server=server.v4, port=8095)
    lab.truth.allow("missing_syn_ack")
    lab.truth.shows = "tcp.dstport == 8095 && tcp.analysis.reused_ports"


@scenario
def health_checks_blocked(lab):
    """Probes of a load balancer are dropped from a moment on; other clients of the same port go on well."""
    site = lab.site(rtt=7, jitter=0.2)
    server, client, balancer = site.server(), site.client(), site.client("balancer")
    Service(server, 8096, exchange())
    with lab.capture(site, "client side"):
        def probes():
            for number in range(16):
                if number == 6:
                    site.east.nft(FORWARD.format(f"ip saddr {balancer.v4} tcp dport 8096 drop"))
                started = time.monotonic()
                with tolerant(), connect(balancer, server, 8096, timeout=0.7):
                    pass
                time.sleep(max(0, 1 - time.monotonic() + started))

        together(probes, lambda: [(talk(client, server, 8096, 1), time.sleep(0.8)) for _ in range(14)])
        time.sleep(1.5)
    lab.truth.expect("health_check", severity="info", server=server.v4, port=8096)
    lab.truth.expect("missing_syn_ack", variant="silent", server=server.v4, port=8096)
    lab.truth.shows = f"ip.src == {balancer.v4} && tcp.flags.syn == 1"


@scenario
def close_wait_leak(lab):
    """A server does not close what its clients have closed: two dozen connections stay half open."""
    site = lab.site(rtt=15, jitter=0.3)
    server, client = site.server(), site.client()

    def forgets(connection):
        connection.sendall(FILLER[: int(connection.recv(100).split()[0])])
        connection.recv(1)
        time.sleep(30)

    Service(server, 8097, forgets)
    with lab.capture(site, "server side"):
        for _ in range(24):
            with connect(client, server, 8097) as made:
                ask(made, 200)
            time.sleep(0.2)
        time.sleep(2)
    lab.truth.note("The capture ends a few seconds later, so that what half-closed connections cost is not in it.")
    lab.truth.expect("half_close_leak", variant="server", server=server.v4, port=8097)
    lab.truth.shows = "tcp.dstport == 8097 && tcp.flags.fin == 1"
