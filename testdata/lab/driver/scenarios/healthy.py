"""Nothing is wrong."""

import time

from ..lab import scenario
from ..services import Service, ask, connect, exchange


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
