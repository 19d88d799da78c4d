"""Losses at random and to a list; reordering; delays."""

import time

from ..frame import TO_CLIENT, TO_SERVER
from ..lab import scenario
from ..rules import Every, Loss, Nth, data
from ..services import Service, ask, connect, exchange, feed, read, together


def ticker(lab, site, vantage, port, count, size, gap, connections=3):
    """Clients that are sent small messages, so that a small capture has many segments."""
    server, clients = site.server(), [site.client(f"client{number}") for number in range(connections)]
    Service(server, port, feed(count, size, gap, first=1))

    def subscribe(client):
        with connect(client, server, port, timeout=40) as made:
            made.sendall(b"s")
            read(made)

    with lab.capture(site, vantage):
        together(*(lambda client=client: subscribe(client) for client in clients))
    return server


@scenario
def loss_random_1(lab):
    """1 % of the segments towards the clients is lost at random, behind the capture point at the server."""
    site = lab.site(rtt=34, jitter=0.8, rules=[Loss(TO_CLIENT, 0.01, seed=11, ports=5672, match=data)])
    server = ticker(lab, site, "server side", 5672, count=330, size=90, gap=0.012)
    lab.truth.expect("retransmission", server=server.v4, port=5672)
    lab.truth.shows = "tcp.srcport == 5672 && tcp.analysis.retransmission"
