"""What the relay does to frames: a rule sees every frame of its direction and says what becomes of it.

`drop`, `("late", s)`: later, and overtaken; `("held", s)`: later, and all behind it, too; `("copy", s)`: a second one so much
later; None: nothing.
"""

from . import variation
from .frame import TO_CLIENT, TO_SERVER

DROP = "drop"


def data(frame):
    return frame.payload > 0


class Rule:
    """Limited to a direction, the server's ports and, if given, what `match` says."""

    def __init__(self, way, ports=(), match=None, phase=None):
        self.way, self.match, self.phase = way, match, phase
        self.ports = {ports} if isinstance(ports, int) else set(ports)

    def judge(self, frame, phase):
        if frame.way != self.way or (self.phase is not None and phase != self.phase):
            return None
        if (self.ports and frame.port not in self.ports) or (self.match and not self.match(frame)):
            return None
        return self.verdict(frame)

    def verdict(self, frame):
        return DROP


class Drop(Rule):
    """All of them."""


class Loss(Rule):
    """A share of them, at random."""

    def __init__(self, way, share, seed, **which):
        super().__init__(way, **which)
        self.share, self.random = share, variation.choose(f"loss{seed}")

    def verdict(self, frame):
        return DROP if self.random.random() < self.share else None


class Nth(Rule):
    """Those of a conversation that are in the list, counted from 1; `what` becomes of them."""

    def __init__(self, way, numbers, what=DROP, **which):
        super().__init__(way, **{"match": data, **which})
        self.numbers, self.what, self.counts = set(numbers), what, {}

    def verdict(self, frame):
        count = self.counts[frame.conversation] = self.counts.get(frame.conversation, 0) + 1
        return self.what if count in self.numbers else None


class Every(Rule):
    """Each so-manyth of all; `what` becomes of them."""

    def __init__(self, way, period, what, **which):
        super().__init__(way, **{"match": data, **which})
        self.period, self.what, self.count = period, what, 0

    def verdict(self, frame):
        self.count += 1
        return self.what if self.count % self.period == 0 else None


class Strewn(Rule):
    """One of each so many, at random places: no seed loses next to nothing."""

    def __init__(self, way, period, seed, **which):
        super().__init__(way, **which)
        self.period, self.random, self.count, self.place = period, variation.choose(f"strewn{seed}"), 0, 0

    def verdict(self, frame):
        if self.count % self.period == 0:
            self.place = self.count + self.random.randrange(self.period)
        self.count += 1
        return DROP if self.count - 1 == self.place else None


class Larger(Rule):
    """Datagrams above a size, as a tunnel does whose ICMP nobody lets through."""

    def __init__(self, way, size, **which):
        super().__init__(way, **which)
        self.limit = size

    def verdict(self, frame):
        return DROP if frame.size > self.limit else None


class Hold(Rule):
    """All of them come so much later, in order."""

    def __init__(self, way, seconds, **which):
        super().__init__(way, **which)
        self.seconds = seconds

    def verdict(self, frame):
        return ("held", self.seconds)


def both(rule, *arguments, **which):
    """The rule in each direction."""
    return [rule(way, *arguments, **which) for way in (TO_SERVER, TO_CLIENT)]
