"""Two workers of a Spark cluster, and executors that die: the report stays the local one, byte for byte.

Takes two minutes on two quiet cores: ``python/run -m cluster``.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pcapsy

from test_spark import rotated, same, session

pyspark = pytest.importorskip("pyspark")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc"),
]


@pytest.fixture(scope="module")
def cluster():
    """A master and two workers of one core, each with an executor that is a process of its own."""
    from pyspark import cloudpickle

    # The executors cannot import the tests.
    for module in ("test_cluster", "test_spark"):
        cloudpickle.register_pickle_by_value(sys.modules[module])
    made = session("local-cluster[2,1,1400]", **{"spark.executor.memory": "1000m"})
    made.sparkContext.setLogLevel("OFF")
    yield made
    made.stop()


def parent(process: int) -> tuple[str, int]:
    """The name of a process, and its parent."""
    name, rest = Path(f"/proc/{process}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
    return name, int(rest.split()[1])


def end_this_executor(flag: Path) -> None:
    """Ends the Java process that this worker belongs to, as a machine that is lost would; only once."""
    try:
        handle = os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    process = os.getpid()
    name, above = parent(process)
    while name != "java":
        process = above
        name, above = parent(process)
    os.write(handle, str(process).encode())
    os.close(handle)
    os.kill(process, signal.SIGKILL)


def fatal(stage: Callable[..., Callable], flag: Path) -> Callable[..., Callable]:
    """The stage, whose executor dies once with work that it has done and not handed on."""

    def make(*settings):
        work = stage(*settings)

        def run(batches):
            for batch in work(batches):
                end_this_executor(flag)
                yield batch

        return run

    return make


@pytest.mark.parametrize("stage", ["dissector", "tracker"])
def test_an_executor_that_dies_changes_nothing(cluster, lab, tmp_path, monkeypatch, stage):
    from pcapsy import spark as on_spark

    flag = tmp_path / "killed"
    monkeypatch.setattr(on_spark, stage, fatal(getattr(on_spark, stage), flag))
    files = rotated(lab / "proxy_502.pcap", tmp_path, 300)
    same(cluster, files, partitions=4, chunk_kib=4, tables=[])
    killed = int(flag.read_text())
    assert not Path(f"/proc/{killed}").exists()


def test_tables_come_from_both_workers(cluster, lab):
    path = lab / "dns_servfail_upstream.pcap"
    report = same(cluster, path, partitions=7, chunk_kib=16)
    assert report.tables["dns"].count() == len(pcapsy.analyze(path).tables["dns"])
    report.unpersist()
