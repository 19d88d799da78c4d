"""Network namespaces and what is in them."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

from . import variation

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(*words, given=None, check=True, timeout=30):
    """A command's output; its message is the error when it fails."""
    words = [str(word) for word in words]
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}\n{given or ''}")
    return done.stdout


@contextmanager
def inside(namespace):
    """Sockets made by this thread belong to the namespace, and stay there."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        if LIBC.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), namespace)
        try:
            yield
        finally:
            LIBC.setns(home.fileno(), CLONE_NEWNET)


class Node:
    """A namespace: a host or a router."""

    # Not bbr, because what it does depends on how busy the machine is; only the first namespace may have cubic as its default.
    # No metrics, so that flows do not learn of each other.
    SETTINGS = {
        "net.ipv4.tcp_congestion_control": "reno",
        "net.ipv4.tcp_no_metrics_save": 1,
        "net.ipv6.conf.all.accept_dad": 0,
        "net.ipv6.conf.default.accept_dad": 0,
        "net.ipv6.conf.default.router_solicitations": 0,
    }

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.namespace = f"{lab.prefix}{name}"
        self.v4 = self.v6 = None
        run("ip", "netns", "add", self.namespace)
        lab.at_end(self.remove)
        lab.nodes.append(self)
        self.set(**self.SETTINGS)
        self.ip("link set lo up")

    def ip(self, *lines):
        run("ip", "-n", self.namespace, "-batch", "-", given="\n".join(lines) + "\n")

    def set(self, **settings):
        """Kernel settings of this namespace."""
        with inside(self.namespace):
            for key, value in settings.items():
                with open(f"/proc/sys/{key.replace('.', '/')}", "w") as file:
                    file.write(str(value))

    def nft(self, rules):
        self.run("nft", "-f", "-", given=rules)

    def forget(self):
        """Connection tracking forgets everything."""
        self.run("conntrack", "-F")

    def plain(self, device):
        """No segmentation or checksum offload: the capture shows what a wire would."""
        offloads = [word for name in ("tx", "tso", "gso", "gro") for word in (name, "off")]
        self.run("ethtool", "-K", device, *offloads)

    def run(self, *words, **options):
        return run("ip", "netns", "exec", self.namespace, *words, **options)

    def start(self, *words, **options):
        """A process of this namespace, ended with it."""
        words = ["ip", "netns", "exec", self.namespace, *map(str, words)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(words, **{**quiet, **options})
        self.lab.at_end(lambda: stop(process))
        return process

    def counters(self):
        """What this kernel counted of TCP, `RetransSegs` and the like."""
        with inside(self.namespace):
            text = "".join(open(f"/proc/thread-self/net/{file}").read() for file in ("snmp", "netstat"))
        lines = [line.split() for line in text.splitlines()]
        rows = [zip(names[1:], values[1:]) for names, values in zip(lines[::2], lines[1::2]) if names[0] in ("Tcp:", "TcpExt:")]
        return {name: int(value) for row in rows for name, value in row}

    def new_socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with inside(self.namespace):
            made = socket.socket(family, kind, protocol)
        if kind == socket.SOCK_STREAM:
            control = variation.congestion_control(self.lab.name)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        return made

    def address(self, family=socket.AF_INET):
        return self.v4 if family == socket.AF_INET else self.v6

    def remove(self):
        for process in run("ip", "netns", "pids", self.namespace, check=False).split():
            os.kill(int(process), signal.SIGKILL)
        run("ip", "netns", "del", self.namespace, check=False)


def stop(process, with_signal=signal.SIGTERM):
    """Ends a process, politely first."""
    if process.poll() is None:
        process.send_signal(with_signal)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition, seconds=5):
    """Waits for something that a server or the kernel is about to do."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it never happened")
        time.sleep(0.02)
