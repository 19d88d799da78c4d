"""DNS: dnsmasq, unbound, a server that does what it is told, and questions."""

import pathlib
import shutil
import socket
import struct
import time
from contextlib import suppress

from .net import until
from .services import thread

A, AAAA, TXT, HTTPS = 1, 28, 16, 65


def dnsmasq(node, *options):
    """A dnsmasq of the node, on port 53."""
    base = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file", "--cache-size=0"]
    process = node.start(*base, *options)
    until(lambda: ":53 " in node.run("ss", "-Hlnu") or process.poll() is not None)
    if process.poll() is not None:
        raise RuntimeError(f"dnsmasq {options}")
    return process


def unbound(node, text):
    """An unbound of the node with these lines of configuration."""
    file = node.lab.work / f"unbound-{node.name}.conf"
    file.write_text(f"""server:
  interface: 0.0.0.0
  interface: ::0
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  logfile: "{node.lab.work}/unbound-{node.name}.log"
  do-not-query-localhost: no
{text}
""")
    process = node.start("unbound", "-d", "-c", file)
    until(lambda: ":53 " in node.run("ss", "-Hlnu") or process.poll() is not None)
    if process.poll() is not None:
        raise RuntimeError("unbound: " + text)
    return process


def resolvers(node, *addresses, search=(), options=""):
    """What /etc/resolv.conf says inside the namespace."""
    folder = pathlib.Path("/etc/netns") / node.namespace
    folder.mkdir(parents=True, exist_ok=True)

    def remove():
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()

    node.lab.at_end(remove)
    lines = [f"nameserver {address}" for address in addresses]
    lines += [f"search {' '.join(search)}"] * bool(search) + [f"options {options}"] * bool(options)
    (folder / "resolv.conf").write_text("\n".join(lines) + "\n")


def lookup(node, name, timeout=20):
    """As glibc's resolver does it: both families, search list, retries, fail-over."""
    return node.run("getent", "ahosts", name, check=False, timeout=timeout)


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".")) + b"\0"


def question(name, kind, number, edns=True):
    additional = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, int(edns)) + encode(name) + struct.pack("!HH", kind, 1) + additional


def ask(node, server, name, kind=A, timeout=2.0, number=None, edns=True, made=None):
    """One question over UDP: the response code, or None."""
    asking = made or node.new_socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(timeout)
    number = number if number is not None else int(time.monotonic() * 1e6) & 0xFFFF
    try:
        asking.sendto(question(name, kind, number, edns), (server, 53))
        return asking.recv(4096)[3] & 15
    except (TimeoutError, ConnectionRefusedError):
        return None
    finally:
        if not made:
            asking.close()


def ask_tcp(node, server, name, kind=A, timeout=3.0):
    """The same over TCP."""
    with node.new_socket() as asking:
        asking.settimeout(timeout)
        try:
            asking.connect((server, 53))
            text = question(name, kind, 0x4242)
            asking.sendall(struct.pack("!H", len(text)) + text)
            return asking.recv(4096)[5] & 15
        except OSError:
            return None


def answer(query, addresses=(), code=0, flags=0x8180, ttl=60, texts=()):
    """A response to a query: addresses, texts, or a code without any."""
    end = 12
    while query[end]:
        end += query[end] + 1
    section = query[12 : end + 5]
    records = [b"\xc0\x0c" + struct.pack("!HHIH", A, 1, ttl, 4) + socket.inet_aton(address) for address in addresses]
    records += [b"\xc0\x0c" + struct.pack("!HHIHB", TXT, 1, ttl, len(text) + 1, len(text)) + text for text in texts]
    return query[:2] + struct.pack("!5H", flags | code, 1, len(records), 0, 0) + section + b"".join(records)


class Answering:
    """A DNS server over UDP that hands each query to `reply(query, send)`."""

    def __init__(self, node, reply, port=53):
        self.socket = node.new_socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(("::", port))
        self.reply = reply
        node.lab.at_end(self.socket.close)
        thread(self._serve)

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
                self.reply(query, lambda text: self.socket.sendto(text, peer))
            except OSError:
                return
