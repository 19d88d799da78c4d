"""The command: makes all scenarios or those named, some at a time."""

import concurrent.futures
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import scenarios, table, variation
from .certs import Authority
from .lab import SCENARIOS, make

HOME = Path(__file__).parent.parent
AT_ONCE = 6
SECONDS = 150


def main(names):
    """`--seed N FOLDER` makes other ones of the same into another folder."""
    folder = HOME / "captures"
    if names[:1] == ["--seed"]:
        variation.SEED, folder, names = int(names[1]), Path(names[2]), names[3:]
    folder.mkdir(parents=True, exist_ok=True)
    unknown = [name for name in names if not any(known.startswith(name) for known in SCENARIOS)]
    if unknown:
        sys.exit(f"no such scenario: {' '.join(unknown)}; there are {' '.join(SCENARIOS)}")
    if os.geteuid():
        sys.exit("namespaces need root")
    chosen = [known for known in SCENARIOS if not names or any(known.startswith(name) for name in names)]
    failed = []
    with tempfile.TemporaryDirectory(prefix="lab-ca-") as keys:
        authority = Authority(Path(keys) / "ca", "lab.example")
        os.chmod(keys, 0o755)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            running = {pool.submit(apart, name, authority, number, folder): name for number, name in enumerate(chosen)}
            for done in concurrent.futures.as_completed(running):
                if not done.result():
                    failed.append(running[done])
    if not variation.SEED:
        table.write(HOME, folder, SCENARIOS)
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


def apart(name, authority, number, folder):
    """A scenario in a process of its own, so that its threads and namespaces are nobody else's."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        signal.signal(signal.SIGALRM, overdue)
        signal.alarm(SECONDS)
        try:
            make(name, authority, f"lab{os.getppid()}-{number}-", folder)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    well = os.waitpid(child, 0)[1] == 0
    print(f"{name}: {'made' if well else 'failed'} in {time.monotonic() - start:.1f} s", flush=True)
    return well


def overdue(*_):
    raise TimeoutError(f"not done within {SECONDS} s")
