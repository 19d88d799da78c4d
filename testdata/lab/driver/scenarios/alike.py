"""What is well, and looks like an incident."""

import signal
import socket
import time

from ..lab import scenario
from ..net import until
from ..services import FILLER, Service, ask, connect, exchange, read, reset_on_close, thread, together, tolerant
from ..web import Nginx, curl
from .opening import attempts


@scenario
def healthy_drain(lab):
    """Two backends are drained and restarted one after the other: nginx ends what runs, closes what is idle, clients go on."""
    site = lab.site(rtt=16, jitter=0.3)
    backends, client = [site.server("backend1"), site.server("backend2")], site.client()
    running = [Nginx(backend).plain(8080).start() for backend in backends]

    def kept(backend, seconds):
        """A browser that stays connected."""
        with tolerant(), connect(client, backend, 8080) as made:
            made.sendall(b"GET /page HTTP/1.1\r\nHost: app.lab.example\r\n\r\n")
            made.settimeout(seconds)
            read(made)

    def again(number):
        running[number].process.send_signal(signal.SIGQUIT)
        until(lambda: running[number].process.poll() is not None, 10)
        time.sleep(0.3)
        server = running[number]
        server.process = server.node.start("nginx", "-c", server.folder / "nginx.conf", "-e", server.folder / "error.log")
        time.sleep(0.5)

    with lab.capture(site, "client side"):
        stay = [thread(kept, backends[number % 2], 8) for number in range(12)]
        for number in range(2):
            time.sleep(0.8)
            change = thread(again, number)
            for _ in range(6):
                curl(client, f"http://{backends[1 - number].v4}:8080/page")
            change.join(15)
        for work in stay:
            work.join(9)
    lab.truth.shows = "tcp.srcport == 8080 && tcp.flags.fin == 1"


@scenario
def healthy_idle_closed(lab):
    """A proxy closes connections that were idle for a second, by FIN; its client opens another one for what comes later."""
    site = lab.site(rtt=19, jitter=0.3)
    server, client = site.server(), site.client()
    Nginx(server, keepalive="1s").plain(8081).start()
    with lab.capture(site, "client side"):
        for _ in range(7):
            with connect(client, server, 8081) as made:
                for _ in range(2):
                    made.sendall(b"GET /small HTTP/1.1\r\nHost: app.lab.example\r\n\r\n")
                    made.recv(4000)
                    time.sleep(0.2)
                read(made)
    lab.truth.shows = "tcp.srcport == 8081 && tcp.flags.fin == 1"


@scenario
def healthy_monitoring(lab):
    """A monitor makes sure, twice, that six ports of a server are closed; the open one beside them is used."""
    site = lab.site(rtt=12, jitter=0.3)
    server, monitor, client = site.server(), site.client("monitor"), site.client()
    Service(server, 8082, exchange())
    with lab.capture(site, "client side"):
        for _ in range(2):
            for port in (21, 23, 111, 445, 3389, 5900):
                attempts(monitor, server, port, 1, 2, pause=0.1)
            attempts(client, server, 8082, 3, 2, pause=0.3)
            time.sleep(2)
    lab.truth.shows = f"ip.dst == {monitor.v4} && tcp.flags.reset == 1"


@scenario
def healthy_long_polling(lab):
    """Clients ask and wait: the server answers after fifteen seconds that there is nothing new, or sooner what is."""
    site = lab.site(rtt=25, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    waits = iter([15.0, 15.0, 15.0, 1.3, 15.0, 15.0, 15.0, 15.0, 4.2, 15.0] * 3)

    def polled(connection):
        while connection.recv(2000):
            wait = next(waits)
            time.sleep(wait)
            if wait == 15.0:
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n" + FILLER[:400])

    Service(server, 8083, polled)

    def poll(client):
        with connect(client, server, 8083, timeout=20) as made:
            for number in range(5):
                made.sendall(b"GET /events?since=%d HTTP/1.1\r\nHost: chat.lab.example\r\n\r\n" % number)
                made.recv(4000)

    with lab.capture(site, "client side"):
        together(*(lambda client=client: poll(client) for client in clients))
    lab.truth.shows = "http.response.code == 204"


@scenario
def healthy_short_polling(lab):
    """Clients ask and wait three seconds at most; beside them events that are streamed, and requests cut by those who made them."""
    site = lab.site(rtt=21, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    waits = iter([3.0, 3.0, 1.4, 3.0, 3.0, 2.1, 3.0, 3.0] * 6)

    def answers(connection):
        while asked := connection.recv(2000):
            if b"/stream" in asked:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                for number in range(6):
                    time.sleep(2)
                    connection.sendall(b"data: %d\n\n" % number)
                return
            wait = next(waits)
            time.sleep(wait)
            if wait == 3.0:
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n" + FILLER[:300])

    Service(server, 8085, answers)

    def poll(client):
        with connect(client, server, 8085) as made:
            for number in range(6):
                made.sendall(b"GET /news?since=%d HTTP/1.1\r\nHost: chat.lab.example\r\n\r\n" % number)
                made.recv(4000)

    def listen(client):
        for _ in range(2):
            with connect(client, server, 8085) as made:
                made.sendall(b"GET /stream HTTP/1.1\r\nHost: chat.lab.example\r\n\r\n")
                made.settimeout(7)
                with tolerant():
                    while made.recv(4000):
                        pass

    with lab.capture(site, "client side"):
        together(*(lambda work=work, client=client: work(client) for work in (poll, listen) for client in clients))
    lab.truth.shows = 'frame contains "204 No Content"'


@scenario
def healthy_websocket(lab):
    """WebSockets that are idle for eight seconds between pings, and then carry messages of the server."""
    site = lab.site(rtt=33, jitter=0.3)
    server, client = site.server(), site.client()

    def frame(kind, text=b""):
        return bytes([0x80 | kind, len(text)]) + text

    def sockets(connection):
        connection.recv(2000)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        for _ in range(2):
            time.sleep(8)
            connection.sendall(frame(9, b"are you there"))
            connection.recv(100)
        for number in range(5):
            connection.sendall(frame(1, FILLER[number:][:90]))
            time.sleep(0.2)

    Service(server, 8084, sockets)

    def browser():
        with connect(client, server, 8084, timeout=30) as made:
            made.sendall(b"GET /live HTTP/1.1\r\nHost: chat.lab.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            while text := made.recv(2000):
                if text[0] == 0x89:
                    made.sendall(bytes([0x8A, 0x80, 0, 0, 0, 0]))

    with lab.capture(site, "client side"):
        together(*[browser] * 4)
    lab.truth.shows = "websocket.opcode == 9"


@scenario
def healthy_keepalives(lab):
    """Database connections that are idle for half a minute, with the kernel's keep-alives every ten seconds from both ends."""
    tcp = socket.IPPROTO_TCP
    alive = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (tcp, socket.TCP_KEEPIDLE, 10), (tcp, socket.TCP_KEEPINTVL, 10)]
    site = lab.site(rtt=28, jitter=0.3)
    server, client = site.server(), site.client()

    def session(connection):
        for option in alive:
            connection.setsockopt(*option)
        exchange()(connection)

    Service(server, 5432, session)
    with lab.capture(site, "client side"):
        pool = [connect(client, server, 5432, options=alive) for _ in range(6)]
        for made in pool:
            ask(made, 300)
        time.sleep(32)
        for made in pool:
            ask(made, 300)
            made.close()
    lab.truth.shows = "tcp.port == 5432 && tcp.analysis.keep_alive"


@scenario
def healthy_browser(lab):
    """A browser opens six connections, uses some, gives the others up, and leaves a page while it loads."""
    site = lab.site(rtt=30, jitter=0.3)
    server, client = site.server(), site.client()
    Nginx(server).plain(8085).start()
    request = b"GET /%s HTTP/1.1\r\nHost: shop.lab.example\r\n\r\n"
    with lab.capture(site, "client side"):
        for _ in range(3):
            pool = [connect(client, server, 8085, options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)]) for _ in range(6)]
            for made in pool[:3]:
                made.sendall(request % b"page")
                made.recv(5000)
            # Speculative ones are closed unused, and the page that is left is reset while it comes.
            pool[3].sendall(request % b"large")
            time.sleep(0.035)
            reset_on_close(pool[3])
            for made in pool:
                made.close()
            time.sleep(0.5)
    lab.truth.shows = "tcp.dstport == 8085 && tcp.flags.reset == 1"


@scenario
def healthy_pool_reset(lab):
    """A pool of thirty database connections is thrown away at once by RST after the last answer, and opened again."""
    site = lab.site(rtt=10, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    Service(server, 5433, exchange())
    with lab.capture(site, "client side"):
        for _ in range(2):
            pool = [connect(clients[number % 2], server, 5433) for number in range(30)]
            for made in pool:
                ask(made, 200)
            time.sleep(0.5)
            for made in pool:
                reset_on_close(made)
                made.close()
            time.sleep(0.5)
    lab.truth.shows = "tcp.dstport == 5433 && tcp.flags.reset == 1"


@scenario
def healthy_backup(lab):
    """A backup fills the link's queue: the round trip of everybody grows from 40 to some 200 ms, and nothing is lost."""
    site = lab.site(rtt=40, jitter=0.3, rate=1_500_000)
    server, client, agent = site.server(), site.client(), site.client("agent")
    Service(server, 8086, exchange())

    def sink(connection):
        read(connection, 90_000)
        connection.sendall(b"stored")

    Service(server, 10080, sink)

    def backup():
        time.sleep(2)
        with connect(agent, server, 10080) as made:
            made.sendall(FILLER[:90_000])
            made.recv(10)

    def visits():
        end = time.monotonic() + 6
        while time.monotonic() < end:
            with connect(client, server, 8086) as made:
                ask(made, 300)
            time.sleep(0.2)

    with lab.capture(site, "client side"):
        together(backup, visits)
    lab.truth.shows = "tcp.dstport == 10080 && tcp.len > 0"


@scenario
def healthy_not_found(lab):
    """Browsers ask for icons that do not exist and for pages that have moved: 404 and 301 are answers."""
    site = lab.site(rtt=21, jitter=0.3)
    server, clients = site.server(), [site.client("client1"), site.client("client2")]
    pages = Nginx(server)
    pages.own(f"server {{ listen 8087; root {pages.folder}/pages; location /old {{ return 301 /small; }} }}").start()
    with lab.capture(site, "client side"):
        for client in clients:
            for path in ("small", "favicon.ico", "old", "apple-touch-icon.png", "page", "robots.txt", "favicon.ico") * 2:
                curl(client, f"http://{server.v4}:8087/{path}")
    lab.truth.shows = "http.response.code == 404"
