"""Classic capture files as lists of records, for what is done to a capture afterwards."""

import struct
from dataclasses import dataclass, replace

HEAD = struct.Struct("<IIII")


@dataclass(frozen=True)
class Record:
    time: int  # microseconds
    data: bytes
    length: int

    def later(self, microseconds):
        return replace(self, time=self.time + microseconds)

    def holding(self, data):
        return replace(self, data=data, length=self.length + len(data) - len(self.data))


def load(path):
    """The file's header and its records."""
    text = path.read_bytes()
    if text[:4] != b"\xd4\xc3\xb2\xa1":
        raise ValueError(f"{path.name} is no little-endian file of microseconds")
    records, at = [], 24
    while at < len(text):
        seconds, micros, kept, length = HEAD.unpack_from(text, at)
        at += HEAD.size
        records.append(Record(seconds * 1_000_000 + micros, text[at : at + kept], length))
        at += kept
    return text[:24], records


def store(path, header, records):
    parts = [header]
    for record in records:
        parts += [HEAD.pack(*divmod(record.time, 1_000_000), len(record.data), record.length), record.data]
    path.write_bytes(b"".join(parts))


def rewrite(path, change):
    """Replaces a file's records by what `change` makes of their list."""
    header, records = load(path)
    store(path, header, change(records))


def by_time(records):
    return sorted(records, key=lambda record: record.time)
