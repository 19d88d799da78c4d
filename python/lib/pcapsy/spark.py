"""The same analysis on Apache Spark, for archives that outgrow one machine.

    plan (driver) -> dissect (chunk) -> shuffle by partition -> track (partition) -> merge, judge (driver)

These are the stages of the local run, and what they hand each other are its bytes; so the report is the
same, byte for byte, while no limit on all flows together acts (``limits.memory_mib``, ``limits.streams``).
Everything between the stages is in data frames: an executor that dies costs the time to compute its part
again.

The driver reads every byte once, to number the packets and to hash the files. Packets of one flow are tracked
in one task, in order, a chunk at a time: a flow that is half of the archive makes one task long, and needs no
more memory than a small one. There are many more partitions than cores, so that the other partitions do not
wait for such a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark import StorageLevel

from . import TABLES, CaptureError, Config, Path, Table, _native, config_text, listed, wanted_tables
from .report import Report, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkReport", "analyze"]

#: Their rows are collected while flows end; the other tables are known when all is merged.
STREAMED = ("flows", "tcp_sides", "tcp_events", "dns", "tls", "certificates", "http", "icmp")

TASKS = "task int, chunk bigint, chunks int, file int, base bigint, path string, alone boolean, " \
    "offset bigint, length bigint, head binary"
RECORDS = "part int, chunk bigint, again int, message binary"
SAID = "part int, what string, message binary"

#: Stands for a partition where the message is the summary of a chunk.
SUMMARY = -1

#: Bytes of the captures that a task of stage 1 reads, where that makes more tasks than there are partitions.
TASK_BYTES = 64 << 20

#: Messages of rows that are read at a time.
AT_ONCE = 64

#: What a column of a table is in Spark, which knows no unsigned integers and no nanoseconds, and in Arrow.
TYPES = {
    "bool": ("boolean", pa.bool_()),
    "u8": ("smallint", pa.int16()),
    "u16": ("int", pa.int32()),
    "u32": ("bigint", pa.int64()),
    "u64": ("bigint", pa.int64()),
    "f64": ("double", pa.float64()),
    "text": ("string", pa.string()),
    "time (ns, UTC)": ("timestamp", pa.timestamp("us", "UTC")),
}

Batches = Iterator[pa.RecordBatch]
Stage = Callable[[Batches], Batches]
Columns = list[tuple[str, str]]


class SparkReport(Report["DataFrame"]):
    """A report whose tables are data frames of Spark."""

    def __init__(self, text: str, tables: Tables[DataFrame], rows: DataFrame) -> None:
        super().__init__(text, tables)
        self._rows = rows

    def unpersist(self) -> None:
        """Frees what executors keep on their disks. Tables read later are computed from the start."""
        self._rows.unpersist()


def analyze(
    spark: SparkSession,
    paths: Path | Iterable[Path],
    config: Config = None,
    *,
    tables: Iterable[str] = TABLES,
    partitions: int | None = None,
    chunk_kib: int = 4096,
) -> SparkReport:
    """Analyses files, directories or patterns as one capture, as ``pcapsy.analyze`` does.

    The driver and every executor see ``paths`` under the same names: a shared file system, or one machine.
    ``partitions`` are those of the flows, by default four for every core of the cluster. Neither they nor
    ``chunk_kib``, the size of what a task reads at a time, change the report.

    The tables are data frames: integers are signed, and times are microseconds, as Spark knows no others.
    Their rows are in no particular order. Spark's limit of bytes per batch of this session is set to 16 MiB,
    so that executors hold little at a time.
    """
    wanted = wanted_tables(tables)
    kept = tuple(name for name in wanted if name in STREAMED)
    text = config_text(config)
    parts = partitions or 4 * max(spark.sparkContext.defaultParallelism, 1)
    spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", str(16 << 20))
    plan = _native.Plan(listed(paths), text, chunk_kib, parts)
    tasks, chunks, size = planned(plan)
    with ExitStack() as stack:
        # A task of Spark costs more than a chunk: each takes many, one after the other.
        most = max(parts, size // TASK_BYTES)
        frame = spark.createDataFrame(tasks, TASKS).repartitionByRange(max(min(len(tasks), most), 1), "task")
        stage1 = frame.mapInArrow(dissector(text, chunk_kib, parts), RECORDS)
        stage1 = stage1.persist(StorageLevel.DISK_ONLY)
        stack.callback(stage1.unpersist)
        leads, keys, clock, datagrams = plan.sequence(summaries(stage1, chunks))
        records = stage1.where(f"part <> {SUMMARY}")
        if datagrams:
            rows = [(part, chunk, 1, bytearray(message)) for chunk, part, message in datagrams]
            records = records.unionAll(spark.createDataFrame(rows, RECORDS))
        records = records.repartition(parts, "part").sortWithinPartitions("part", "chunk", "again")
        stage2 = records.mapInArrow(tracker(text, leads, keys, clock, bool(kept)), SAID)
        stage2 = stage2.persist(StorageLevel.DISK_ONLY)
        said = stage2.where("what <> 'rows'").collect()
    ends = [(row.part, bytes(row.message)) for row in said if row.what == "end"]
    states = [bytes(row.message) for row in said if row.what == "state"]
    json, numbers, known = plan.conclude(ends, states, list(wanted))
    types = {name: [(column, kind) for column, kind, _ in columns] for name, _, columns in _native.tables()}
    schemas = {name: ddl(types[name]) for name in wanted}
    messages = stage2.where("what = 'rows'")
    made: dict[str, DataFrame] = {}
    for name in kept:
        made[name] = messages.mapInArrow(reader(name, numbers, plan.files, types[name]), schemas[name])
    for table in known:
        rows = [tuple(row.values()) for row in in_spark([table], types[table.name]).to_pylist()]
        made[table.name] = spark.createDataFrame(rows, schemas[table.name])
    return SparkReport(json, Tables(made, wanted), stage2)


def ddl(types: Columns) -> str:
    """The columns of a table in Spark."""
    return ", ".join(f"`{column}` {TYPES[kind][0]}" for column, kind in types)


def planned(plan: _native.Plan) -> tuple[list[tuple[Any, ...]], int, int]:
    """The tasks of stage 1, how many chunks they have, and how many bytes. A compressed file is one task: nobody
    can begin to read it in the middle."""
    tasks: list[list[Any]] = []
    chunks = size = 0
    while (chunk := plan.next_chunk()) is not None:
        file, path, alone, offset, length, head = chunk
        if not alone and tasks and tasks[-1][3] == file:
            tasks[-1][2] += 1
        else:
            base = plan.files[file][1]
            tasks.append([len(tasks), chunks, 1, file, base, path, alone, offset, length, bytearray(head)])
        chunks += 1
        size += length
    return [tuple(task) for task in tasks], chunks, size


def summaries(stage1: DataFrame, chunks: int) -> list[bytes]:
    """The summaries of all chunks, in their order."""
    found = stage1.where(f"part = {SUMMARY}").select("chunk", "message").collect()
    by_chunk = {row.chunk: bytes(row.message) for row in found}
    if sorted(by_chunk) != list(range(chunks)) or len(found) != chunks:
        raise RuntimeError(f"{len(found)} summaries of {len(by_chunk)} chunks, expected {chunks} of each")
    return [by_chunk[chunk] for chunk in range(chunks)]


def batch(schema: str, columns: Iterable[Iterable[Any]]) -> pa.RecordBatch:
    """A batch with the names and types of a schema of this module."""
    arrow = {"int": pa.int32(), "bigint": pa.int64(), "string": pa.string(), "binary": pa.binary()}
    fields = [field.split() for field in schema.split(", ")]
    arrays = [pa.array(column, arrow[kind]) for (_, kind), column in zip(fields, columns)]
    return pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in fields])


def dissector(config: str, chunk_kib: int, parts: int) -> Stage:
    """Stage 1: tasks to records. A function of the task and the bytes it names."""

    def messages(chunk: int, dissected: _native.Dissected) -> pa.RecordBatch:
        summary, parcels = dissected
        numbers = [SUMMARY, *(part for part, _ in parcels)]
        bodies = [summary, *(message for _, message in parcels)]
        return batch(RECORDS, (numbers, [chunk] * len(numbers), [0] * len(numbers), bodies))

    def one(task: dict[str, Any]) -> Batches:
        if task["alone"]:
            with open(task["path"], "rb") as file:
                file.seek(task["offset"])
                data = file.read(task["length"])
            if len(data) != task["length"]:
                found = f"{len(data)} bytes at offset {task['offset']} where there were {task['length']}"
                raise CaptureError(f"{task['path']}: the file changed while it was read: {found}",
                                   task["path"], task["offset"])
            yield messages(task["chunk"], _native.dissect(task["head"], data, parts))
            return
        count = 0
        file = _native.FileChunks(task["path"], task["file"], task["base"], config, chunk_kib, parts)
        for count, dissected in enumerate(file, start=1):
            yield messages(task["chunk"] + count - 1, dissected)
        if count != task["chunks"]:
            raise CaptureError(f"{task['path']}: the file changed while it was read", task["path"])

    def dissect(batches: Batches) -> Batches:
        for tasks in batches:
            for task in tasks.to_pylist():
                yield from one(task)

    return dissect


def tracker(config: str, leads: bytes, keys: bytes, clock: int, rows: bool) -> Stage:
    """Stage 2: records, sorted by partition and packet, to rows and what the detectors counted."""

    def track(batches: Batches) -> Batches:
        tracker = _native.Tracker(config, leads, keys, clock, rows)
        for records in batches:
            columns = (records.column(name) for name in ("part", "chunk", "message"))
            for part, chunk, message in zip(*columns):
                said = tracker.take(part.as_py(), chunk.as_py(), message.as_py())
                if said:
                    yield batch(SAID, zip(*said))
        if said := tracker.finish():
            yield batch(SAID, zip(*said))

    return track


def reader(table: str, numbers: bytes, files: list[tuple[str, int]], types: Columns) -> Stage:
    """Messages of stage 2 to rows of a table."""

    def read(batches: Batches) -> Batches:
        rows = _native.RowReader(table, numbers, files)
        for messages in batches:
            for start in range(0, messages.num_rows, AT_ONCE):
                some = messages.slice(start, AT_ONCE).to_pylist()
                tables = [rows.read(message["part"], message["message"]) for message in some]
                yield from in_spark(tables, types).to_batches()

    return read


def in_spark(tables: list[Table], types: Columns) -> pa.Table:
    """Tables one after the other, in types that Spark knows. What is beyond a signed integer wraps."""
    schema = pa.schema([(column, TYPES[kind][1]) for column, kind in types])
    return pa.concat_tables([pa.table(table).cast(schema, safe=False) for table in tables])
