"""Paths that stop, become longer, or lose some kinds of packets only."""

import socket
import struct
import time

from ..frame import TO_CLIENT, TO_SERVER
from ..lab import scenario
from ..middlebox import checksum
from ..rules import Drop, Every, Hold, Larger, Loss, both
from ..services import FILLER, Service, ask, connect, exchange, thread, together, tolerant


def chat(client, server, port, seconds, size=300, family=socket.AF_INET, pause=0.25, timeout=12):
    """One connection on which small requests follow each other, until one gets no answer."""
    end = time.monotonic() + seconds
    with tolerant(), connect(client, server, port, timeout=timeout, family=family) as made:
        while time.monotonic() < end:
            ask(made, size)
            time.sleep(pause)


def outage(lab, rtt, port, vantage, ways, family=socket.AF_INET, after=11, **chats):
    """Five connections of three clients in use, until nothing of the service passes any more in these directions."""
    site = lab.site(rtt=rtt, jitter=0.4, rules=[Drop(way, ports=port, phase=1) for way in ways])
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    Service(server, port, exchange())
    with lab.capture(site, vantage):
        works = [thread(chat, clients[number % 3], server, port, 30, 300, family, **chats) for number in range(5)]
        time.sleep(2)
        site.relay.phase = 1
        time.sleep(after)
        if after < 8:
            site.relay.phase = 0
            time.sleep(5)
    return server


@scenario
def path_outage_both(lab):
    """From one moment on nothing passes between the clients and a service, in either direction; other hosts go on."""
    server = outage(lab, 23, 5671, "client side", (TO_SERVER, TO_CLIENT))
    lab.truth.sees_all = False
    lab.truth.expect("path_outage", variant="silent", severity="warning", server=server.v4, port=5671, failed=5)
    lab.truth.allow("retransmission")
    lab.truth.shows = "tcp.dstport == 5671 && tcp.analysis.retransmission"


@scenario
def path_outage_both_ipv6(lab):
    """The same over IPv6, seen in the middle."""
    server = outage(lab, 37, 5672, "middle", (TO_SERVER, TO_CLIENT), family=socket.AF_INET6)
    lab.truth.sees_all = False
    lab.truth.expect("path_outage", variant="silent", severity="warning", server=server.v6, port=5672, failed=5)
    lab.truth.allow("retransmission")
    lab.truth.shows = "ipv6 && tcp.dstport == 5672 && tcp.analysis.retransmission"


@scenario
def path_outage_one_way(lab):
    """What the servers send is lost from one moment on; what the clients send still arrives at them, seen at the server."""
    outage(lab, 31, 5673, "server side", (TO_CLIENT,))
    lab.truth.sees_all = False
    lab.truth.expect("path_outage", variant="one_way", severity="warning", failed=5)
    # The clients repeat requests that had arrived.
    lab.truth.allow("retransmission", "spurious_retransmission")
    lab.truth.shows = "tcp.srcport == 5673 && tcp.analysis.retransmission"


@scenario
def path_outage_over(lab):
    """Nothing passes for two seconds, and then everything goes on where it stopped: no outage that anybody gave up for."""
    server = outage(lab, 19, 5674, "client side", (TO_SERVER, TO_CLIENT), after=2)
    lab.truth.sees_all = False
    lab.truth.expect("retransmission", variant="rto", server=server.v4, port=5674)
    lab.truth.shows = "tcp.dstport == 5674 && tcp.analysis.retransmission"


@scenario
def latency_of_one_host(lab):
    """One server of two is 120 ms further away for some seconds, as after a fail-over and back; nothing is lost."""
    # A number that nobody draws: the relay is started before its hosts are made.
    rules = both(Hold, 0.06, phase=1, match=lambda frame: ".251" in ((frame.source or "")[-4:], (frame.target or "")[-4:]))
    site = lab.site(rtt=12, jitter=0.3, rules=rules)
    server, other, client = site.server(number=251), site.server("other"), site.client()
    for node in (server, other):
        Service(node, 8086, exchange())

    def visits(times):
        for _ in range(times):
            for node in (server, other):
                with connect(client, node, 8086) as made:
                    for _ in range(2):
                        ask(made, 400)
            time.sleep(0.15)

    with lab.capture(site, "client side"):
        for phase, times in ((0, 10), (1, 8), (0, 10)):
            site.relay.phase = phase
            visits(times)
    lab.truth.expect("latency_shift", variant="spike", server=server.v4)
    lab.truth.shows = f"ip.src == {server.v4} && tcp.srcport == 8086 && tcp.analysis.ack_rtt > 0.1"


@scenario
def gateway_silent(lab):
    """The clients' gateway stops answering ARP: two hosts ask for it in vain, and their connections go nowhere."""
    lab.truth.sees_all = False
    site = lab.site(rtt=16, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 8087, exchange())
    with lab.capture(site, "client side"):
        for client in clients:
            for _ in range(3):
                with connect(client, server, 8087) as made:
                    ask(made, 400)
        # As a gateway in another VLAN: neither answers nor questions of it arrive.
        site.west.nft("table arp fault { chain out { type filter hook output priority 0; drop; }; }")
        for client in clients:
            client.ip("neigh flush dev eth0")

        def tries(client):
            for _ in range(2):
                with tolerant(), connect(client, server, 8087, timeout=4) as made:
                    ask(made, 400)

        together(*(lambda client=client: tries(client) for client in clients))
    lab.truth.expect("arp_unanswered", variant="gateway", severity="warning", mentions=str(site.clients.v4[1]))
    lab.truth.shows = f"arp.opcode == 1 && arp.dst.proto_ipv4 == {site.clients.v4[1]}"


@scenario
def network_unreachable(lab):
    """A router has no route to a network that clients ask for, and says so."""
    site = lab.site(rtt=15, jitter=0.3)
    clients, gone = [site.client("client1"), site.client("client2")], f"10.{site.octet}.251.9"

    def tries(client):
        for _ in range(3):
            with tolerant(), connect(client, gone, 8443, timeout=3):
                pass
            time.sleep(0.4)

    with lab.capture(site, "client side"):
        together(*(lambda client=client: tries(client) for client in clients))
    lab.truth.expect("icmp_unreachable", variant="network", severity="warning", server=gone)
    lab.truth.shows = "icmp.type == 3 && icmp.code == 0"


def is_fragment(frame):
    """IPv4, and not the first of its datagram."""
    return frame.bytes[12:14] == b"\x08\x00" and int.from_bytes(frame.bytes[20:22], "big") & 0x1FFF > 0


def reports(node, port, size):
    """A service over UDP whose answers have several fragments."""
    made = node.new_socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", port))
    node.lab.at_end(made.close)

    def serve():
        while True:
            try:
                _, peer = made.recvfrom(2000)
                made.sendto(FILLER[:size], peer)
            except OSError:
                return

    thread(serve)


def report(client, server, port, times, timeout=0.8):
    with client.new_socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        for number in range(times):
            with tolerant():
                asking.sendto(b"report %d" % number, (server.v4, port))
                asking.recv(9000)
            time.sleep(0.1)


@scenario
def fragments_filtered(lab):
    """A filter without memory drops all fragments of one server but the first; those of another arrive."""
    filtered = [Drop(TO_CLIENT, match=lambda frame: is_fragment(frame) and frame.source.endswith(".251"))]
    site = lab.site(rtt=25, jitter=0.3, rules=filtered)
    server, other, client = site.server(number=251), site.server("other"), site.client()
    for node in (server, other):
        reports(node, 1812, 3100)
    with lab.capture(site, "client side"):
        together(lambda: report(client, server, 1812, 8), lambda: report(client, other, 1812, 8))
        time.sleep(2.5)
    lab.truth.expect("fragment_loss", variant="first_only", severity="warning", mentions=server.v4)
    lab.truth.shows = f"ip.src == {server.v4} && ip.flags.mf == 1"


@scenario
def fragments_lost(lab):
    """A third of the fragments is lost at random: most large answers over UDP are never whole."""
    lost = [Loss(TO_CLIENT, 0.33, 5, match=lambda frame: frame.protocol == 17 and frame.size > 900)]
    site = lab.site(rtt=29, jitter=0.3, rules=lost)
    server, client = site.server(), site.client()
    reports(server, 1813, 4200)
    with lab.capture(site, "client side"):
        report(client, server, 1813, 14, timeout=0.4)
        time.sleep(2.5)
    lab.truth.expect("fragment_loss", variant="incomplete", severity="warning", mentions=server.v4)
    lab.truth.shows = f"ip.src == {server.v4} && ip.frag_offset > 0"


@scenario
def fragments_arrive(lab):
    """Large answers over UDP in three fragments each, which overtake each other and all arrive."""
    site = lab.site(rtt=25, jitter=0.3, rules=[Every(TO_CLIENT, 4, ("late", 0.004), match=lambda frame: frame.protocol == 17)])
    server, client = site.server(), site.client()
    reports(server, 1814, 4200)
    with lab.capture(site, "client side"):
        report(client, server, 1814, 12)
    lab.truth.shows = f"ip.src == {server.v4} && ip.frag_offset > 0"


def ping(client, server, sizes, timeout=0.25, pause=0.1):
    """Echo requests with so many bytes each; how many were answered."""
    answered = 0
    with client.new_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as made:
        # No fragments, as a test of the path's MTU sends them.
        made.setsockopt(socket.IPPROTO_IP, 10, 2)
        made.settimeout(timeout)
        for number, size in enumerate(sizes):
            text = struct.pack("!BBHHH", 8, 0, 0, 0x5A11, number) + FILLER[:size]
            text = text[:2] + struct.pack("!H", checksum(text)) + text[4:]
            with tolerant():
                made.sendto(text, (server.v4, 0))
                made.recv(2000)
                answered += 1
            time.sleep(pause)
    return answered


@scenario
def ping_by_size(lab):
    """Pings above 1400 bytes are never answered, all smaller ones are: the path drops what is larger without a word."""
    site = lab.site(rtt=34, jitter=0.3, rules=both(Larger, 1400, match=lambda frame: frame.protocol == 1))
    server, client = site.server(), site.client()
    with lab.capture(site, "client side"):
        ping(client, server, [56, 1000, 1372, 1373, 1400, 1472] * 4)
        time.sleep(4)
    lab.truth.expect("echo_loss", variant="size", mentions=server.v4)
    lab.truth.shows = "icmp.type == 8 && ip.len > 1400"


@scenario
def ping_lost(lab):
    """A fifth of the pings is lost at random."""
    site = lab.site(rtt=41, jitter=0.5, rules=[Loss(TO_SERVER, 0.2, 11, match=lambda frame: frame.protocol == 1)])
    server, client = site.server(), site.client()
    with lab.capture(site, "client side"):
        ping(client, server, [56] * 50, pause=0.15)
        time.sleep(4)
    lab.truth.expect("echo_loss", variant="loss", severity="warning", mentions=server.v4)
    lab.truth.shows = "icmp.type == 8"
