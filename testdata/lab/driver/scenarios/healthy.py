"""Nothing is wrong, though it may look so."""

import time

from ..capture import dumpcap
from ..frame import TO_CLIENT, TO_SERVER
from ..lab import scenario
from ..rules import Every, Hold, both
from ..services import Service, ask, connect, exchange, read
from ..web import Nginx, curl


@scenario
def healthy_mix(lab):
    """Web, TLS 1.2 and 1.3, DNS with a search list and type 65, keep-alives, RST after FIN: all well."""
    site = lab.site(rtt=18, jitter=1.5)
    server, client = site.server(), site.client()
    Service(server, 5432, exchange())
    with lab.capture(site, "client side"):
        for family in (2, 10):
            with connect(client, server, 5432, family=family) as made:
                for size in (40, 900, 5000, 12000):
                    ask(made, size, padding=60)
                    time.sleep(0.3)
        time.sleep(3)
    lab.truth.shows = "tcp.flags.fin == 1"


@scenario
def healthy_satellite(lab):
    """A round trip of 620 ms: everything takes long, and nothing is sent twice."""
    site = lab.site(rtt=620, jitter=8)
    server, client = site.server(), site.client()
    Service(server, 5432, exchange())
    with lab.capture(site, "server side"):
        for family in (2, 10):
            with connect(client, server, 5432, family=family) as made:
                ask(made, 30000, padding=60)
    # Its own host's longest timers may be shorter than this path: what it sends again then is not lost.
    lab.truth.event("sent_again", most=0)
    lab.truth.shows = "tcp.srcport == 5432 && tcp.len > 0"


@scenario
def healthy_restart(lab):
    """A service is restarted with care: forty connections are closed by FIN at once, and opened again."""
    site = lab.site(rtt=12, jitter=0.3)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    first = Service(server, 5222, exchange())
    with lab.capture(site, "client side"):
        made = [connect(clients[number % 3], server, 5222, family=(2, 10)[number % 2]) for number in range(40)]
        for connection in made:
            ask(connection, 100)
        time.sleep(0.3)
        first.finish()
        for connection in made:
            read(connection)
            connection.close()
        Service(server, 5222, exchange())
        for number in range(40):
            with connect(clients[number % 3], server, 5222, family=(2, 10)[number % 2]) as again:
                ask(again, 100)
    lab.truth.shows = "tcp.srcport == 5222 && tcp.flags.fin == 1"


@scenario
def healthy_happy_eyeballs(lab):
    """IPv6 is slower than curl waits: IPv4 wins each time, and the IPv6 attempt is given up as it opens."""
    slow = {"ports": 8099, "match": lambda frame: ":" in (frame.source or "")}
    site = lab.site(rtt=20, jitter=0.3, rules=[Hold(TO_SERVER, 0.15, **slow), Hold(TO_CLIENT, 0.15, **slow)])
    server, client = site.server(), site.client()
    Nginx(server).plain(8099).start()
    with lab.capture(site, "client side"):
        for _ in range(6):
            curl(client, "http://app.lab.example:8099/page", "--resolve", f"app.lab.example:8099:[{server.v6}],{server.v4}")
            time.sleep(0.6)
    lab.truth.shows = "ipv6 && tcp.dstport == 8099 && tcp.flags.syn == 1"


@scenario
def healthy_duplicated(lab):
    """The path delivers every eleventh packet of a service twice; the receivers say so, and nothing is lost."""
    site = lab.site(rtt=34, jitter=0.3, rules=both(Every, 11, ("copy", 0.0006), ports=8100))
    server, client = site.server(), site.client()
    Service(server, 8100, exchange())
    with lab.capture(site, "client side"):
        for family in (2, 10):
            with connect(client, server, 8100, family=family) as made:
                for _ in range(3):
                    ask(made, 24000, padding=3000)
    lab.truth.event("sent_again", most=0)
    lab.truth.sees_all = False
    lab.truth.shows = "tcp.srcport == 8100 && tcp.analysis.retransmission"


@scenario
def healthy_pcapng(lab):
    """The healthy mix, written by dumpcap as pcapng with what it knows of the interface and its drops."""
    site = lab.site(rtt=27, jitter=0.6)
    server, client = site.server(), site.client()
    Service(server, 5432, exchange())
    with lab.capture(site, "middle", tool=dumpcap, file="healthy_pcapng.pcapng"):
        for family in (2, 10):
            with connect(client, server, 5432, family=family) as made:
                for size in (100, 3000, 9000):
                    ask(made, size, padding=600)
                    time.sleep(0.3)
        time.sleep(2)
    lab.truth.shows = "tcp.port == 5432 && tcp.len > 0"
