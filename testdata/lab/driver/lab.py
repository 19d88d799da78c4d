"""One scenario: its folder, what has to be removed, its capture and its truth."""

import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from . import variation
from .background import Background
from .capture import capture
from .site import Site
from .truth import Truth

MOST_BYTES = 400_000
SCENARIOS = {}


def scenario(work):
    """Registers a function by its name; its documentation is the scenario's one line."""
    SCENARIOS[work.__name__] = work
    return work


class Lab:
    """What a scenario is given."""

    def __init__(self, name, authority, prefix):
        self.name, self.authority, self.prefix = name, authority, prefix
        self.work = Path(tempfile.mkdtemp(prefix="lab-"))
        self.work.chmod(0o755)
        self.ends, self.nodes = [], []
        self.at_end(lambda: shutil.rmtree(self.work, ignore_errors=True))
        self.truth = Truth(SCENARIOS[name].__doc__)
        self.relay = None
        self.files = []

    def at_end(self, work):
        self.ends.append(work)

    def site(self, rtt, **options):
        """The topology with healthy traffic in it."""
        rtt = variation.stretched(self.name, rtt)
        site = Site(self, rtt, **options)
        self.relay = site.relay
        self.background = Background(site)
        self.truth.note(f"Round trip {rtt:g} ms through the relay.")
        return site

    @contextmanager
    def capture(self, site, vantage, *options, lead=0.6, **how):
        """Captures at the vantage, with healthy traffic from shortly before the incident to its end."""
        place = site.vantage(vantage) if isinstance(vantage, str) else vantage
        self.truth.note(f"Captured at: {vantage if isinstance(vantage, str) else f'{vantage[1]} of {vantage[0].name}'}.")
        with self.tap(*place, *options, **how):
            with self.background:
                time.sleep(lead)
                yield
            # The capture ends between these two.
            least = self._counters()
        self.kernels = self._counters()
        self.truth.resent = least["RetransSegs"], self.kernels["RetransSegs"]

    def _counters(self):
        """What all hosts' kernels have counted up to now."""
        return sum((Counter(node.counters()) for node in self.nodes), Counter())

    def tap(self, node, device, *options, file=None, **how):
        """A capture that is kept, at a device."""
        path = self.work / (file or f"{self.name}.pcap")
        self.files.append(path)
        return capture(node, device, path, *options, **how)

    def end(self):
        for work in reversed(self.ends):
            try:
                work()
            except Exception as error:
                print(f"{self.name}: cleaning up: {error}")

    def keep(self, folder):
        """Copies captures and truth to where they are kept."""
        counts = self.relay.end() if self.relay else {}
        for path in self.files:
            size = os.path.getsize(path)
            if size > MOST_BYTES:
                raise RuntimeError(f"{path.name}: {size} bytes")
        text = self.truth.text(self.files, counts, self.kernels)
        for path in self.files:
            shutil.copy(path, folder / path.name)
        (folder / f"{self.name}.toml").write_text(text)


def make(name, authority, prefix, folder):
    """Runs a scenario; what it printed is what went wrong."""
    lab = Lab(name, authority, prefix)
    try:
        SCENARIOS[name](lab)
        lab.keep(folder)
    finally:
        lab.end()
