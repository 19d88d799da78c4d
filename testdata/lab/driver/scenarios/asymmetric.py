"""Directions that do not take the same way, or not as well."""

import socket
import struct
import time

from ..frame import TO_SERVER
from ..lab import scenario
from ..net import Node
from ..records import rewrite
from ..rules import Strewn, data
from ..services import FILLER, Service, ask, connect, exchange, read, together, tolerant
from .opening import attempts

INVALID = """table inet state { chain forward { type filter hook forward priority 0;
  tcp dport %d ct state invalid drop
  tcp dport %d ct state new tcp flags != syn drop
  }
}"""


def back_road(site, server, *clients):
    """A second router between the two lans, which a server uses for what it sends to these clients, or to all."""
    back = Node(site.lab, "back")
    back.set(**{"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.send_redirects": 0})
    for lan, device in ((site.clients, "front"), (site.servers, "rear")):
        lan.router.ip(f"link add back type veth peer name {device} netns {back.namespace}", "link set back master lan up")
        back.ip(f"addr add {lan.v4[254]}/24 dev {device}", f"link set {device} up")
        back.plain(device)
        lan.router.plain("back")
    for target in [getattr(client, "v4", client) for client in clients] or ["default"]:
        server.ip(f"route replace {target} via {site.servers.v4[254]}")
    return back


@scenario
def asymmetric_one_direction(lab):
    """A mirror port delivers one direction of a service only: what the clients send."""
    lab.truth.sees_all = False
    site = lab.site(rtt=36, jitter=0.5)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 8080, exchange())
    with lab.capture(site, "client side", "not (tcp and src port 8080)"):
        together(*(lambda client=client: talk(client, server, 8080, 5) for client in clients))
    lab.truth.expect("asymmetric_flow", variant="visibility", server=server.v4, port=8080)
    lab.truth.shows = "tcp.dstport == 8080 && tcp.len > 0"


@scenario
def asymmetric_answers_only_ipv6(lab):
    """The other direction only, over IPv6: what the server sends."""
    lab.truth.sees_all = False
    site = lab.site(rtt=49, jitter=0.5)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 5044, exchange())
    with lab.capture(site, "server side", "not (tcp and dst port 5044)"):
        together(*(lambda client=client: talk(client, server, 5044, 5, socket.AF_INET6) for client in clients))
    # Their SYN-ACKs are there: none began before the capture.
    lab.truth.forbid_at = "info"
    lab.truth.expect("asymmetric_flow", variant="visibility", server=server.v6, port=5044)
    lab.truth.shows = "ipv6 && tcp.srcport == 5044 && tcp.len > 0"


def talk(client, server, port, times, family=socket.AF_INET):
    for _ in range(times):
        with connect(client, server, port, family=family) as made:
            for size in (300, 2500):
                ask(made, size, padding=100)
        time.sleep(0.1)


@scenario
def asymmetric_return_path(lab):
    """One server's answers come back through another router than its requests go to; nothing fails."""
    site = lab.site(rtt=14, jitter=0.3)
    server, other, client = site.server(), site.server("other"), site.client()
    for node in (server, other):
        Service(node, 8443, exchange())
    back_road(site, server)
    with lab.capture(site, "client side"):
        talk(client, server, 8443, 8)
        talk(client, other, 8443, 4)
    lab.truth.shows = f"tcp.srcport == 8443 && ip.src == {server.v4}"


@scenario
def asymmetric_state(lab):
    """The same, with a stateful firewall on the way to the server: it never sees the SYN-ACK and drops everything after it."""
    site = lab.site(rtt=21, jitter=0.3)
    server, other, clients = site.server(), site.server("other"), [site.client("client1"), site.client("client2")]
    for node in (server, other):
        Service(node, 8444, exchange())
    back_road(site, server)
    site.west.nft(INVALID % (8444, 8444))
    site.west.set(**{"net.netfilter.nf_conntrack_tcp_loose": 0})
    with lab.capture(site, "client side"):
        together(*(lambda client=client: attempts(client, server, 8444, 2, 5) for client in clients), lambda: talk(clients[0], other, 8444, 4))
        time.sleep(2)
    lab.truth.expect("asymmetric_flow", variant="state", severity="warning", server=server.v4, port=8444)
    lab.truth.allow("retransmission", "missing_syn_ack")
    lab.truth.shows = "tcp.srcport == 8444 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


def around_firewall(lab, rtt, port):
    """A server answers some clients through a router beside the stateful firewall; returns that router."""
    site = lab.site(rtt=rtt, jitter=0.3)
    server = site.server()
    near, far = [site.client("near1"), site.client("near2")], [site.client("far1"), site.client("far2")]
    Service(server, port, exchange())
    back = back_road(site, server, *far)
    site.west.nft(INVALID % (port, port))
    site.west.set(**{"net.netfilter.nf_conntrack_tcp_loose": 0})
    with lab.capture(site, "client side"):
        together(*(lambda client=client: attempts(client, server, port, 2, 4) for client in far),
                 *(lambda client=client: talk(client, server, port, 6) for client in near))
        time.sleep(2)
    for variant in ("path", "state"):
        lab.truth.expect("asymmetric_flow", variant=variant, severity="warning", server=server.v4, port=port)
    lab.truth.allow("retransmission", "missing_syn_ack")
    lab.truth.shows = f"tcp.srcport == {port} && tcp.flags.syn == 1 && tcp.analysis.retransmission"
    return back


@scenario
def asymmetric_path(lab):
    """The server answers one of two networks of clients through a router beside the firewall: those connections hang."""
    around_firewall(lab, 17, 8445)


@scenario
def asymmetric_vlan(lab):
    """The same on a trunk: requests and most answers in VLAN 110, the answers that come around the firewall in VLAN 120."""
    back = around_firewall(lab, 26, 8446)
    own = bytes.fromhex(back.run("cat", "/sys/class/net/front/address").strip().replace(":", ""))

    def tagged(record):
        vlan = 120 if record.data[6:12] == own else 110
        return record.holding(record.data[:12] + struct.pack("!HH", 0x8100, vlan) + record.data[12:])

    rewrite(lab.files[0], lambda records: [tagged(record) for record in records])
    lab.truth.note("Tagged afterwards: what the second router sends with VLAN 120, everything else with 110.")


STRANGERS = """table inet state {{ chain forward {{ type filter hook forward priority 0;
  tcp dport {0} ct state invalid {1}
  tcp dport {0} ct state new tcp flags != syn {1}
  tcp sport {0} ct state invalid {1}
  tcp sport {0} ct state new {1}
  }}
}}"""


def in_use(client, server, port, seconds, size, every=0.25):
    """A connection that asks small things all the time, until it fails or the time is over."""
    end = time.monotonic() + seconds
    with tolerant(), connect(client, server, port, timeout=8) as made:
        while time.monotonic() < end:
            ask(made, size)
            time.sleep(every)


def moved(lab, rtt, port, vantage, move, verdict):
    """Connections in use, of which some lose one direction to a second firewall that knows none of them."""
    lab.truth.sees_all = False
    site = lab.site(rtt=rtt, jitter=0.3)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(4)]
    Service(server, port, exchange())
    back = back_road(site, server, "192.0.2.1")
    back.nft(STRANGERS.format(port, verdict))
    back.set(**{"net.netfilter.nf_conntrack_tcp_loose": 0})
    with lab.capture(site, vantage(back) if callable(vantage) else vantage):
        def change():
            time.sleep(3)
            move(site, server, clients[:2])

        together(change, *(lambda client=client, again=again: in_use(client, server, port, 11, 150 + 70 * again) for client in clients for again in range(3)))
        time.sleep(1)
    return server


def to_server(site, server, clients):
    for client in clients:
        client.ip(f"route replace {server.v4} via {site.clients.v4[254]}")


def to_clients(site, server, clients):
    for client in clients:
        server.ip(f"route replace {client.v4} via {site.servers.v4[254]}")


@scenario
def asymmetric_moved_reset(lab):
    """Requests of connections in use take another firewall from one moment on, which resets what it does not know; seen at the clients."""
    server = moved(lab, 24, 8447, "client side", to_server, "reject with tcp reset")
    lab.truth.expect("asymmetric_flow", variant="state", severity="warning", server=server.v4, port=8447, failed=6)
    lab.truth.allow("rst_storm", "rst_injection")
    lab.truth.shows = "tcp.srcport == 8447 && tcp.flags.reset == 1"


@scenario
def asymmetric_moved_answers(lab):
    """Answers of connections in use take another firewall from one moment on, which drops them; seen on the first one."""
    server = moved(lab, 19, 8448, "middle", to_clients, "drop")
    # Here the answers of some connections end, and those of others go on: what became of them shows elsewhere.
    lab.truth.expect("path_outage", severity="warning")
    lab.truth.expect("asymmetric_flow", variant="visibility", server=server.v4, port=8448)
    lab.truth.allow("retransmission")
    lab.truth.shows = "tcp.dstport == 8448 && tcp.analysis.retransmission"


@scenario
def asymmetric_moved_half(lab):
    """The same, seen on the firewall that they move to: the servers' half of these connections, which it drops."""
    server = moved(lab, 29, 8449, lambda back: (back, "rear"), to_clients, "drop")
    lab.truth.expect("asymmetric_flow", variant="state", severity="warning", server=server.v4, port=8449, failed=6)
    lab.truth.allow("retransmission")
    lab.truth.shows = "tcp.srcport == 8449 && tcp.analysis.retransmission"


@scenario
def asymmetric_loss(lab):
    """Both hosts send as much; 7 % is lost towards the server and nothing on the way back."""
    lab.truth.sees_all = False
    site = lab.site(rtt=30, jitter=0.3, rules=[Strewn(TO_SERVER, 14, seed=4, ports=9094, match=data)])
    server, clients = site.server(), [site.client("client1"), site.client("client2")]

    def echo(connection):
        while text := connection.recv(4096):
            connection.sendall(text)

    def push(client):
        with connect(client, server, 9094, timeout=40) as made:
            for number in range(260):
                made.sendall(FILLER[number:][:80])
                time.sleep(0.012)
            made.shutdown(socket.SHUT_WR)
            read(made)

    Service(server, 9094, echo)
    with lab.capture(site, "server side"):
        together(*(lambda client=client: push(client) for client in clients))
    lab.truth.expect("asymmetric_flow", variant="loss", server=server.v4, port=9094)
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=9094)
    lab.truth.sent_again(TO_SERVER, merged=True)
    lab.truth.shows = "tcp.dstport == 9094 && (tcp.analysis.retransmission || tcp.analysis.out_of_order)"
