"""tcpdump or dumpcap at one place of a site."""

import signal
import subprocess
import time
from contextlib import contextmanager

from .net import stop


def tcpdump(device, file, *options):
    """A classic file."""
    return ["tcpdump", "-i", device, "-n", "-U", "-Z", "root", "-B", "8192", "--immediate-mode", "-w", file, *options]


def dumpcap(device, file, *options):
    """A pcapng file."""
    return ["dumpcap", "-q", "-i", device, "-w", file, *options]


@contextmanager
def capture(node, device, file, *options, tool=tcpdump):
    """Captures while the block runs, and a little longer."""
    process = node.start(*tool(device, file, *options), stderr=subprocess.PIPE)
    for line in process.stderr:
        # What either says when it has begun.
        if b"listening on" in line or b"File:" in line:
            break
    else:
        raise RuntimeError(f"{tool.__name__}: {device} of {node.name}")
    time.sleep(0.1)
    try:
        yield file
        time.sleep(0.4)
    finally:
        stop(process, signal.SIGINT)
        process.stderr.close()
