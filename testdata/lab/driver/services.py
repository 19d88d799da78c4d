"""Small servers and clients whose sockets live in the namespaces and whose code runs here, as threads."""

import socket
import struct
import threading
import time
from contextlib import contextmanager

# What is sent: text that differs along its length and does not compress to a pattern of one packet size.
FILLER = "".join(f"{number * 2654435761 % 4294967296:08x} " for number in range(15000)).encode()


class Service:
    """Accepts and hands each connection to `handle`, until it is stopped."""

    def __init__(self, node, port, handle, backlog=128, accepting=True):
        self.node, self.port, self.handle, self.connections = node, port, handle, []
        self.listener = node.new_socket(socket.AF_INET6)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.listener.bind(("::", port))
        self.listener.listen(backlog)
        node.lab.at_end(self.stop)
        if accepting:
            thread(self._accept)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread(self._serve, connection)

    def _serve(self, connection):
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.handle(connection)
            connection.close()
        except OSError:
            pass

    def close(self):
        """No further connections; those that are open stay."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def finish(self):
        """Closes everything in order: what is open ends by FIN."""
        self.close()
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.close()
        for connection in self.connections:
            try:
                connection.close()
            except OSError:
                pass


def thread(work, *arguments):
    started = threading.Thread(target=work, args=arguments, daemon=True)
    started.start()
    return started


def together(*works):
    """Runs all of them at the same time and waits for the last; the first error is raised."""
    errors = []

    def guarded(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    for started in [thread(guarded, work) for work in works]:
        started.join(120)
    if errors:
        raise errors[0]


def feed(count, size, gap=0.0, first=None):
    """A handler that sends messages, as a ticker does, and closes."""

    def handle(connection):
        if first:
            connection.recv(first)
        for number in range(count):
            connection.sendall(FILLER[number % 500 :][:size])
            if gap:
                time.sleep(gap)

    return handle


def exchange(think=0.0):
    """A handler of requests `<bytes of the answer>\\n`, padded or not, until the client closes."""

    def handle(connection):
        lines = connection.makefile("rb")
        for line in lines:
            if think:
                time.sleep(think)
            connection.sendall(FILLER[: int(line.split()[0])])

    return handle


def connect(node, to, port, timeout=15, family=socket.AF_INET, source=None, options=()):
    """A connection of the node to another's port, or to an address."""
    made = node.new_socket(family)
    made.settimeout(timeout)
    for level, option, value in options:
        made.setsockopt(level, option, value)
    if source:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", source))
    made.connect((to if isinstance(to, str) else to.address(family), port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


@contextmanager
def tolerant(*kinds):
    """Failing is what the client of an incident does."""
    try:
        yield
    except (OSError, *kinds):
        pass


def read(connection, size=None):
    """So many bytes, or all until the end."""
    count = 0
    while size is None or count < size:
        part = connection.recv(65536 if size is None else min(65536, size - count))
        if not part:
            break
        count += len(part)
    return count


def ask(connection, size, padding=0):
    """One request of the `exchange` protocol."""
    connection.sendall(b"%d %s\n" % (size, FILLER[:padding]))
    return read(connection, size)


def reset_on_close(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
