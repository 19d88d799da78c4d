"""A report as Python objects. The fields are those of ``report.json``; its schema says what they hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields as fields_of
from typing import Any, Generic, Literal, TypeVar

from ._native import Table

Severity = Literal["info", "warning", "critical"]
Confidence = Literal["confirmed", "likely", "possible"]
Object = dict[str, Any]
T = TypeVar("T")


class Record:
    """Part of a report."""

    @classmethod
    def of(cls: type[T], value: Mapping[str, Any]) -> T:
        """Of a JSON object. Fields of later versions are passed over."""
        made = _NESTED.get(cls, {})
        given = {field.name: value.get(field.name) for field in fields_of(cls)}  # type: ignore[arg-type]
        return cls(**{name: made[name](part) if name in made else part for name, part in given.items()})


@dataclass(frozen=True, slots=True)
class Counts(Record):
    """Incidents, or findings, by severity."""

    critical: int
    warning: int
    info: int


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """The answer in a word, and what it rests on."""

    status: Literal["clean", "findings", "degraded", "incomplete", "not_assessed"]
    worst: Severity | None
    incidents: Counts
    counts: Counts
    degraded: bool
    incomplete: bool
    reasons: list[str]
    assessed: Object


@dataclass(frozen=True, slots=True)
class Frame(Record):
    """A packet that proves something: what it is to the finding, and where Wireshark shows it."""

    file: str
    frame: int
    packet: int
    time: str
    role: str
    fields: str


@dataclass(frozen=True, slots=True)
class Incident(Record):
    """What happened."""

    id: str
    key: str
    severity: Severity
    confidence: Confidence
    layer: str
    title: str
    story: str
    where: str
    root: str
    symptoms: list[str]
    links: list[Object]
    contrast: list[Object]
    change: Object | None
    cleared: list[Object]
    not_known: list[str]
    blast_radius: Object
    next_steps: list[str]
    evidence: list[Object]
    #: What people changed shortly before; empty when nobody told.
    changed_before: list[Object]


@dataclass(frozen=True, slots=True)
class Finding(Record):
    """What one rule saw."""

    id: str
    key: str
    detector: str
    #: Empty when the detector has no variants.
    variant: str
    severity: Severity
    confidence: Confidence
    gates: list[Object]
    title: str
    summary: str
    subject: Object
    scope: Object
    first_seen: str
    last_seen: str
    counts: list[Object]
    impact: Object
    evidence: list[Frame]
    wireshark_filter: list[Object]
    alternatives: list[str]
    next_steps: list[str]
    not_claimed: list[str]


@dataclass(frozen=True, slots=True)
class Damage(Record):
    """A place of a file that could not be read."""

    offset: int
    length: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class File(Record):
    """A file that was read."""

    path: str
    size: int
    format: str
    compression: str
    packets: int
    base: int
    first_seen: str | None
    last_seen: str | None
    truncated: bool
    damages: list[Damage]
    damaged_bytes: int
    blake3: str


def _each(cls: type[Record]) -> Callable[[Any], list[Any]]:
    return lambda values: [cls.of(value) for value in values]


_NESTED: dict[type, dict[str, Callable[[Any], Any]]] = {
    Verdict: {"incidents": Counts.of, "counts": Counts.of},
    Incident: {"changed_before": lambda part: part or []},
    Finding: {"evidence": _each(Frame)},
    File: {"damages": _each(Damage)},
}

Tabular = TypeVar("Tabular")


class Tables(Mapping[str, Tabular], Generic[Tabular]):
    """Tables by name. One that was not asked for says so."""

    def __init__(self, tables: Mapping[str, Tabular], wanted: tuple[str, ...]) -> None:
        self._tables = {name: tables[name] for name in wanted}

    def __getitem__(self, name: str) -> Tabular:
        try:
            return self._tables[name]
        except KeyError:
            there = ", ".join(self._tables) or "none"
            raise KeyError(f"no table {name}; asked for: {there}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


class Report(Generic[Tabular]):
    """The report on a capture set.

    ``tables`` maps the names of ``pcapsy.TABLES`` to tables. Those of ``pcapsy.analyze`` have Arrow's
    PyCapsule interface; those of ``pcapsy.spark.analyze`` are data frames of Spark.
    """

    def __init__(self, text: str, tables: Tables[Tabular]) -> None:
        #: The bytes of ``report.json``, as text.
        self.json = text
        #: All of it, as ``json`` reads it.
        self.raw: Object = json.loads(text)
        self.tables = tables
        self.verdict = Verdict.of(self.raw["verdict"])
        #: What happened, the weightiest first.
        self.incidents = [Incident.of(value) for value in self.raw["incidents"]]
        #: What was found, the weightiest first.
        self.findings = [Finding.of(value) for value in self.raw["findings"]]
        #: The files, in analysis order.
        self.files = [File.of(value) for value in self.raw["capture"]["files"]]

    def finding(self, id: str) -> Finding:
        """The finding of this id, for example ``incident.root``."""
        for finding in self.findings:
            if finding.id == id:
                return finding
        raise KeyError(id)

    def __repr__(self) -> str:
        files = ", ".join(file.path for file in self.files[:3]) + (", .." if len(self.files) > 3 else "")
        packets = self.raw["capture"]["packets"]
        counts = f"{len(self.incidents)} incidents, {len(self.findings)} findings"
        return f"<pcapsy report on {files}: {self.verdict.status}, {counts}, {packets} packets>"


LocalReport = Report[Table]
