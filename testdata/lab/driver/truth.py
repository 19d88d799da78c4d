"""The truth file of a capture: what the scenario did, never what an analysis says of it."""

import json
import textwrap

from .incidents import INCIDENTS
from .net import run


# What of the kernels' counters is written down.
KERNEL = ("RetransSegs", "TCPSynRetrans", "TCPFastRetrans", "TCPTimeouts", "TCPLossProbes", "TCPSpuriousRTOs", "TCPDSACKRecv", "ListenDrops", "TCPMTUPSuccess")


class Truth:
    """Filled while the scenario runs, written at its end."""

    def __init__(self, line):
        self.line, self.notes = line, []
        self.forbid_at, self.allowed, self.expected, self.events = "warning", [], [], []
        self.shows = None
        # Whether every segment that was sent again passes the capture point.
        self.sees_all = True
        # Whether all hosts acknowledge selectively.
        self.selective = True
        # What the kernels had sent again shortly before the capture ended, and shortly after.
        self.resent = 0, 0

    def expect(self, detector, variant=None, severity="info", server=None, port=None, mentions=None, failed=None):
        """`failed`: how many connections or lookups did, or the least and the most."""
        failed = [failed, failed] if isinstance(failed, int) else failed
        self.expected.append({"detector": detector, "variant": variant, "min_severity": severity, "server": server, "port": port,
                              "mentions": mentions, "failed": failed})

    def event(self, kind, which="", least=None, most=None):
        self.events.append({"kind": kind, "which": which, "least": least, "most": most})

    def sent_again(self, way, merged=False):
        """Every data segment that the relay dropped is sent again, and few others; Linux merges small neighbours when it does."""
        self.events.append({"kind": "sent_again", "which": "", "way": way, "merged": merged})

    def allow(self, *detectors):
        self.allowed.extend(detectors)

    def note(self, text):
        """Parameters and what was done to the file afterwards."""
        self.notes.append(text)

    def text(self, captures, relay, kernels):
        """`captures`: the one that the file is named after, and others of the same incident; `kernels`: what all hosts counted."""
        capture, *others = captures
        lines = [f"# {line}" for note in (self.line, *self.notes) for line in textwrap.wrap(note, 118)]
        lines += [f'forbid_at = "{self.forbid_at}"']
        if incident := INCIDENTS.get(capture.stem):
            lines += [f'incident = "{incident}"']
        lines += [f"allow = {json.dumps(self.allowed)}"]
        if others:
            lines += [f"files = {json.dumps([other.name for other in others])}"]
        if self.shows:
            frames = count(capture, self.shows)
            if not frames:
                raise RuntimeError(f"no frame of {capture.name} is {self.shows}; relay: {relay}")
            lines += [f"shows = {quoted(self.shows)}", f"frames = {frames}"]
        self._count_losses(relay, kernels)
        if self.sees_all:
            least, most = self.resent
            many = {"count": most} if least == most else {"least": least, "most": most}
            self.events.append({"kind": "retransmitted", "which": "any", **many})
        for way, counts in relay.items():
            lines += ["", f"[relay.{way}]", *fields(counts)]
        told = {name: kernels[name] for name in KERNEL if kernels[name]}
        lines += ["", "[kernel]", *fields(told)] if told else []
        for name, tables in (("expect", self.expected), ("event", self.events)):
            for table in tables:
                lines += ["", f"[[{name}]]", *fields(table)]
        return "\n".join(lines) + "\n"

    def _count_losses(self, relay, kernels):
        for event in self.events:
            if "way" in event:
                counts = relay[event.pop("way")]
                lost = counts.get("dropped_data", 0)
                # A repeat that is lost before the capture point shows only by its own repeat.
                shown = lost if self.sees_all else lost - counts.get("dropped_again", 0)
                least = shown // 2 if event.pop("merged") else shown
                # Without SACK a sender goes back to the first hole and sends what arrived, too.
                most = 0 if self.selective else kernels["RetransSegs"]
                event |= {"least": least, "most": max(most, lost + max(3, lost // 3))}


def fields(table):
    return [f"{key} = {quoted(value)}" for key, value in table.items() if value is not None]


def quoted(value):
    return json.dumps(value)


def count(capture, display_filter):
    """How many frames tshark shows. That a capture ends in the middle of a record, of which it complains, may be the point."""
    words = ["tshark", "-n", "-r", capture, "-Y", display_filter, "-T", "fields", "-e", "frame.number"]
    return len(run(*words, check=False, timeout=60).split())
