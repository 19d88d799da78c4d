"""TLS handshakes that fail, and closings that look like it."""

import os
import ssl
import time
from contextlib import contextmanager

from .. import names
from ..capture import dumpcap
from ..certs import Authority
from ..lab import scenario
from ..net import run, until
from ..services import Service, connect, thread
from ..web import Nginx, curl

HOST = "pay.lab.example"


class Place:
    """A TLS server of the name HOST and two hosts that ask it."""

    def __init__(self, lab, rtt):
        self.lab, self.site = lab, lab.site(rtt=rtt, jitter=0.4)
        self.server = self.site.server()
        self.clients = [self.site.client("client1"), self.site.client("client2")]
        self.authority = Authority(lab.work / "ca", "lab.example")

    def nginx(self, days=(-40, 50), chain=("issuing",), authority=None, host=HOST, port=443, **options):
        leaf = (authority or self.authority).leaf("leaf", host, days, chain)
        Nginx(self.server).tls(*leaf, port=port, name=HOST, **options).start()

    def root(self, authority=None):
        return "--cacert", (authority or self.authority).path("root.pem")

    def ask(self, times, *options, port=443, path="small", ipv6=False):
        """Both clients ask so many times."""
        to = f"[{self.server.v6}]" if ipv6 else self.server.v4
        for _ in range(times):
            for client in self.clients:
                curl(client, f"https://{HOST}:{port}/{path}", "--resolve", f"{HOST}:{port}:{to}", *options, timeout=5)
                time.sleep(0.15)


def sends(alert, port=443, sender="dst"):
    return f"tcp.{sender}port == {port} && tls.alert_message.desc == {alert}"


@scenario
def tls_expired_leaf(lab):
    """The server's certificate expired eleven days ago; clients of TLS 1.2 say so."""
    place = Place(lab, 27)
    place.nginx(days=(-380, -11))
    with lab.capture(place.site, "client side"):
        place.ask(3, "--tls-max", "1.2", *place.root())
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=443, mentions="certificate_expired", failed=6)
    lab.truth.expect("tls_certificate", variant="expired", server=place.server.v4, port=443)
    lab.truth.shows = sends(45)


@scenario
def tls_expired_intermediate(lab):
    """The leaf is valid, the intermediate that signed it expired two days ago; one host does not check."""
    place = Place(lab, 54)
    old = Authority(lab.work / "old", "lab.example", issuing=(-700, -2))
    place.nginx(authority=old, port=8443)
    with lab.capture(place.site, "server side"):
        place.ask(2, "--tls-max", "1.2", *place.root(old), port=8443)
        place.ask(1, "--tls-max", "1.2", "--insecure", port=8443)
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=8443, mentions="certificate_expired", failed=4)
    lab.truth.expect("tls_certificate", variant="expired_intermediate", server=place.server.v4, port=8443)
    lab.truth.shows = sends(45, port=8443)


@scenario
def tls_three_trust_stores(lab):
    """The intermediate expired two days ago: one host has a newer store and goes on, one says expired, one does not know the root."""
    place = Place(lab, 31)
    old = Authority(lab.work / "old", "lab.example", issuing=(-700, -2))
    place.nginx(authority=old)
    strict, unknown = place.clients
    lenient = place.site.client("client3")
    with lab.capture(place.site, "client side"):
        for _ in range(4):
            for client, store in ((strict, place.root(old)), (unknown, place.root()), (lenient, ("--insecure",))):
                curl(client, f"https://{HOST}/small", "--resolve", f"{HOST}:443:{place.server.v4}", "--tls-max", "1.2", *store, timeout=5)
                time.sleep(0.15)
    lab.truth.expect("tls_certificate", variant="expired_intermediate", severity="warning", server=place.server.v4, port=443, failed=8)
    lab.truth.allow("tls_alert")
    lab.truth.shows = sends(48)


@scenario
def tls_missing_intermediate(lab):
    """The server sends its leaf without the intermediate; clients that do not have it do not know the issuer."""
    place = Place(lab, 19)
    place.nginx(chain=())
    with lab.capture(place.site, "middle"):
        place.ask(3, "--tls-max", "1.2", *place.root())
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=443, mentions="unknown_ca", failed=6)
    lab.truth.expect("tls_certificate", variant="incomplete_chain", server=place.server.v4, port=443)
    lab.truth.shows = sends(48)


@scenario
def tls_unknown_ca(lab):
    """Clients do not have the private authority that signed the server's whole chain; over IPv6."""
    place = Place(lab, 73)
    place.nginx()
    with lab.capture(place.site, "client side"):
        place.ask(3, "--tls-max", "1.2", "-6", ipv6=True)
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v6, port=443, mentions="unknown_ca", failed=6)
    lab.truth.shows = sends(48)


def s_client(node, server, *options, port=443, given="GET /small HTTP/1.0\r\n\r\n"):
    words = ["openssl", "s_client", "-connect", f"{server.v4}:{port}", "-servername", HOST, "-quiet", *options]
    return node.run("timeout", "5", *words, given=given, check=False)


@scenario
def tls_name_mismatch(lab):
    """The certificate is valid for another name; clients that check say bad certificate."""
    place = Place(lab, 33)
    place.nginx(host="shop.lab.example")
    with lab.capture(place.site, "client side"):
        for _ in range(3):
            for client in place.clients:
                s_client(client, place.server, "-tls1_2", "-CAfile", place.authority.path("root.pem"), "-verify_hostname", HOST, "-verify_return_error")
                time.sleep(0.2)
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=443, mentions="bad_certificate", failed=6)
    lab.truth.expect("tls_certificate", variant="name_mismatch", server=place.server.v4, port=443)
    lab.truth.shows = sends(42)


@scenario
def tls_protocol_version(lab):
    """The server speaks TLS 1.3 only, one of the clients nothing above 1.2."""
    place = Place(lab, 46)
    place.nginx(protocols="TLSv1.3")
    with lab.capture(place.site, "client side"):
        place.ask(3, "--tls-max", "1.2", *place.root())
        place.ask(1, *place.root())
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=443, mentions="protocol_version", failed=6)
    lab.truth.shows = sends(70, sender="src")


@scenario
def tls_no_common_cipher(lab):
    """The clients offer ciphers for RSA certificates, the server has an elliptic curve's: handshake failure."""
    place = Place(lab, 22)
    place.nginx(port=9443)
    with lab.capture(place.site, "server side"):
        place.ask(3, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", *place.root(), port=9443)
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=9443, mentions="handshake_failure", failed=6)
    lab.truth.shows = sends(40, port=9443, sender="src")


def s_server(place, *options, port=443):
    chain, key = place.authority.leaf("leaf", HOST)
    place.server.start("openssl", "s_server", "-accept", port, "-cert", place.authority.path("leaf.pem"), "-key", key,
                       "-cert_chain", place.authority.path("issuing.pem"), "-www", *options)
    until(lambda: f":{port} " in place.server.run("ss", "-Hlnt"))


@scenario
def tls_client_certificate(lab):
    """The server wants a certificate of its clients; one has none, the other has."""
    place = Place(lab, 38)
    s_server(place, "-Verify", "2", "-verify_return_error", "-CAfile", place.authority.path("root.pem"), port=6443)
    mine = place.authority.leaf("mine", "batch.lab.example")
    with lab.capture(place.site, "client side"):
        for _ in range(3):
            place.ask(1, "--tls-max", "1.2", *place.root(), port=6443, path="")
            s_client(place.clients[0], place.server, "-tls1_2", "-cert", mine[0], "-key", mine[1], port=6443)
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=6443, mentions="handshake_failure", failed=6)
    lab.truth.shows = sends(40, port=6443, sender="src")


@scenario
def tls13_encrypted_alert(lab):
    """In TLS 1.3 the clients reject an expired certificate; what they say is encrypted."""
    place = Place(lab, 41)
    place.nginx(days=(-400, -3))
    with lab.capture(place.site, "server side"):
        place.ask(4, "--tlsv1.3", *place.root())
    lab.truth.expect("tls_alert", server=place.server.v4, port=443)
    lab.truth.shows = "tcp.dstport == 443 && tls.record.opaque_type == 23 && tcp.len < 60"


@contextmanager
def keys_in_file(lab, site, vantage):
    """A capture as pcapng with the secrets of curl's sessions in it, healthy ones included."""
    file, keys = f"{lab.name}.pcapng", lab.work / "keys"
    os.environ["SSLKEYLOGFILE"] = str(keys)
    with lab.capture(site, vantage, tool=dumpcap, file=file):
        yield
    run("editcap", "-F", "pcapng", "--inject-secrets", f"tls,{keys}", lab.work / file, lab.work / "with-keys")
    (lab.work / "with-keys").replace(lab.work / file)


@scenario
def tls13_expired_keys(lab):
    """The same, and the file has the keys of the sessions: the certificate and what the clients say of it can be read."""
    place = Place(lab, 33)
    place.nginx(days=(-400, -3))
    with keys_in_file(lab, place.site, "client side"):
        place.ask(4, "--tlsv1.3", *place.root())
    lab.truth.expect("tls_alert", severity="warning", server=place.server.v4, port=443, mentions="certificate_expired", failed=8)
    lab.truth.expect("tls_certificate", variant="expired", server=place.server.v4, port=443)
    lab.truth.shows = sends(45)


def inside(place, *versions):
    """Asks by HTTP/1.1 and by HTTP/2 inside each version of TLS."""
    for version in versions:
        for protocol in ("--http1.1", "--http2"):
            place.ask(2, *version, protocol, *place.root(), path="page")
            place.ask(1, *version, protocol, *place.root(), path="missing")


@scenario
def healthy_tls_keys(lab):
    """HTTP/1.1 and HTTP/2 inside TLS 1.2 and 1.3, with AES-GCM, ChaCha20 and AES-CBC and with the keys in the file: all well."""
    place = Place(lab, 21)
    place.nginx(port="443 http2")
    with keys_in_file(lab, place.site, "server side"):
        inside(place, ("--tls-max", "1.2"), ("--tlsv1.3",), ("--tlsv1.3", "--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"))
        for suite in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384"):
            place.ask(1, "--tls-max", "1.2", "--ciphers", suite, "--http1.1", *place.root(), path="page")
    lab.truth.shows = "http.response.code == 200 || http2.headers.status == 200"


@scenario
def http_error_inside_tls(lab):
    """A service answers half of its requests with 503, inside TLS 1.3, and the file has the keys."""
    place = Place(lab, 18)
    place.nginx(extra='location /orders { if ($request_id ~ "[0-7]$") { return 503; } return 200; }')
    with keys_in_file(lab, place.site, "client side"):
        place.ask(12, "--tlsv1.3", *place.root(), path="orders")
    lab.truth.expect("http_error", server=place.server.v4, port=443)
    lab.truth.shows = "tcp.srcport == 443 && http.response.code == 503"


@scenario
def tls_hello_silence(lab):
    """The server acknowledges the ClientHello and never says a word; the clients give up after five seconds."""
    place = Place(lab, 30)
    Service(place.server, 443, lambda connection: time.sleep(8))
    with lab.capture(place.site, "client side"):
        for client in place.clients:
            thread(curl, client, f"https://{HOST}/", "--resolve", f"{HOST}:443:{place.server.v4}")
        place.ask(1)
    lab.truth.expect("tls_stall", variant="server_hello", server=place.server.v4, port=443)
    lab.truth.shows = "tcp.dstport == 443 && tls.handshake.type == 1"


@scenario
def tls_plain_text(lab):
    """A port that clients take for TLS speaks plain HTTP: an answer of 400 instead of a ServerHello."""
    place = Place(lab, 25)
    Nginx(place.server).plain(8443).start()
    with lab.capture(place.site, "client side"):
        place.ask(3, *place.root(), port=8443)
    # What clients say then, protocol version, is an alert all the same.
    lab.truth.allow("tls_alert")
    lab.truth.expect("tls_abort", variant="not_tls", server=place.server.v4, port=8443)
    lab.truth.shows = "tcp.srcport == 8443 && tcp.len > 0"


@scenario
def tls_http_on_tls_port(lab):
    """Clients speak plain HTTP to a TLS port, and the server tells them in plain text."""
    place = Place(lab, 36)
    place.nginx()
    with lab.capture(place.site, "middle"):
        for _ in range(3):
            for client in place.clients:
                curl(client, f"http://{place.server.v4}:443/small")
                time.sleep(0.2)
    lab.truth.expect("tls_abort", variant="plain_text", server=place.server.v4, port=443)
    lab.truth.shows = 'tcp.dstport == 443 && frame contains "GET /small"'


@scenario
def tls_closed_well(lab):
    """Two dozen sessions of TLS 1.2 and 1.3, over both families, all closed by close_notify."""
    place = Place(lab, 15)
    place.nginx()
    with lab.capture(place.site, "client side"):
        for version in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            place.ask(3, *version, *place.root())
            place.ask(3, *version, "-6", *place.root(), ipv6=True)
    lab.truth.shows = "tcp.port == 443 && tls.record.content_type == 21"


@scenario
def dot_servfail_keys(lab):
    """A resolver answers SERVFAIL for one zone over TLS, other names resolve, and the file has the keys."""
    place = Place(lab, 24)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*place.authority.leaf("leaf", HOST))
    trusting = ssl.create_default_context(cafile=place.authority.path("root.pem"))

    def resolve(connection):
        with context.wrap_socket(connection, server_side=True) as secured:
            while length := secured.recv(2):
                query = secured.recv(int.from_bytes(length))
                answer = names.answer(query, code=2) if b"orders" in query else names.answer(query, [place.server.v4])
                secured.sendall(len(answer).to_bytes(2) + answer)

    Service(place.server, 853, resolve)
    with keys_in_file(lab, place.site, "client side"):
        trusting.keylog_filename = os.environ["SSLKEYLOGFILE"]
        for client in place.clients:
            with trusting.wrap_socket(connect(client, place.server, 853), server_hostname=HOST) as secured:
                for number, host in enumerate(["www", "db.orders", "mail", "db.orders", "web.orders"], 1):
                    query = names.question(f"{host}.lab.example", names.A, number)
                    secured.sendall(len(query).to_bytes(2) + query)
                    secured.recv(2 + int.from_bytes(secured.recv(2)))
                    time.sleep(0.2)
    lab.truth.expect("dns_servfail", severity="warning", server=place.server.v4, port=853, mentions="lab.example", failed=6)
    lab.truth.shows = "tls && dns.flags.response == 1 && dns.flags.rcode == 2"
