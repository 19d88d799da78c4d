"""tcpdump at one place of a site."""

import signal
import subprocess
import time
from contextlib import contextmanager

from .net import stop


@contextmanager
def capture(node, device, file, *options):
    """Captures while the block runs, and a little longer."""
    words = ["tcpdump", "-i", device, "-n", "-U", "-Z", "root", "-B", "8192", "--immediate-mode", "-w", file, *options]
    process = node.start(*words, stderr=subprocess.PIPE)
    for line in process.stderr:
        if b"listening on" in line:
            break
    else:
        raise RuntimeError(f"tcpdump: {device} of {node.name}")
    time.sleep(0.1)
    try:
        yield file
        time.sleep(0.4)
    finally:
        stop(process, signal.SIGINT)
        process.stderr.close()
