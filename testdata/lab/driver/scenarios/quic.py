"""QUIC, and TCP in its place."""

import sys
import time
from pathlib import Path

from ..certs import Authority
from ..frame import TO_SERVER
from ..lab import scenario
from ..net import until
from ..rules import Drop
from ..services import together
from ..web import Nginx, curl
from .tls import keys_in_file

HOST = "media.lab.example"
PEER = Path(__file__).parent.parent / "quic_peer.py"
UDP = 17
BLOCKED = 77


class Server:
    """A host that serves HOST by QUIC and by TCP."""

    def __init__(self, lab, site, name, *options, number=None, **leaf):
        self.node = site.server(name, number=number)
        self.authority = Authority(lab.work / f"ca-{name}", "lab.example")
        chain, key = self.authority.leaf("leaf", HOST, **leaf)
        Nginx(self.node).tls(chain, key, name=HOST).start()
        self.node.start(sys.executable, PEER, "serve", 443, chain, key, *options)
        until(lambda: self.node.run("ss", "-Hlnu", "sport = :443").strip(), 40)

    def over_quic(self, client, seconds, ipv6=False, checked=False):
        """What became of it."""
        address = self.node.v6 if ipv6 else self.node.v4
        root = [self.authority.path("root.pem")] if checked else []
        return client.run(sys.executable, PEER, "ask", address, 443, HOST, seconds, *root).strip()

    def over_tcp(self, client, ipv6=False):
        address = f"[{self.node.v6}]" if ipv6 else self.node.v4
        return curl(client, f"https://{HOST}/small", "--resolve", f"{HOST}:443:{address}", "--cacert", self.authority.path("root.pem"))


def wanted(what, *allowed):
    if what not in allowed:
        raise RuntimeError(f"the client says {what}")


@scenario
def quic_blocked(lab):
    """A filter drops UDP to port 443 of one server: its clients ask by QUIC for three seconds each, and then by TCP."""
    # The relay starts with the site, before any host has an address: the host's number says which.
    to_blocked = lambda frame: frame.protocol == UDP and frame.target.endswith(f".{BLOCKED}")
    site = lab.site(rtt=22, jitter=0.3, rules=[Drop(TO_SERVER, 443, match=to_blocked)])
    clients = [site.client(f"client{number}") for number in (1, 2, 3)]
    there, well = Server(lab, site, "there", number=BLOCKED), Server(lab, site, "well")

    def ask(client):
        for _ in range(2):
            wanted(there.over_quic(client, 3), "silent")
            there.over_tcp(client)
            wanted(well.over_quic(client, 10), "answered")

    with lab.capture(site, "client side"):
        together(*(lambda client=client: ask(client) for client in clients))
        time.sleep(1)
    lab.truth.expect("quic", variant="fall_back", severity="warning", server=there.node.v4, port=443, mentions="TCP", failed=6)
    lab.truth.shows = f"udp.dstport == 443 && ip.dst == {there.node.v4}"


@scenario
def healthy_quic(lab):
    """QUIC with and without Retry, over both families, some of it beside TCP: all well."""
    site = lab.site(rtt=41, jitter=0.3)
    clients = [site.client(f"client{number}") for number in (1, 2)]
    plain, retrying = Server(lab, site, "plain"), Server(lab, site, "retrying", "retry")
    with lab.capture(site, "client side"):
        for client in clients:
            for ipv6 in (False, True):
                wanted(plain.over_quic(client, 10, ipv6), "answered")
                wanted(retrying.over_quic(client, 10, ipv6), "answered")
            # The race that TCP wins: who asked by QUIC stops before there is an answer.
            together(lambda: plain.over_tcp(client), lambda: wanted(plain.over_quic(client, 0.03), "silent", "answered"))
        time.sleep(0.5)
    lab.truth.shows = "quic.long.packet_type == 0 && tls.handshake.type == 2"


@scenario
def quic_expired_keys(lab):
    """Clients reject the expired certificate of a QUIC server, others ask another one; the file has the keys of the sessions."""
    site = lab.site(rtt=33, jitter=0.3)
    clients = [site.client(f"client{number}") for number in (1, 2, 3)]
    expired, well = Server(lab, site, "expired", days=(-400, -3)), Server(lab, site, "well")
    with keys_in_file(lab, site, "client side"):
        for client in clients:
            for _ in range(2):
                if not expired.over_quic(client, 10, checked=True).startswith("failed"):
                    raise RuntimeError("the client takes the certificate")
            if well.over_quic(client, 10, checked=True) != "answered":
                raise RuntimeError("the client does not take the other certificate")
    server = expired.node.v4
    lab.truth.expect("tls_alert", severity="warning", server=server, port=443, mentions="certificate_expired", failed=6)
    lab.truth.expect("tls_certificate", variant="expired", server=server, port=443)
    lab.truth.shows = "quic.cc.error_code == 301"


@scenario
def healthy_quic_keys(lab):
    """QUIC over both families, with Retry and without, with the keys in the file: all well."""
    site = lab.site(rtt=28, jitter=0.3)
    clients = [site.client(f"client{number}") for number in (1, 2)]
    plain, retrying = Server(lab, site, "plain"), Server(lab, site, "retrying", "retry")
    with keys_in_file(lab, site, "server side"):
        for client in clients:
            for ipv6 in (False, True):
                wanted(plain.over_quic(client, 10, ipv6, checked=True), "answered")
                wanted(retrying.over_quic(client, 10, ipv6, checked=True), "answered")
    lab.truth.shows = "quic && x509ce.dNSName == \"" + HOST + "\""


@scenario
def quic_moved(lab):
    """Three clients ask fourteen times on one QUIC connection each; two of them go on from another port in the middle, as behind a NAT."""
    site = lab.site(rtt=36, jitter=0.3)
    server = Server(lab, site, "server")

    def talk(client, *move):
        wanted(client.run(sys.executable, PEER, "talk", server.node.v4, 443, HOST, 14, *move, timeout=40).strip(), "answered")

    clients = [site.client(f"client{number}") for number in (1, 2, 3)]
    with lab.capture(site, "client side"):
        together(*(lambda client=client, move=move: talk(client, *move) for client, move in zip(clients, ([], ["move"], ["move"]))))
        time.sleep(0.5)
    lab.truth.expect("quic", variant="moved", server=server.node.v4, port=443, mentions="2 connections from another port")
    lab.truth.shows = f"quic.spin_bit == 1 && ip.addr == {server.node.v4}"
