"""What applications, their proxies and their monitoring do wrong."""

import socket
import time

from .. import names
from ..frame import ACK, RST
from ..lab import scenario
from ..middlebox import Middlebox, Segment
from ..services import FILLER, Service, ask, connect, exchange, read, thread, together, tolerant
from ..web import Nginx, curl
from .asymmetric import talk
from .opening import FORWARD

API = """
server {{
  listen {port};
  root {folder}/pages;
  location /api/ {{ default_type application/json; {answer} }}
}}
"""


def api(node, port, answer):
    """An nginx whose /api/ is this answer; it has the usual pages, too."""
    server = Nginx(node)
    return server.own(API.format(port=port, folder=server.folder, answer=answer)).start()


@scenario
def http_moved(lab):
    """An ingress sends a path to the wrong backend from a moment on: 200 becomes 404, and other paths go on."""
    site = lab.site(rtt=17, jitter=0.3)
    right, wrong, client = site.server("right"), site.server("wrong"), site.client()
    api(right, 8080, "return 200 '{\"items\":[]}';")
    api(wrong, 8080, "return 404 'no such route';")
    with lab.capture(site, "client side"):
        for backend in (right, wrong):
            for number in range(9):
                to = ("--resolve", f"shop.lab.example:8080:{backend.v4}")
                curl(client, "http://shop.lab.example:8080/api/cart", *to)
                if number % 3 == 0:
                    curl(client, "http://shop.lab.example:8080/small", "--resolve", f"shop.lab.example:8080:{right.v4}")
    lab.truth.expect("http_error", variant="moved", severity="warning", server=wrong.v4, port=8080, mentions="shop.lab.example")
    lab.truth.shows = "http.response.code == 404"


INGRESS = """
server {{
  listen 8000;
  location /ops/ {{ proxy_pass http://{ops}:8080; }}
  location / {{ proxy_pass http://{shop}:8080; }}
}}
"""


@scenario
def http_misrouted(lab):
    """A changed route of an ingress sends a path to the backend of another: 404 from there, and nothing else is wrong; both legs."""
    site = lab.site(rtt=8, jitter=0.2)
    ops, shop, client, ingress = site.server("ops"), site.server("shop"), site.client(), site.client("ingress")
    api(ops, 8080, "return 200;")
    api(shop, 8080, "return 404 'no such route';")
    (ops.lab.work / "nginx-ops" / "pages" / "ops").mkdir()
    (ops.lab.work / "nginx-ops" / "pages" / "ops" / "list").write_bytes(FILLER[:700])
    front = Nginx(ingress).own(INGRESS.format(ops=ops.v4, shop=shop.v4)).start()

    def visits():
        for number in range(14):
            curl(client, f"http://{ingress.v4}:8000/ops/list", "--header", "Host: app.lab.example")
            if number % 2:
                curl(client, f"http://{ingress.v4}:8000/small", "--header", "Host: app.lab.example")

    with lab.capture(site, "client side"):
        visits()
        front.process.terminate()
        front.process.wait()
        Nginx(ingress, folder="after").own(INGRESS.format(ops=shop.v4, shop=shop.v4)).start()
        visits()
    lab.truth.expect("http_error", variant="moved", severity="warning", server=shop.v4, port=8080)
    lab.truth.shows = "http.response.code == 404"


@scenario
def http_storm(lab):
    """A service answers 503 for some seconds, and its clients try again without a pause, eight times for each request."""
    site = lab.site(rtt=10, jitter=0.2)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    broken = []

    def answers(connection):
        while connection.recv(2000):
            status = b"503 Service Unavailable" if broken else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 20\r\n\r\n" + FILLER[:20])

    Service(server, 8083, answers)

    def works(client):
        with connect(client, server, 8083) as made:
            for number in range(18):
                for _ in range(8 if broken else 1):
                    made.sendall(b"GET /orders HTTP/1.1\r\nHost: shop.lab.example\r\n\r\n")
                    if b" 200 " in made.recv(2000):
                        break
                time.sleep(0.5)

    def breaks():
        time.sleep(5)
        broken.append(True)

    with lab.capture(site, "client side"):
        together(breaks, *(lambda client=client: works(client) for client in clients))
    lab.truth.expect("http_error", variant="unavailable", severity="warning", server=server.v4, port=8083, mentions="times as often")
    lab.truth.shows = "http.response.code == 503"


@scenario
def http_unavailable(lab):
    """A service answers 503 to two of three requests of three clients."""
    site = lab.site(rtt=14, jitter=0.3)
    server, clients = site.server(), [site.client(f"client{number}") for number in range(3)]
    api(server, 8081, "return 503;")

    def visits(client):
        for number in range(9):
            curl(client, f"http://{server.v4}:8081/{'small' if number % 3 == 0 else 'api/orders'}")

    with lab.capture(site, "client side"):
        together(*(lambda client=client: visits(client) for client in clients))
    lab.truth.expect("http_error", variant="unavailable", severity="warning", server=server.v4, port=8081, failed=18)
    lab.truth.shows = "http.response.code == 503"


@scenario
def http_cut(lab):
    """A server announces 9000 bytes, sends some thousand and closes: the answers are not whole, and TCP ended well."""
    site = lab.site(rtt=22, jitter=0.3)
    server, client = site.server(), site.client()

    def breaks(connection):
        connection.recv(2000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 9000\r\n\r\n" + FILLER[:3500])
        connection.shutdown(socket.SHUT_WR)
        read(connection)

    Service(server, 8082, breaks)
    with lab.capture(site, "client side"):
        for _ in range(6):
            curl(client, f"http://{server.v4}:8082/export")
    lab.truth.expect("http_error", variant="cut", severity="warning", server=server.v4, port=8082, failed=6)
    lab.truth.shows = "tcp.srcport == 8082 && tcp.flags.fin == 1"


@scenario
def dns_search_list(lab):
    """Five search domains and ndots:5, as in Kubernetes: each name outside costs as many answers of NXDOMAIN before it is found."""
    site = lab.site(rtt=11, jitter=0.3)
    resolver, client = site.server("resolver"), site.client()
    outside = [f"{name}.partner.test" for name in ("api", "files", "login")]
    names.dnsmasq(resolver, "--local=/example/", "--local=/test/", *(f"--host-record={name},10.9.8.7,fd00::9:8:7" for name in outside))
    search = ["shop.svc.cluster.example", "svc.cluster.example", "cluster.example"]
    names.resolvers(client, resolver.v4, search=search, options="ndots:5")
    with lab.capture(site, "client side"):
        for name in outside * 2:
            names.lookup(client, name)
    lab.truth.expect("dns_search_list", server=resolver.v4, port=53)
    lab.truth.shows = "dns.flags.rcode == 3"


def probed(lab, port, rtt, fate, alive=8, dead=8):
    """A load balancer probes a service twice in three seconds; from a moment on `fate(number)` says what becomes of its probes."""
    site = lab.site(rtt=rtt, jitter=0.2)
    server, client, balancer = site.server(), site.client(), site.client("balancer")
    Service(server, port, exchange())

    def probes():
        for number in range(alive + dead):
            if number == alive and fate(site, balancer):
                return
            started = time.monotonic()
            with tolerant(), connect(balancer, server, port, timeout=0.5):
                pass
            time.sleep(max(0, 0.7 - time.monotonic() + started))

    def goes_on():
        for _ in range(int((alive + dead) * 0.7)):
            talk(client, server, port, 1)
            time.sleep(0.8)

    with lab.capture(site, "client side"):
        together(probes, goes_on)
    return server, balancer


@scenario
def health_checks_refused(lab):
    """Probes of a load balancer are rejected with RST from a moment on; other clients of the same port go on well."""

    def reject(site, balancer):
        site.east.nft(FORWARD.format(f"ip saddr {balancer.v4} tcp dport 8098 reject with tcp reset"))

    server, _ = probed(lab, 8098, 13, reject)
    lab.truth.expect("health_check", variant="refused", severity="warning", server=server.v4, port=8098)
    lab.truth.allow("connection_refused")
    lab.truth.shows = "tcp.srcport == 8098 && tcp.flags.reset == 1"


@scenario
def health_checks_failing(lab):
    """A backend says 503 to the probes of its load balancer from a moment on; another client is still served."""
    site = lab.site(rtt=9, jitter=0.2)
    server, client, balancer = site.server(), site.client(), site.client("balancer")
    draining = []

    def answers(connection):
        while asked := connection.recv(2000):
            failing = draining and b"/healthz" in asked
            status = b"503 Service Unavailable" if failing else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")

    Service(server, 8097, answers)

    def asks(node, path):
        with connect(node, server, 8097, timeout=3) as made:
            made.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")
            made.recv(2000)

    def probes():
        for number in range(16):
            started = time.monotonic()
            draining.extend([True] * (number == 8))
            asks(balancer, b"/healthz")
            time.sleep(max(0, 0.8 - time.monotonic() + started))

    def goes_on():
        for number in range(20):
            asks(client, b"/orders")
            time.sleep(0.2 + number % 7 / 10)

    with lab.capture(site, "client side"):
        together(probes, goes_on)
    lab.truth.expect("health_check", variant="failing", severity="warning", server=server.v4, port=8097)
    lab.truth.allow("http_error")
    lab.truth.shows = "http.response.code == 503"


@scenario
def health_checks_stopped(lab):
    """A load balancer stops to probe a service, which goes on with its other clients."""
    server, balancer = probed(lab, 8099, 10, lambda *_: True)
    lab.truth.expect("health_check", variant="stopped", server=server.v4, port=8099)
    lab.truth.shows = f"ip.src == {balancer.v4} && tcp.flags.syn == 1"


@scenario
def port_scan_horizontal(lab):
    """One host tries a port of thirty-two addresses: most refuse it, two are open, the others are not there."""
    site = lab.site(rtt=18, jitter=0.3)
    server, scanner = site.server(), site.client("scanner")
    free = [number for number in range(10, 250) if number not in site.used[site.servers.number]]
    addresses = [str(site.servers.v4[number]) for number in free[:32]]
    for address in addresses[:20]:
        server.ip(f"addr add {address}/24 dev eth0")
    site.east.nft(FORWARD.format(f"ip daddr {{ {', '.join(addresses[20:])} }} tcp dport 5900 drop"))
    for address in addresses[4:6]:
        listener = server.new_socket()
        lab.at_end(listener.close)
        listener.bind((address, 5900))
        listener.listen(8)

    def tries(some):
        for address in some:
            with tolerant(), connect(scanner, address, 5900, timeout=0.7):
                pass
            time.sleep(0.05)

    with lab.capture(site, "client side"):
        together(*(lambda first=first: tries(addresses[first::8]) for first in range(8)))
        time.sleep(1.5)
    lab.truth.expect("port_scan", variant="horizontal", mentions=scanner.v4)
    lab.truth.shows = f"ip.src == {scanner.v4} && tcp.flags.syn == 1"


@scenario
def close_wait_client(lab):
    """A server closes idle connections, and its client's pool of two dozen never notices: they stay half open there."""
    site = lab.site(rtt=20, jitter=0.3)
    server, client = site.server(), site.client()

    def impatient(connection):
        with tolerant():
            # Idle is who has had an answer: the pool opens all its connections before it uses the first.
            connection.sendall(FILLER[: int(connection.recv(100).split()[0])])
            connection.settimeout(1.0)
            connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        time.sleep(30)

    Service(server, 8101, impatient)
    with lab.capture(site, "client side"):
        pool = [connect(client, server, 8101) for _ in range(24)]
        for made in pool:
            ask(made, 200)
        time.sleep(5)
    lab.truth.expect("half_close_leak", variant="client", server=server.v4, port=8101)
    lab.truth.shows = "tcp.srcport == 8101 && tcp.flags.fin == 1"


@scenario
def tls_hello_reset(lab):
    """A device resets both ends as soon as a ClientHello names one host; another name of the same server passes."""
    site = lab.site(rtt=45, jitter=0.3)
    server, client = site.server(), site.client()
    chain, key = lab.authority.leaf(f"sni-{lab.name}", "open.lab.example")
    Nginx(server).tls(chain, key, port=8443).start()
    device = Middlebox(site.west, "lan")

    def cut():
        while True:
            try:
                packet = device.reader.recv(2000)
            except OSError:
                return
            if b"blocked.lab.example" in packet and packet[9] == 6:
                seen = Segment.read(packet)
                device.send(seen.to_receiver(RST | ACK, ttl=251, window=0))
                device.send(seen.to_sender(RST | ACK, ttl=251, window=0))

    thread(cut)
    with lab.capture(site, "client side"):
        for _ in range(5):
            for host in ("blocked", "open"):
                curl(client, f"https://{host}.lab.example:8443/small", "--insecure", "--resolve", f"{host}.lab.example:8443:{server.v4}")
    lab.truth.expect("tls_abort", server=server.v4, port=8443)
    lab.truth.allow("rst_injection", "rst_storm")
    lab.truth.shows = f"ip.src == {server.v4} && tcp.flags.reset == 1"
