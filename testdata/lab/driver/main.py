"""The command: makes all scenarios or those named, some at a time."""

import concurrent.futures
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import scenarios, table
from .certs import Authority
from .lab import CAPTURES, SCENARIOS, make

AT_ONCE = 4
SECONDS = 150


def main(names):
    unknown = [name for name in names if not any(known.startswith(name) for known in SCENARIOS)]
    if unknown:
        sys.exit(f"no such scenario: {' '.join(unknown)}; there are {' '.join(SCENARIOS)}")
    if os.geteuid():
        sys.exit("namespaces need root")
    chosen = [known for known in SCENARIOS if not names or any(known.startswith(name) for name in names)]
    failed = []
    with tempfile.TemporaryDirectory(prefix="lab-ca-") as folder:
        authority = Authority(Path(folder) / "ca", "lab.example")
        os.chmod(folder, 0o755)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            running = {pool.submit(apart, name, authority, number): name for number, name in enumerate(chosen)}
            for done in concurrent.futures.as_completed(running):
                if not done.result():
                    failed.append(running[done])
    table.write(CAPTURES.parent, CAPTURES, SCENARIOS)
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


def apart(name, authority, number):
    """A scenario in a process of its own, so that its threads and namespaces are nobody else's."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        signal.signal(signal.SIGALRM, overdue)
        signal.alarm(SECONDS)
        try:
            make(name, authority, f"lab{os.getppid()}-{number}-")
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    well = os.waitpid(child, 0)[1] == 0
    print(f"{name}: {'made' if well else 'failed'} in {time.monotonic() - start:.1f} s", flush=True)
    return well


def overdue(*_):
    raise TimeoutError(f"not done within {SECONDS} s")
