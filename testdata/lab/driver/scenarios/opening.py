"""Connections that do not open."""

import random
import socket
import time

from ..frame import ACK, SYN, TO_CLIENT
from ..lab import scenario
from ..middlebox import segment
from ..rules import Drop, Nth
from ..services import Service, ask, connect, exchange, together, tolerant

FORWARD = """table inet fault {{ chain forward {{ type filter hook forward priority 0;
  {}
  }}
}}"""


def syn_ack(frame):
    return frame.flags & (SYN | ACK) == SYN | ACK


def attempts(client, server, port, times, timeout, family=socket.AF_INET, pause=0.2):
    """Tries to open, in vain or not, and asks when it opens."""
    for _ in range(times):
        with tolerant(), connect(client, server, port, timeout=timeout, family=family) as made:
            ask(made, 200)
        time.sleep(pause)


@scenario
def syn_dropped(lab):
    """SYNs to one port of a server are dropped without a word; another port of it answers."""
    site = lab.site(rtt=16, jitter=0.5)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    for port in (8443, 8080):
        Service(server, port, exchange())
    site.east.nft(FORWARD.format("tcp dport 8443 drop"))
    with lab.capture(site, "client side"):
        together(
            lambda: attempts(clients[0], server, 8443, 2, 5.5),
            lambda: attempts(clients[1], server, 8443, 3, 3.4),
            lambda: attempts(clients[1], server, 8080, 3, 3),
        )
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="silent", severity="warning", server=server.v4, port=8443, failed=5)
    lab.truth.shows = "tcp.dstport == 8443 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_dropped_ipv6(lab):
    """The same over IPv6 only, so that clients fall back to IPv4 after a second and a half."""
    site = lab.site(rtt=44, jitter=0.5)
    server, client = site.server(), site.client()
    Service(server, 5432, exchange())
    site.east.nft(FORWARD.format("meta nfproto ipv6 tcp dport 5432 drop"))
    with lab.capture(site, "middle"):
        for _ in range(4):
            attempts(client, server, 5432, 1, 1.5, family=socket.AF_INET6, pause=0)
            attempts(client, server, 5432, 1, 3, pause=0.3)
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="silent", severity="warning", server=server.v6, port=5432, failed=4)
    lab.truth.shows = "ipv6 && tcp.dstport == 5432 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_refused(lab):
    """Nothing listens on a port: every SYN is refused, a few times a minute; no storm."""
    site = lab.site(rtt=8, jitter=0.3)
    server, client = site.server(), site.client()
    with lab.capture(site, "client side"):
        attempts(client, server, 6380, 5, 2, pause=0.8)
        attempts(client, server, 6380, 2, 2, family=socket.AF_INET6)
    lab.truth.expect("connection_refused", server=server.v4, port=6380)
    lab.truth.shows = "tcp.srcport == 6380 && tcp.flags.reset == 1"


@scenario
def syn_rejected(lab):
    """A router rejects a port with ICMP and ICMPv6 "administratively prohibited"."""
    site = lab.site(rtt=13, jitter=0.3)
    server, client = site.server(), site.client()
    site.east.nft(FORWARD.format("tcp dport 1433 reject with icmpx type admin-prohibited"))
    with lab.capture(site, "client side"):
        attempts(client, server, 1433, 4, 3, pause=0.5)
        attempts(client, server, 1433, 2, 3, family=socket.AF_INET6)
        time.sleep(1.5)
    lab.truth.expect("icmp_unreachable", server=server.v4)
    lab.truth.shows = "icmp.type == 3 && icmp.code == 13"


@scenario
def host_down(lab):
    """Nobody has the server's address: the router asks by ARP in vain and says so by ICMP after three seconds."""
    site = lab.site(rtt=21, jitter=0.3)
    client, gone = site.client(), str(site.servers.v4[251])
    with lab.capture(site, "middle"):
        together(*(lambda: attempts(client, gone, 443, 2, 8) for _ in range(2)))
    lab.truth.expect("icmp_unreachable", server=gone)
    lab.truth.shows = "icmp.type == 3 && icmp.code == 1"


@scenario
def host_down_arp(lab):
    """The same, seen on the server's network: ARP requests without an answer."""
    lab.truth.sees_all = False
    site = lab.site(rtt=27, jitter=0.3)
    client, gone = site.client(), str(site.servers.v4[252])
    with lab.capture(site, "server side"):
        attempts(client, gone, 443, 3, 5)
    lab.truth.expect("arp_unanswered", mentions=gone)
    lab.truth.shows = f"arp.opcode == 1 && arp.dst.proto_ipv4 == {gone}"


@scenario
def syn_ack_lost(lab):
    """Every SYN-ACK is lost on its way back, behind the capture point at the server."""
    site = lab.site(rtt=39, jitter=0.5, rules=[Drop(TO_CLIENT, ports=8883, match=syn_ack)])
    server, client = site.server(), site.client()
    Service(server, 8883, exchange())
    with lab.capture(site, "server side"):
        together(*(lambda: attempts(client, server, 8883, 2, 4.4) for _ in range(2)))
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="lost_return", severity="warning", server=server.v4, port=8883, failed=4)
    lab.truth.shows = "tcp.srcport == 8883 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_ack_lost_no_timestamps(lab):
    """The same with a client without timestamps: what the server repeats for its timer and for the client's SYN is the same bytes."""
    site = lab.site(rtt=14, jitter=0.5, rules=[Drop(TO_CLIENT, ports=8885, match=syn_ack)])
    server, client = site.server(), site.client()
    client.set(**{"net.ipv4.tcp_timestamps": 0})
    Service(server, 8885, exchange())
    with lab.capture(site, "server side"):
        together(*(lambda: attempts(client, server, 8885, 1, 5.5) for _ in range(2)))
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="lost_return", severity="warning", server=server.v4, port=8885, failed=2)
    lab.truth.shows = "tcp.srcport == 8885 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_ack_lost_twice(lab):
    """The first two SYN-ACKs of some connections are lost; they open late."""
    lab.truth.sees_all = False
    site = lab.site(rtt=66, jitter=0.5, rules=[Nth(TO_CLIENT, [1, 2], ports=8884, match=syn_ack)])
    server, client = site.server(), site.client()
    Service(server, 8884, exchange())
    with lab.capture(site, "client side"):
        together(*(lambda: attempts(client, server, 8884, 1, 12) for _ in range(3)))
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="late", server=server.v4, port=8884)
    lab.truth.shows = "tcp.dstport == 8884 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_ack_lost_once(lab):
    """Of two dozen connections three lose their first SYN-ACK behind the capture point; all open."""
    lab.truth.sees_all = False
    seen = []

    def unlucky(frame):
        if not syn_ack(frame) or frame.conversation in seen:
            return False
        seen.append(frame.conversation)
        return len(seen) in (4, 11, 19)

    site = lab.site(rtt=52, jitter=0.5, rules=[Drop(TO_CLIENT, ports=8886, match=unlucky)])
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 8886, exchange())
    with lab.capture(site, "server side"):
        together(*(lambda client=client: attempts(client, server, 8886, 12, 12) for client in clients))
        time.sleep(1.5)
    lab.truth.expect("missing_syn_ack", variant="late", server=server.v4, port=8886)
    lab.truth.shows = "tcp.srcport == 8886 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def accept_queue_full(lab):
    """A server accepts nobody: its queue holds two, the kernel drops what comes after them."""
    site = lab.site(rtt=11, jitter=0.3)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    Service(server, 3306, exchange(), backlog=1, accepting=False)
    with lab.capture(site, "server side"):
        together(*(lambda client=client: attempts(client, server, 3306, 2, 5) for client in clients * 2))
        time.sleep(2)
    lab.truth.expect("missing_syn_ack", server=server.v4, port=3306)
    # Requests of connections that only the clients think open are repeated, too.
    lab.truth.allow("retransmission")
    # The one connection whose end of the handshake the full queue drops looks as behind a device that drops it.
    lab.truth.allow("asymmetric_flow")
    lab.truth.shows = "tcp.dstport == 3306 && tcp.flags.syn == 1 && tcp.analysis.retransmission"


@scenario
def syn_flood(lab):
    """Nine hundred SYNs from addresses that do not exist fill a server's queue; others hardly get in."""
    site = lab.site(rtt=24, jitter=0.5)
    server, client, flooder = site.server(), site.client(), site.client("flooder")
    server.set(**{"net.ipv4.tcp_syncookies": 0, "net.ipv4.tcp_max_syn_backlog": 64, "net.ipv4.tcp_synack_retries": 1})
    Service(server, 8181, exchange(), backlog=64)
    site.west.ip("route add blackhole 10.251.0.0/16")
    chosen = random.Random(99)

    def flood():
        raw = flooder.new_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for _ in range(900):
            source = f"10.251.{chosen.randrange(256)}.{chosen.randrange(1, 255)}"
            packet = segment(source, server.v4, (chosen.randrange(1024, 65535), 8181), chosen.getrandbits(32), 0, SYN)
            raw.sendto(packet, (server.v4, 0))
            time.sleep(0.003)
        raw.close()

    with lab.capture(site, "server side"):
        together(flood, lambda: attempts(client, server, 8181, 4, 2))
        time.sleep(2)
    lab.truth.expect("syn_flood", severity="warning", server=server.v4, port=8181)
    lab.truth.allow("missing_syn_ack")
    lab.truth.shows = "ip.src == 10.251.0.0/16 && tcp.dstport == 8181 && tcp.flags.syn == 1"


@scenario
def port_scan(lab):
    """One host tries a hundred ports of a server: most are refused, some dropped, two open."""
    site = lab.site(rtt=31, jitter=0.5)
    server, scanner = site.server(), site.client("scanner")
    for port in (1022, 1080):
        Service(server, port, exchange())
    site.east.nft(FORWARD.format("tcp dport 1040-1069 drop"))
    with lab.capture(site, "client side"):
        works = [lambda first=first: [attempts(scanner, server, port, 1, 0.6, pause=0.02) for port in range(first, first + 10)] for first in range(1000, 1100, 10)]
        together(*works)
        time.sleep(2)
    lab.truth.expect("port_scan", mentions=scanner.v4)
    lab.truth.shows = f"ip.src == {scanner.v4} && tcp.flags.syn == 1"
