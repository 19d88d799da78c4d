"""The path between the two routers: a process between two TAP devices that delays frames and does what its rules say.

The kernel has no network emulation here; and the relay's own log is the exact truth of what was lost.
"""

import fcntl
import heapq
import json
import multiprocessing
import os
import random
import select
import struct
import time
from collections import Counter

from .frame import TO_CLIENT, TO_SERVER, Frame
from .net import inside
from .rules import DROP

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def tap(node, device):
    """A TAP device in the node's namespace; whoever holds the file is the other end of its wire."""
    with inside(node.namespace):
        file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return file


class Relay:
    """Started with the site; `phase` can be changed while it runs, for rules that hold in one phase only."""

    def __init__(self, lab, west, east, delays, jitter=0.0, rules=(), rate=None):
        self.taps = {TO_SERVER: tap(west, "wan"), TO_CLIENT: tap(east, "wan")}
        self.delays, self.jitter, self.rules, self.rate = delays, jitter, list(rules), rate
        self.log = lab.work / "relay.json"
        self.phases = multiprocessing.Value("i", 0, lock=False)
        self.ending = multiprocessing.Event()
        self.process = multiprocessing.get_context("fork").Process(target=self._work, daemon=True)
        self.process.start()
        lab.at_end(self.end)

    @property
    def phase(self):
        return self.phases.value

    @phase.setter
    def phase(self, number):
        self.phases.value = number

    def end(self):
        """The counts per direction."""
        self.ending.set()
        self.process.join(3)
        for file in self.taps.values():
            try:
                os.close(file)
            except OSError:
                pass
        self.taps = {}
        return json.loads(self.log.read_text())

    def _work(self):
        os.nice(-10)
        self.counts = {TO_SERVER: Counter(), TO_CLIENT: Counter()}
        self.queue, self.number = [], 0
        self.ends = {}
        self.last = dict.fromkeys(self.taps, 0.0)
        self.free = dict.fromkeys(self.taps, 0.0)
        self.random = random.Random(7)
        by_file = {file: way for way, file in self.taps.items()}
        out = {TO_SERVER: self.taps[TO_CLIENT], TO_CLIENT: self.taps[TO_SERVER]}
        poll = select.poll()
        for file in by_file:
            poll.register(file, select.POLLIN)
        while not self.ending.is_set():
            wait = self.queue[0][0] - time.monotonic() if self.queue else 0.2
            for file, _ in poll.poll(max(0.0, min(wait, 0.2)) * 1000):
                self._read(file, by_file[file])
            while self.queue and self.queue[0][0] <= time.monotonic():
                _, _, way, data = heapq.heappop(self.queue)
                try:
                    os.write(out[way], data)
                except OSError:
                    self.counts[way]["unsent"] += 1
        self.log.write_text(json.dumps(self.counts))

    def _read(self, file, way):
        while True:
            try:
                data = os.read(file, 65535)
            except BlockingIOError:
                return
            self._judge(Frame(data, way, time.monotonic()))

    def _judge(self, frame):
        counts = self.counts[frame.way]
        counts["frames"] += 1
        verdicts = [rule.judge(frame, self.phase) for rule in self.rules]
        again = frame.payload > 0 and self._passed_before(frame)
        if DROP in verdicts:
            counts["dropped"] += 1
            counts["dropped_data"] += frame.payload > 0
            if again:
                counts["dropped_again"] += 1
            return
        due = frame.now + self.delays[frame.way] + self.random.random() * self.jitter
        if self.rate:
            due += max(0.0, self.free[frame.way] - frame.now)
            self.free[frame.way] = max(self.free[frame.way], frame.now) + len(frame.bytes) * 8 / self.rate
        chosen = [verdict for verdict in verdicts if verdict]
        for what, seconds in chosen:
            counts[what] += 1
            if what == "copy":
                self._send(due + seconds, frame)
            else:
                due += seconds
        if not any(what == "late" for what, _ in chosen):
            due = self.last[frame.way] = max(due, self.last[frame.way])
        self._send(due, frame)

    def _passed_before(self, frame):
        """It repeats what came this way before."""
        key = frame.way, frame.conversation
        end = frame.seq + frame.payload
        ahead = (end - self.ends.get(key, frame.seq)) & 0xFFFFFFFF
        new = 0 < ahead < 1 << 31
        if new:
            self.ends[key] = end
        return not new

    def _send(self, due, frame):
        self.number += 1
        heapq.heappush(self.queue, (due, self.number, frame.way, frame.bytes))
