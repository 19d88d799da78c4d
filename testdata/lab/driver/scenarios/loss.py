"""Losses at random and to a list; reordering; delays."""

import socket
import time

from ..frame import TO_CLIENT, TO_SERVER
from ..lab import scenario
from ..rules import Every, Hold, Loss, Nth, Strewn, data
from ..services import Service, ask, connect, exchange, feed, read, together

# What tshark calls a repeat within the first round trip, or of a loss before the capture point, is "out of order".
AGAIN = "(tcp.analysis.retransmission || tcp.analysis.out_of_order)"


def ticker(lab, site, vantage, port, count, size, gap, connections=3, family=socket.AF_INET):
    """Clients that are sent small messages, so that a small capture has many segments."""
    server, clients = site.server(), [site.client(f"client{number}") for number in range(connections)]
    Service(server, port, feed(count, size, gap, first=1))

    def subscribe(client):
        with connect(client, server, port, timeout=40, family=family) as made:
            made.sendall(b"s")
            read(made)

    with lab.capture(site, vantage):
        together(*(lambda client=client: subscribe(client) for client in clients))
    lab.truth.expect("retransmission", server=server.address(family), port=port)
    lab.truth.sent_again(TO_CLIENT, merged=True)
    lab.truth.shows = f"tcp.srcport == {port} && {AGAIN}"
    return server


@scenario
def loss_random_1(lab):
    """1 % of the segments towards the clients is lost at random, behind the capture point at the server."""
    site = lab.site(rtt=34, jitter=0.8, rules=[Loss(TO_CLIENT, 0.01, seed=12, ports=5672, match=data)])
    ticker(lab, site, "server side", 5672, count=380, size=90, gap=0.012)


@scenario
def loss_random_2(lab):
    """2 % of the segments towards the clients is lost at random, before the capture point at the clients."""
    lab.truth.sees_all = False
    site = lab.site(rtt=61, jitter=2, rules=[Loss(TO_CLIENT, 0.02, seed=21, ports=6379, match=data)])
    server = ticker(lab, site, "client side", 6379, count=420, size=130, gap=0.009, connections=2)
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=6379)


@scenario
def loss_random_5_ipv6(lab):
    """5 % of the segments over IPv6 towards the clients is lost at random."""
    site = lab.site(rtt=92, jitter=3, rules=[Loss(TO_CLIENT, 0.05, seed=5, ports=9092, match=data)])
    server = ticker(lab, site, "far middle", 9092, count=420, size=80, gap=0.01, connections=2, family=socket.AF_INET6)
    lab.truth.expect("retransmission", severity="warning", server=server.v6, port=9092)


def downloads(lab, site, vantage, port, size, times, pause=0.5, family=socket.AF_INET, padding=0):
    """A client that asks for answers of some size on one connection."""
    server, client = site.server(), site.client()
    Service(server, port, exchange())
    with lab.capture(site, vantage):
        with connect(client, server, port, timeout=60, family=family) as made:
            for _ in range(times):
                ask(made, size, padding)
                time.sleep(pause)
    return server


@scenario
def loss_burst(lab):
    """Eight segments in a row are lost, twice, in the middle of answers: recovered by SACK."""
    numbers = [*range(16, 24), *range(66, 74)]
    site = lab.site(rtt=47, jitter=0.5, rules=[Nth(TO_CLIENT, numbers, ports=8008)])
    server = downloads(lab, site, "server side", 8008, size=36000, times=4)
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=8008)
    lab.truth.sent_again(TO_CLIENT)
    lab.truth.shows = f"tcp.srcport == 8008 && {AGAIN}"


@scenario
def loss_tail(lab):
    """The last segment of two answers is lost: a tail loss probe, or a time-out, sends it again."""
    site = lab.site(rtt=28, jitter=0.5, rules=[Nth(TO_CLIENT, [6, 18], ports=8081)])
    server = downloads(lab, site, "server side", 8081, size=8500, times=6, pause=0.7)
    lab.truth.expect("retransmission", server=server.v4, port=8081)
    lab.truth.sent_again(TO_CLIENT)
    lab.truth.shows = f"tcp.srcport == 8081 && {AGAIN}"


@scenario
def loss_timeout(lab):
    """A request and its first four repeats are lost: time-outs that double, and the stream stands still for seconds."""
    site = lab.site(rtt=22, jitter=0.4, rules=[Nth(TO_SERVER, [4, 5, 6, 7, 8], ports=7001)])
    server = downloads(lab, site, "client side", 7001, size=900, times=5, pause=0.4, padding=200)
    lab.truth.expect("retransmission", variant="rto", severity="warning", server=server.v4, port=7001)
    lab.truth.sent_again(TO_SERVER)
    lab.truth.shows = "tcp.dstport == 7001 && tcp.analysis.retransmission"


@scenario
def loss_before_capture(lab):
    """Answers lose segments upstream of the capture point at the client, whose acknowledgements ask for them."""
    lab.truth.sees_all = False
    site = lab.site(rtt=110, jitter=1, rules=[Nth(TO_CLIENT, [9, 10, 33, 47, 48, 49, 71], ports=8443)])
    server = downloads(lab, site, "client side", 8443, size=42000, times=3)
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=8443)
    lab.truth.sent_again(TO_CLIENT)
    lab.truth.shows = f"tcp.srcport == 8443 && {AGAIN}"


@scenario
def loss_after_capture(lab):
    """An upload over IPv6 loses segments behind the capture point at the client."""
    site = lab.site(rtt=76, jitter=1, rules=[Nth(TO_SERVER, [12, 13, 30, 44, 45, 61], ports=9000)])
    server, client = site.server(), site.client()
    Service(server, 9000, lambda connection: read(connection))
    with lab.capture(site, "client side"):
        with connect(client, server, 9000, timeout=40, family=socket.AF_INET6) as made:
            made.sendall(FILLER_100K)
            made.shutdown(socket.SHUT_WR)
            read(made)
    lab.truth.expect("retransmission", severity="warning", server=server.v6, port=9000)
    lab.truth.sent_again(TO_SERVER)
    lab.truth.shows = f"tcp.dstport == 9000 && {AGAIN}"


@scenario
def loss_both_ways_bbr(lab):
    """3 % is lost in both directions under a sender that uses bbr; large requests and large answers."""
    lost = [Strewn(TO_SERVER, 33, seed=31, ports=9001, match=data), Strewn(TO_CLIENT, 33, seed=32, ports=9001, match=data)]
    site = lab.site(rtt=38, jitter=0.5, rules=lost)
    lab.truth.sees_all = False
    server, client = site.server(), site.client()
    service = Service(server, 9001, exchange())
    service.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
    with lab.capture(site, "server side"):
        with connect(client, server, 9001, timeout=60, options=[(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")]) as made:
            for _ in range(5):
                ask(made, 26000, padding=26000)
    lab.truth.expect("retransmission", server=server.v4, port=9001)
    lab.truth.shows = f"tcp.port == 9001 && {AGAIN}"


@scenario
def loss_of_uploads(lab):
    """A tenth of the segments of uploads is lost at random: large ones suffer, and yet some arrive; no black hole."""
    site = lab.site(rtt=24, jitter=0.5, rules=[Strewn(TO_SERVER, 10, seed=8, ports=9002, match=lambda frame: frame.payload > 1000)])
    server, clients = site.server(), [site.client(f"client{number}") for number in range(4)]
    Service(server, 9002, exchange())

    def work(client):
        with connect(client, server, 9002, timeout=40) as made:
            for _ in range(4):
                ask(made, 200, padding=9000)

    with lab.capture(site, "client side"):
        together(*(lambda client=client: work(client) for client in clients))
    lab.truth.expect("retransmission", severity="warning", server=server.v4, port=9002)
    lab.truth.sent_again(TO_SERVER)
    lab.truth.shows = f"tcp.dstport == 9002 && {AGAIN}"


FILLER_100K = b"".join(b"%07d\n" % number for number in range(13000))


@scenario
def acks_lost(lab):
    """A third of the clients' pure acknowledgements is lost, and no data: nothing has to be sent again."""
    site = lab.site(rtt=40, jitter=0.5, rules=[Loss(TO_SERVER, 0.33, seed=3, ports=8010, match=lambda frame: frame.flags == 16 and not frame.payload)])
    downloads(lab, site, "server side", 8010, size=30000, times=5)
    # A request's or the last segment's acknowledgement may be among them, which the sender cannot tell from a loss.
    lab.truth.event("timeout_retransmission", most=4)
    lab.truth.shows = "tcp.srcport == 8010 && tcp.len > 0"


@scenario
def reordering(lab):
    """Every ninth segment is overtaken by the next ones, by 3 ms; nothing is lost."""
    site = lab.site(rtt=52, rules=[Every(TO_CLIENT, 9, ("late", 0.003), ports=8088)])
    downloads(lab, site, "client side", 8088, size=40000, times=4)
    # A host without RACK sends again what three duplicate ACKs ask for, overtaken or not.
    lab.truth.allow("reordering", "spurious_retransmission")
    lab.truth.shows = "tcp.srcport == 8088 && tcp.analysis.out_of_order"


@scenario
def reordering_ipv6(lab):
    """Every seventh segment of an IPv6 upload is overtaken by some milliseconds; nothing is lost."""
    site = lab.site(rtt=85, rules=[Every(TO_SERVER, 7, ("late", 0.006), ports=9400)])
    server, client = site.server(), site.client()
    Service(server, 9400, lambda connection: read(connection))
    with lab.capture(site, "server side"):
        with connect(client, server, 9400, timeout=40, family=socket.AF_INET6) as made:
            made.sendall(FILLER_100K)
            made.shutdown(socket.SHUT_WR)
            read(made)
    lab.truth.shows = "tcp.dstport == 9400 && tcp.analysis.out_of_order"


@scenario
def delay_spike(lab):
    """For half a second the path holds everything back: the senders time out and send again what was not lost."""
    site = lab.site(rtt=30, jitter=0.5, rules=[Hold(TO_CLIENT, 0.65, phase=1), Hold(TO_SERVER, 0.05, phase=1)])
    server, client = site.server(), site.client()
    Service(server, 8100, feed(120, 700, 0.025, first=1))
    with lab.capture(site, "server side"):
        with connect(client, server, 8100, timeout=40) as made:
            made.sendall(b"s")
            read(made, 25000)
            site.relay.phase = 1
            time.sleep(0.5)
            site.relay.phase = 0
            read(made)
    lab.truth.expect("spurious_retransmission", server=server.v4, port=8100)
    # Nothing was lost. The spurious ones are proven by DSACK or by timestamps, except perhaps one at the edge.
    lab.truth.event("sent_again", least=0, most=1 if lab.truth.selective else None)
    lab.truth.event("sent_again", which="spurious", least=1)
    lab.truth.shows = "tcp.srcport == 8100 && tcp.analysis.retransmission"


@scenario
def queueing(lab):
    """A link of 2 Mbit/s with a deep queue: the round trip grows during downloads, and nothing is lost."""
    site = lab.site(rtt=25, rate=2e6)
    downloads(lab, site, "middle", 8090, size=60000, times=4)
    lab.truth.shows = "tcp.dstport == 8090 && tcp.len == 0"
