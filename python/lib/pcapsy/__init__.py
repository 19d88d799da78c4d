"""The autopsy of a packet capture: what failed, between whom, and the frames that prove it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Union

from . import _native
from ._native import Table, __version__
from .errors import CaptureError, ConfigError
from .report import Damage, File, Finding, Frame, Incident, Report, Tables, Verdict

__all__ = [
    "TABLES", "CaptureError", "ConfigError", "Damage", "File", "Finding", "Frame", "Incident", "Progress",
    "Report", "Table", "Tables", "Verdict", "__version__", "analyze", "default_config",
]

#: Names of the tables, in the order of the documentation.
TABLES: tuple[str, ...] = tuple(name for name, _, _ in _native.tables())

Path = Union[str, "os.PathLike[str]"]
Config = Union[Path, Mapping[str, object], None]


class Progress(NamedTuple):
    """How far an analysis has come."""

    #: Bytes of the input files read.
    bytes: int
    #: Their size, when it is known.
    total_bytes: int | None
    #: Packets dissected.
    packets: int


def analyze(
    paths: Path | Iterable[Path],
    *,
    config: Config = None,
    threads: int = 0,
    tables: Iterable[str] = TABLES,
    progress: Callable[[Progress], object] | None = None,
    strict: bool = False,
) -> Report[Table]:
    """Analyses files, directories or patterns as one capture, in time order.

    ``config`` is the path of a ``pcapsy.toml``, or its content as a mapping. ``threads`` is the number of
    worker threads, 0 for one per core; it changes no result. ``tables`` are those to keep in memory.
    ``progress`` is called in this thread, some twenty times a second; an exception from it ends the analysis,
    as Ctrl-C does. Other Python threads go on meanwhile.

    Raises ``CaptureError`` when no input can be read, with the input and the offset; with ``strict`` also
    when a part of one cannot be. Without it such a part is in ``Report.files`` and the verdict.
    """
    wanted = wanted_tables(tables)
    tell = None if progress is None else lambda *state: progress(Progress(*state))
    text, made = _native.analyze(listed(paths), config_text(config), threads, list(wanted), tell)
    report = Report(text, Tables({table.name: table for table in made}, wanted))
    if strict:
        refuse_damage(report)
    return report


def default_config() -> str:
    """The text of a ``pcapsy.toml`` with every default, commented."""
    return _native.default_config()


def wanted_tables(names: Iterable[str]) -> tuple[str, ...]:
    """The tables named, each once, in the order of the documentation."""
    names = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(names.difference(TABLES)):
        raise ValueError(f"no table {unknown[0]}; there are {', '.join(TABLES)}")
    return tuple(name for name in TABLES if name in names)


def listed(paths: Path | Iterable[Path]) -> list[str]:
    """Paths as text."""
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return [os.fspath(path) for path in paths]


def config_text(config: Config) -> str:
    """The text of a ``pcapsy.toml``."""
    if config is None:
        return ""
    if isinstance(config, Mapping):
        return "\n".join(_section("", config))
    with open(config, encoding="utf-8") as file:
        return file.read()


def _section(name: str, values: Mapping[str, object]) -> list[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    for key, value in plain.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{name}.{key}: a number is wanted, found {value!r}".lstrip("."))
    lines = [f"[{name}]"] if name and plain else []
    lines += [f'"{key}" = {value}' for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _section(f'{name}."{key}"' if name else f'"{key}"', value)
    return lines


def refuse_damage(report: Report[Table]) -> None:
    """Raises for the first place of an input that could not be read."""
    for unread in report.raw["capture"]["unreadable"]:
        raise CaptureError(unread["reason"], unread["path"])
    for file in report.files:
        for damage in file.damages:
            said = f"{file.path}: offset {damage.offset}: {damage.reason}"
            raise CaptureError(said, file.path, damage.offset)
