"""Datagrams that are too large for a part of the path."""

import socket
import time

from ..frame import TO_CLIENT, TO_SERVER
from ..lab import scenario
from ..rules import Larger, both
from ..services import Service, ask, connect, exchange, together, tolerant

AGAIN = "tcp.analysis.retransmission && tcp.len > 1000"


def uploads(client, server, port, times, padding, timeout=7, family=socket.AF_INET):
    """Small requests that work, and each time one that is large."""
    for _ in range(times):
        with tolerant(), connect(client, server, port, timeout=timeout, family=family) as made:
            ask(made, 300)
            ask(made, 500, padding=40)
            ask(made, 200, padding)


def fetches(client, server, port, times, size, timeout=7, family=socket.AF_INET):
    """Small answers that arrive, and each time one that is large."""
    for _ in range(times):
        with tolerant(), connect(client, server, port, timeout=timeout, family=family) as made:
            ask(made, 300)
            ask(made, 700)
            ask(made, size)


def place(lab, port, rtt, clients=2, **options):
    site = lab.site(rtt=rtt, jitter=0.5, **options)
    server = site.server()
    Service(server, port, exchange())
    return site, server, [site.client(f"client{number}") for number in range(clients)]


@scenario
def mtu_silent_upload(lab):
    """A tunnel on the path drops datagrams above 1400 bytes and nobody is told: large requests hang, small ones do not."""
    site, server, clients = place(lab, 8080, 42, rules=[Larger(TO_SERVER, 1400, ports=8080)])
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8080, 2, 6200) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v4, port=8080, failed=4)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"tcp.dstport == 8080 && {AGAIN}"


@scenario
def mtu_silent_no_sack(lab):
    """The same with clients without SACK: that the small segments behind a hole arrive is only seen by duplicate ACKs."""
    site, server, clients = place(lab, 8081, 48, rules=[Larger(TO_SERVER, 1430, ports=8081)])
    for client in clients:
        client.set(**{"net.ipv4.tcp_sack": 0})
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8081, 2, 6200) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v4, port=8081)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"tcp.dstport == 8081 && {AGAIN}"


@scenario
def mtu_silent_download(lab):
    """The same towards the clients, above 1380 bytes, seen at the server: large answers hang."""
    site, server, clients = place(lab, 8090, 63, rules=[Larger(TO_CLIENT, 1380, ports=8090)])
    with lab.capture(site, "server side"):
        together(*(lambda client=client: fetches(client, server, 8090, 2, 9100) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v4, port=8090, failed=4)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"tcp.srcport == 8090 && {AGAIN}"


@scenario
def mtu_silent_probed(lab):
    """The sender's kernel probes for the path MTU after it notices the hole: large requests arrive at last, in small pieces."""
    site, server, clients = place(lab, 8070, 35, rules=[Larger(TO_SERVER, 1420, ports=8070)])
    for client in clients:
        client.set(**{"net.ipv4.tcp_mtu_probing": 1})
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8070, 1, 5000, timeout=25) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v4, port=8070)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"tcp.dstport == 8070 && {AGAIN}"


@scenario
def mtu_receiver_side(lab):
    """The hole seen behind it: at the clients the large segments never appear, only what is smaller."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8091, 57, rules=[Larger(TO_CLIENT, 1390, ports=8091)])
    with lab.capture(site, "client side"):
        together(*(lambda client=client: fetches(client, server, 8091, 2, 6000) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="receiver_view", severity="warning", server=server.v4, port=8091, failed=4)
    lab.truth.allow("retransmission")
    lab.truth.shows = "tcp.srcport == 8091 && tcp.analysis.lost_segment"


@scenario
def mtu_icmp_honoured(lab):
    """A router with an MTU of 1400 says so by ICMP, and the senders use it at once."""
    site, server, clients = place(lab, 8060, 26, wan_mtu=1400)
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8060, 2, 6000) for client in clients))
        fetches(clients[0], server, 8060, 1, 8000)
    lab.truth.expect("pmtud", server=server.v4, port=8060)
    lab.truth.shows = "icmp.type == 3 && icmp.code == 4"


@scenario
def mtu_icmp_honoured_ipv6(lab):
    """The same over IPv6, with packet too big and an MTU of 1380."""
    site, server, clients = place(lab, 8061, 31, wan_mtu=1380)
    with lab.capture(site, "server side"):
        together(*(lambda client=client: fetches(client, server, 8061, 2, 9000, family=socket.AF_INET6) for client in clients))
    lab.truth.expect("pmtud", server=server.v6, port=8061)
    lab.truth.shows = "icmpv6.type == 2"


@scenario
def mtu_icmp_ignored(lab):
    """The router says fragmentation needed, and the clients' own filter throws it away: they go on with the same size."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8050, 38, wan_mtu=1400)
    for client in clients:
        client.nft("table inet own { chain input { type filter hook input priority 0;\n icmp type destination-unreachable drop\n }\n}\n")
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8050, 2, 6000) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="icmp_ignored", severity="warning", server=server.v4, port=8050, failed=4)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"tcp.dstport == 8050 && {AGAIN}"


@scenario
def mtu_ipv6_filtered(lab):
    """Over IPv6 a router with an MTU of 1400 says packet too big, and its own filter lets none of it out."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8051, 29, wan_mtu=1400)
    site.west.nft("table inet own { chain output { type filter hook output priority 0;\n icmpv6 type packet-too-big drop\n }\n}\n")
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8051, 2, 5500, family=socket.AF_INET6) for client in clients))
        uploads(clients[0], server, 8051, 1, 900, family=socket.AF_INET6)
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v6, port=8051, failed=4)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"ipv6 && tcp.dstport == 8051 && {AGAIN}"


@scenario
def mtu_ipv6_server_side(lab):
    """The same in both directions, seen at the server: large answers and large uploads hang, each without anything small behind."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8052, 33, wan_mtu=1400)
    for router in (site.west, site.east):
        router.nft("table inet own { chain output { type filter hook output priority 0;\n icmpv6 type packet-too-big drop\n }\n}\n")
    with lab.capture(site, "server side"):
        together(lambda: fetches(clients[0], server, 8052, 1, 40_000, timeout=9, family=socket.AF_INET6),
                 lambda: fetches(clients[1], server, 8052, 2, 40_000, timeout=9, family=socket.AF_INET6),
                 lambda: uploads(clients[0], server, 8052, 1, 40_000, timeout=9, family=socket.AF_INET6),
                 lambda: uploads(clients[1], server, 8052, 2, 6000, timeout=9, family=socket.AF_INET6))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v6, port=8052, failed=3)
    lab.truth.expect("mtu_blackhole", variant="receiver_view", severity="warning", server=server.v6, port=8052)
    lab.truth.allow("retransmission")
    lab.truth.shows = f"ipv6 && tcp.srcport == 8052 && {AGAIN}"


def tunnel(site, limit):
    """Both lans' traffic inside VXLAN over the wan."""
    for router, own, other, far4, far6 in ((site.west, 1, 2, site.servers.v4, site.servers.v6), (site.east, 2, 1, site.clients.v4, site.clients.v6)):
        wan = f"10.{site.octet}.0."
        inner4, inner6 = f"10.{site.octet}.255.", f"fd00:{site.octet:x}:ff::"
        router.ip(
            "link set wan mtu 1700",
            f"link add overlay mtu {limit} type vxlan id 4097 local {wan}{own} remote {wan}{other} dstport 4789 dev wan",
            f"addr add {inner4}{own}/30 dev overlay", f"addr add {inner6}{own}/64 dev overlay nodad", "link set overlay up",
            f"route replace {far4} via {inner4}{other} dev overlay", f"route replace {far6} via {inner6}{other} dev overlay",
        )
        router.plain("overlay")


@scenario
def mtu_vxlan(lab):
    """Inside VXLAN hosts use 1500 bytes, and so does the network beneath: encapsulated, large datagrams are 1550 and vanish."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8040, 17, rules=both(Larger, 1500))
    tunnel(site, 1500)
    with lab.capture(site, "middle"):
        together(*(lambda client=client: uploads(client, server, 8040, 2, 6000) for client in clients))
    lab.truth.expect("mtu_blackhole", variant="silent", severity="warning", server=server.v4, port=8040, failed=4)
    # The background's pages of 4 kB come from behind the hole, too.
    lab.truth.allow("retransmission", "capture_loss")
    lab.truth.shows = f"vxlan && tcp.dstport == 8040 && {AGAIN}"


@scenario
def mtu_vxlan_right(lab):
    """The same overlay with an MTU of 1450: nothing is lost."""
    lab.truth.sees_all = False
    site, server, clients = place(lab, 8041, 20, rules=both(Larger, 1500))
    tunnel(site, 1450)
    with lab.capture(site, "middle"):
        together(*(lambda client=client: uploads(client, server, 8041, 2, 6000) for client in clients))
    # The routers at the tunnel's ends say fragmentation needed to their hosts; here only what is sent again in pieces that fit is seen.
    lab.truth.allow("retransmission")
    lab.truth.shows = "vxlan && tcp.dstport == 8041 && tcp.len > 1300"


@scenario
def mtu_clamped(lab):
    """Datagrams above 1400 bytes vanish, and a router clamps the MSS to 1360, so that there are none."""
    site, server, clients = place(lab, 8030, 23, rules=both(Larger, 1400, ports=8030))
    site.west.nft("table inet own { chain forward { type filter hook forward priority 0;\n tcp flags syn tcp option maxseg size set 1360\n }\n}\n")
    with lab.capture(site, "client side"):
        together(*(lambda client=client: uploads(client, server, 8030, 2, 7000) for client in clients))
        fetches(clients[0], server, 8030, 2, 9000)
    lab.truth.shows = "tcp.port == 8030 && tcp.options.mss_val == 1360"
