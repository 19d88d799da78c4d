"""Captures that mislead: what was recorded is not what was on the wire."""

import random
import socket
import struct
import time

from ..capture import capture
from ..frame import TO_CLIENT
from ..lab import scenario
from ..records import by_time, load, rewrite, store
from ..rules import Nth
from ..services import Service, ask, connect, exchange, feed, read, together
from .opening import attempts
from .resets import pool, use


def transfers(lab, rtt, port, vantage="client side", *options, family=socket.AF_INET, size=20000, rules=()):
    """Healthy uploads and downloads of two clients; returns the server."""
    site = lab.site(rtt=rtt, jitter=0.4, rules=rules)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, port, exchange())

    def work(client):
        with connect(client, server, port, family=family) as made:
            for _ in range(2):
                ask(made, size, padding=3000)
                time.sleep(0.2)

    with lab.capture(site, vantage(site) if callable(vantage) else vantage, *options):
        together(*(lambda client=client: work(client) for client in clients))
    return server


@scenario
def span_exact(lab):
    """A mirror port delivers every packet twice, some microseconds apart."""
    transfers(lab, 23, 8080)
    chosen = random.Random(1)
    rewrite(lab.files[0], lambda records: by_time([copy for record in records for copy in (record, record.later(chosen.randrange(2, 12)))]))
    lab.truth.note("Made from the capture afterwards: every record a second time, 2 to 11 microseconds later.")
    lab.truth.expect("capture_duplicates")
    lab.truth.shows = "tcp.srcport == 8080 && tcp.analysis.retransmission"


@scenario
def span_routed(lab):
    """A mirror session of two ports of a router: every packet before and behind it, with one less to live and other addresses."""
    site = lab.site(rtt=37, jitter=0.4)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 8443, exchange())

    def work(client, family):
        with connect(client, server, 8443, family=family) as made:
            for _ in range(2):
                ask(made, 15000, padding=2500)
                time.sleep(0.2)

    behind = lab.work / "behind.pcap"
    with capture(site.west, "wan", behind), lab.capture(site, "client side"):
        together(lambda: work(clients[0], socket.AF_INET), lambda: work(clients[1], socket.AF_INET6))
    rewrite(lab.files[0], lambda records: by_time(records + load(behind)[1]))
    lab.truth.note("Captured at both devices of the west router at once, and merged by time.")
    lab.truth.expect("capture_duplicates")
    lab.truth.shows = "tcp.srcport == 8443 && tcp.analysis.retransmission"


@scenario
def span_vlan(lab):
    """A mirror port delivers every packet untagged and in VLAN 412."""
    transfers(lab, 51, 9200, "server side")
    tag = struct.pack("!HH", 0x8100, 412)
    rewrite(lab.files[0], lambda records: by_time(
        [copy for record in records for copy in (record, record.holding(record.data[:12] + tag + record.data[12:]).later(4))]))
    lab.truth.note("Made from the capture afterwards: every record a second time, tagged, 4 microseconds later.")
    lab.truth.expect("capture_duplicates")
    lab.truth.shows = "vlan.id == 412"


@scenario
def capture_drops(lab):
    """The capture lost 6 % of the packets; the network lost none."""
    transfers(lab, 29, 8081, "server side", size=36000)
    chosen = random.Random(6)
    rewrite(lab.files[0], lambda records: [record for record in records if chosen.random() >= 0.06])
    lab.truth.sees_all = False
    lab.truth.note("Made from the capture afterwards: 6 % of the records taken out at random.")
    lab.truth.expect("capture_loss")
    lab.truth.shows = "tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment"


@scenario
def capture_snaplen(lab):
    """Every packet is cut after 96 bytes; TLS and DNS cannot be read to their end."""
    transfers(lab, 33, 8082, "client side", "-s", "96", size=60000)
    lab.truth.expect("capture_truncated")
    lab.truth.shows = "frame.cap_len < frame.len"


@scenario
def capture_midstream(lab):
    """The capture begins while connections are running, and ends before they do."""
    site = lab.site(rtt=45, jitter=0.4)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    Service(server, 7687, feed(150, 300, 0.03, first=1))
    made = [connect(client, server, 7687, family=family) for client, family in zip(clients, (2, 10, 2))]
    for connection in made:
        connection.sendall(b"s")
    time.sleep(0.5)
    with lab.capture(site, "middle"):
        together(*(lambda connection=connection: read(connection, 20000) for connection in made))
    for connection in made:
        connection.close()
    lab.truth.expect("capture_midstream")
    lab.truth.shows = "tcp.port == 7687 && tcp.len > 0"


@scenario
def capture_ack_first(lab):
    """Two receive queues: what the clients send is stamped some 250 microseconds too early, ACKs before their data."""
    server = transfers(lab, 3, 8083, "client side", size=24000)
    address = socket.inet_aton(server.v4)

    def queue(records):
        return by_time([record.later(-250) if record.data[30:34] == address else record for record in records])

    rewrite(lab.files[0], queue)
    lab.truth.note("Made from the capture afterwards: records towards the server 250 microseconds earlier, and sorted by time.")
    lab.truth.expect("capture_disorder")
    lab.truth.shows = "tcp.analysis.ack_lost_segment"


@scenario
def capture_unsorted(lab):
    """Two queues are written one after the other: records are not in the order of their times."""
    transfers(lab, 41, 8084, "server side")

    def batches(records):
        """Every millisecond's records: first one queue's, then the other's."""
        numbered = list(enumerate(records))
        return [record for _, record in sorted(numbered, key=lambda pair: (pair[1].time // 1000, pair[0] % 2, pair[0]))]

    rewrite(lab.files[0], batches)
    lab.truth.forbid_at = "info"
    lab.truth.note("Made from the capture afterwards: of each millisecond's records first every other one, then the rest.")
    lab.truth.expect("capture_disorder")
    lab.truth.shows = "frame.time_delta < 0"


@scenario
def any_interface_host(lab):
    """The `any` interface of a host, which has one and its loopback."""
    site = lab.site(rtt=26, jitter=0.4)
    server, client = site.server(), site.client()
    Service(server, 8086, exchange())
    with lab.capture(site, (client, "any")):
        for family in (2, 10):
            with connect(client, server, 8086, family=family) as made:
                for size in (300, 9000, 20000):
                    ask(made, size, padding=1500)
    lab.truth.shows = "sll"


@scenario
def any_interface_router(lab):
    """The `any` interface of a router with a bridge: every packet on each device it passes."""
    site = lab.site(rtt=32, jitter=0.4)
    server, client = site.server(), site.client()
    Service(server, 8087, exchange())
    with lab.capture(site, (site.west, "any")):
        with connect(client, server, 8087) as made:
            for size in (300, 4000, 9000):
                ask(made, size, padding=1500)
    lab.truth.expect("capture_duplicates")
    lab.truth.shows = "sll && tcp.port == 8087 && tcp.analysis.retransmission"


@scenario
def capture_cut(lab):
    """The file ends in the middle of its last record."""
    transfers(lab, 19, 8088)
    path = lab.files[0]
    header, records = load(path)
    large = max(number for number, record in enumerate(records) if len(record.data) > 200)
    store(path, header, records[: large + 1])
    path.write_bytes(path.read_bytes()[:-101])
    lab.truth.sees_all = False
    lab.truth.note("Made from the capture afterwards: the file ends 101 bytes before the end of a record.")
    lab.truth.expect("capture_damaged")
    lab.truth.shows = "tcp.port == 8088"


@scenario
def super_frames(lab):
    """Captured on a server whose network card segments and joins: frames larger than the wire carries, one lost in the middle."""
    site = lab.site(rtt=55, jitter=0.4, rules=[Nth(TO_CLIENT, [30], ports=8089)])
    server, client = site.server(), site.client()
    for node, device in ((server, "eth0"), (site.east, server.name)):
        node.run("ethtool", "-K", device, "tx", "on", "tso", "on", "gso", "on", "gro", "on")
    Service(server, 8089, exchange())
    with lab.capture(site, (server, "eth0")):
        with connect(client, server, 8089) as made:
            for size in (60000, 60000, 60000):
                ask(made, size, padding=6000)
                time.sleep(0.3)
    # Of what is sent again in one large frame, kernels count each segment.
    lab.truth.sees_all = False
    lab.truth.expect("capture_offload")
    lab.truth.allow("retransmission")
    lab.truth.shows = "tcp.srcport == 8089 && tcp.len > 1460"


@scenario
def two_points(lab):
    """The clients' and the servers' network captured at the same time: four segments pass the one and never the other."""
    site = lab.site(rtt=58, jitter=0.4, rules=[Nth(TO_CLIENT, [14, 15, 40, 52], ports=8098)])
    server, client = site.server(), site.client()
    Service(server, 8098, exchange())
    with lab.capture(site, "client side"), lab.tap(*site.vantage("server side"), file="two_points.server.pcap"):
        with connect(client, server, 8098) as made:
            for _ in range(3):
                ask(made, 32000)
                time.sleep(0.3)
    lab.truth.note("Of the same path at the same time: two_points.server.pcap, captured at: server side.")
    lab.truth.expect("retransmission", server=server.v4, port=8098)
    # Two files of the same time: true, and worth saying.
    lab.truth.allow("capture_disorder")
    lab.truth.sent_again(TO_CLIENT)
    lab.truth.shows = "tcp.dstport == 8098 && tcp.analysis.duplicate_ack"


@scenario
def five_files(lab):
    """A server loses its state and resets its clients; the capture is a ring of five files."""
    site = lab.site(rtt=13, jitter=0.3)
    server, clients = site.server(mac="02:00:5e:30:00:05"), [site.client(f"client{number}") for number in range(3)]
    first = Service(server, 5673, exchange())
    with lab.capture(site, "client side"):
        made = pool(clients, server, 5673, 36)
        server.ip("link del eth0")
        first.stop()
        booted = site.server("booted", number=server.number, mac="02:00:5e:30:00:05")
        Service(booted, 5673, exchange())
        time.sleep(0.5)
        use(made)
        for client in clients:
            attempts(client, server, 5673, 3, 3)
    header, records = load(lab.files[0])
    size = -(-len(records) // 5)
    for number in range(1, 5):
        path = lab.work / f"{lab.name}.{number + 1}.pcap"
        store(path, header, records[size * number : size * (number + 1)])
        lab.files.append(path)
    store(lab.files[0], header, records[:size])
    lab.truth.note("Cut into five files of as many records afterwards.")
    lab.truth.expect("rst_storm", variant="no_socket", severity="warning", server=server.v4, port=5673, failed=36)
    lab.truth.shows = "tcp.dstport == 5673 && tcp.flags.syn == 1"
