"""The report from Spark is the local one, byte for byte."""

import gzip
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

import pcapsy

pyspark = pytest.importorskip("pyspark")
pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="no java")


def session(master: str, **more: str):
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master(master).appName("pcapsy tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "600m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        **more,
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


@pytest.fixture(scope="module")
def spark():
    made = session("local[2]")
    made.sparkContext.setLogLevel("ERROR")
    yield made
    made.stop()


def packets(path: Path) -> tuple[bytes, list[bytes]]:
    """File header and records of a little-endian pcap."""
    data = path.read_bytes()
    assert data[:4] in (bytes.fromhex("d4c3b2a1"), bytes.fromhex("4d3cb2a1"))
    records, at = [], 24
    while at < len(data):
        length = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        records.append(data[at : at + length])
        at += length
    return data[:24], records


def rotated(path: Path, folder: Path, every: int) -> list[Path]:
    """The capture in files of so many packets: flows go on from one to the next."""
    header, records = packets(path)
    files = []
    for start in range(0, len(records), every):
        files.append(folder / f"ring_{start // every:05}.pcap")
        files[-1].write_bytes(header + b"".join(records[start : start + every]))
    return files


def same(spark, paths, **cut) -> pcapsy.Report:
    from pcapsy import spark as on_spark

    report = on_spark.analyze(spark, paths, **cut)
    assert report.json == pcapsy.analyze(paths, tables=[]).json
    return report


@pytest.mark.parametrize("name", ["mtu_silent_upload.pcap", "proxy_502.pcap", "tls13_expired_keys.pcapng"])
def test_the_report_is_the_local_one_at_any_cut(spark, lab, name):
    for partitions, chunk_kib in ((1, 4096), (5, 8)):
        same(spark, lab / name, partitions=partitions, chunk_kib=chunk_kib, tables=[])


def test_flows_that_cross_files_and_the_tables(spark, lab, tmp_path):
    import polars

    files = rotated(lab / "proxy_502.pcap", tmp_path, 60)
    assert len(files) > 5
    report = same(spark, files, partitions=4, chunk_kib=4)
    local = pcapsy.analyze(files)
    assert tuple(report.tables) == pcapsy.TABLES
    for name in ("flows", "tcp_events", "dns", "http", "findings", "services"):
        frame = report.tables[name].toArrow()
        expected = polars.DataFrame(local.tables[name])
        found = polars.DataFrame(frame).cast(expected.schema)
        times = [column for column, kind in expected.schema.items() if isinstance(kind, polars.Datetime)]
        expected = expected.with_columns(polars.col(times).dt.truncate("1us"))
        key = expected.columns
        assert found.sort(key).equals(expected.sort(key)), name
        assert found.height == len(local.tables[name]) > 0
    report.unpersist()


def test_compressed_files_are_read_from_their_start(spark, lab, tmp_path):
    paths = []
    for name in ("dns_servfail_upstream.pcap", "healthy_mix.pcap"):
        paths.append(tmp_path / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress((lab / name).read_bytes()))
    same(spark, paths, partitions=3, chunk_kib=4, tables=[])


def test_fragments_meet_on_the_driver(spark, lab):
    synthetic = lab.parents[1] / "synthetic"
    fragmented = [path for path in sorted(synthetic.glob("*.pcap*")) if "fragment" in path.name]
    assert fragmented
    for path in fragmented:
        same(spark, path, partitions=3, chunk_kib=1, tables=[])


def test_a_file_that_cannot_be_read_is_named(spark, tmp_path):
    from pcapsy import spark as on_spark

    with pytest.raises(pcapsy.CaptureError, match="gone.pcap"):
        on_spark.analyze(spark, tmp_path / "gone.pcap")
