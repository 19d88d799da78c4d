"""Connections that begin in one protocol and go on in another, HTTP/2 in plain text, and proxies in front."""

import smtplib
import socket
import ssl
import time

from ..certs import Authority
from ..lab import scenario
from ..services import FILLER, Service, connect, tolerant
from ..web import Nginx, curl


def mail(context=None):
    """A mail server: it offers STARTTLS, and does it with a context only."""

    def handle(connection):
        lines = connection.makefile("rb")
        connection.sendall(b"220 mail.lab.example ESMTP\r\n")
        while line := lines.readline():
            word = line.split()[0].upper()
            if word == b"EHLO":
                connection.sendall(b"250-mail.lab.example\r\n250-SIZE 1000000\r\n250 STARTTLS\r\n")
            elif word == b"STARTTLS" and context:
                connection.sendall(b"220 2.0.0 Ready to start TLS\r\n")
                connection = context.wrap_socket(connection, server_side=True)
                lines = connection.makefile("rb")
            elif word == b"STARTTLS":
                connection.sendall(b"454 4.7.0 TLS not available due to local problem\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                while lines.readline().strip() != b".":
                    pass
                connection.sendall(b"250 2.0.0 taken\r\n")
            elif word == b"QUIT":
                connection.sendall(b"221 2.0.0 bye\r\n")
                return
            else:
                connection.sendall(b"250 2.0.0 fine\r\n")

    return handle


def certified(lab):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(lab.work / "ca", "lab.example").leaf("leaf", "mail.lab.example"))
    return context


class Mail(smtplib.SMTP):
    """smtplib with a socket of a node."""

    def __init__(self, node):
        self.node = node
        super().__init__(timeout=15, local_hostname="client.lab.example")

    def _get_socket(self, host, port, timeout):
        return connect(self.node, host, port, timeout)


def deliver(client, server, required=True):
    """A letter; without `required` in plain text when it must be."""
    letter = Mail(client)
    letter.connect(server.v4, 25)
    letter._host = "mail.lab.example"
    unverified = ssl._create_unverified_context()
    try:
        letter.starttls(context=unverified)
    except smtplib.SMTPException:
        if required:
            letter.quit()
            return
    letter.sendmail("a@lab.example", ["b@lab.example"], "Subject: test\r\n\r\n" + FILLER[:3000].decode())
    letter.quit()


@scenario
def starttls_refused(lab):
    """A mail server offers STARTTLS and refuses it: the clients insist on it and leave; another server does it."""
    site = lab.site(rtt=21, jitter=0.3)
    broken, well, client, other = site.server("broken"), site.server("well"), site.client(), site.client("other")
    context = certified(lab)
    Service(broken, 25, mail())
    Service(well, 25, mail(context))
    with lab.capture(site, "client side"):
        for _ in range(3):
            for sender in (client, other):
                deliver(sender, broken)
                deliver(sender, well)
                time.sleep(0.1)
    lab.truth.expect("tls_abort", variant="starttls_refused", server=broken.v4, port=25)
    lab.truth.shows = "smtp.response.code == 454"


@scenario
def healthy_starttls(lab):
    """Mail goes over to TLS; a server that refuses it for once gets it in plain text; PostgreSQL clients ask and do without."""
    site = lab.site(rtt=13, jitter=0.3)
    well, without, client = site.server("well"), site.server("without"), site.client()
    context = certified(lab)
    Service(well, 25, mail(context))
    Service(without, 25, mail())

    def database(connection):
        connection.recv(8)
        connection.sendall(b"N")
        while connection.recv(4000):
            connection.sendall(b"R\0\0\0\x08\0\0\0\0" + FILLER[:200])

    Service(without, 5432, database)
    with lab.capture(site, "middle"):
        for number in range(6):
            deliver(client, well)
            deliver(client, without, required=False)
            asks = connect(client, without, 5432)
            asks.sendall(bytes([0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F]))
            asks.recv(1)
            asks.sendall(b"\0\0\0\x1b\0\x03\0\0user\0app\0database\0\0")
            asks.recv(1000)
            asks.close()
    lab.truth.shows = 'frame contains "STARTTLS"'


GRPC = """
server {{
  listen {port} http2;
  root {folder}/pages;
  location /shop.Cart/Get {{ default_type application/grpc; add_header grpc-status 14; return 200; }}
  location /shop.Cart/List {{ default_type application/grpc; add_header grpc-status 0; return 200; }}
  location /shop.Cart/Find {{ default_type application/grpc; add_header grpc-status 5; return 200; }}
}}
"""


def call(client, server, method, data=b"\0\0\0\0\3abc"):
    file = client.lab.work / "message"
    file.write_bytes(data)
    fields = ("--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", f"@{file}")
    curl(client, f"http://{server.v4}:50051/shop.Cart/{method}", "--http2-prior-knowledge", *fields)


@scenario
def grpc_unavailable(lab):
    """A method of a gRPC service answers UNAVAILABLE, another is well; the network between them is healthy."""
    site = lab.site(rtt=11, jitter=0.2)
    server, client, other = site.server(), site.client(), site.client("other")
    nginx = Nginx(server)
    nginx.own(GRPC.format(port=50051, folder=nginx.folder)).start()
    with lab.capture(site, "client side"):
        for _ in range(5):
            for asks in (client, other):
                call(asks, server, "Get")
                call(asks, server, "List")
    lab.truth.expect("http_error", variant="grpc_status", server=server.v4, port=50051)
    lab.truth.shows = "tcp.srcport == 50051 && tcp.len > 0"


@scenario
def healthy_http2(lab):
    """HTTP/2 in plain text: with prior knowledge and by upgrade, gRPC with OK and NOT_FOUND, large pages."""
    site = lab.site(rtt=34, jitter=0.3)
    server, client = site.server(), site.client()
    nginx = Nginx(server).plain(80)
    nginx.own(GRPC.format(port=50051, folder=nginx.folder)).start()
    with lab.capture(site, "middle"):
        for _ in range(4):
            call(client, server, "List")
            call(client, server, "Find")
            curl(client, f"http://{server.v4}:50051/large", "--http2-prior-knowledge")
            curl(client, f"http://{server.v4}:80/page", "--http2")
    lab.truth.shows = "tcp.srcport == 50051 && tcp.len > 0"


BEHIND = """
server {{
  listen {port} proxy_protocol;
  root {folder}/pages;
}}
"""


@scenario
def healthy_proxy_protocol(lab):
    """A service behind a proxy that names its clients: HTTP behind PROXY version 1 and mail behind version 2."""
    site = lab.site(rtt=9, jitter=0.2)
    server, proxy = site.server(), site.client("proxy")
    nginx = Nginx(server)
    nginx.own(BEHIND.format(port=8080, folder=nginx.folder)).start()
    context = certified(lab)

    def behind(connection):
        connection.recv(28, socket.MSG_WAITALL)
        mail(context)(connection)

    Service(server, 25, behind)
    with lab.capture(site, "client side"):
        for number in range(6):
            http = connect(proxy, server, 8080)
            http.sendall(f"PROXY TCP4 10.77.0.{number} {server.v4} 4100{number} 8080\r\n".encode())
            http.sendall(b"GET /page HTTP/1.1\r\nHost: shop.lab.example\r\nConnection: close\r\n\r\n")
            while http.recv(10000):
                pass
            http.close()
            ends = socket.inet_aton(f"10.77.1.{number}") + socket.inet_aton(server.v4)
            letter = connect(proxy, server, 25)
            ports = (42000 + number).to_bytes(2, "big") + (25).to_bytes(2, "big")
            letter.sendall(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + ends + ports)
            with tolerant():
                letter.recv(1000)
                letter.sendall(b"EHLO a.lab.example\r\n")
                letter.recv(1000)
                letter.sendall(b"STARTTLS\r\n")
                letter.recv(1000)
                unverified = ssl._create_unverified_context()
                secure = unverified.wrap_socket(letter, server_hostname="mail.lab.example")
                secure.sendall(b"QUIT\r\n")
                secure.recv(1000)
                secure.close()
    lab.truth.shows = 'frame contains "PROXY TCP4"'
