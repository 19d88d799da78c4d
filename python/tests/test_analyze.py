"""The report: the same as the program's, as objects; progress, interrupts, errors."""

import dataclasses
import json
import os
import pickle
import signal
import threading
import time

import pytest

import pcapsy
from pcapsy import report as reports

SICK = "mtu_silent_upload.pcap"


def test_the_report_is_the_programs(lab, program):
    for name in (SICK, "proxy_502.pcap", "dns_servfail_upstream.pcap", "healthy_mix.pcap"):
        assert pcapsy.analyze(lab / name, tables=[]).json == program(lab / name)


def test_several_files_are_one_capture_whatever_the_threads(lab, program):
    files = [lab / "proxy_502.pcap", lab / SICK]
    texts = {pcapsy.analyze(files, threads=threads, tables=[]).json for threads in (1, 2, 3)}
    assert texts == {program(*files)}


def test_incidents_and_findings_are_objects(lab):
    report = pcapsy.analyze(str(lab / SICK))
    assert report.verdict.status == "findings" and report.verdict.worst == "critical"
    incident = report.incidents[0]
    assert incident.severity == "critical" and "never arrive" in incident.title
    root = report.finding(incident.root)
    assert root.detector == "mtu_blackhole" and root.evidence[0].frame > 0
    assert {frame.file for frame in root.evidence} == {str(lab / SICK)}
    assert report.files[0].packets == report.raw["capture"]["packets"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        incident.title = "another"
    with pytest.raises(KeyError):
        report.finding("F-999")
    assert f"{len(report.findings)} findings" in repr(report)


@pytest.mark.parametrize(
    ("cls", "part"),
    [(reports.Incident, "incident"), (reports.Finding, "finding"), (reports.File, "file")],
)
def test_the_objects_have_the_fields_of_the_schema(lab, cls, part):
    schema = json.loads((lab.parents[2] / "reports/report.schema.json").read_text())
    declared = set(schema["$defs"][part]["properties"])
    own = {field.name for field in dataclasses.fields(cls)}
    assert own <= declared
    # Of a file only what most people ask for; the rest is in `raw`.
    assert part == "file" or own == declared
    verdict = set(schema["properties"]["verdict"]["properties"])
    assert {field.name for field in dataclasses.fields(reports.Verdict)} == verdict


def test_a_configuration_is_a_file_or_a_mapping(lab, tmp_path):
    path = tmp_path / "pcapsy.toml"
    path.write_text("[limits]\nevents_per_flow = 1\n")
    from_file = pcapsy.analyze(lab / SICK, config=path, tables=[])
    from_mapping = pcapsy.analyze(lab / SICK, config={"limits": {"events_per_flow": 1}}, tables=[])
    assert from_file.json == from_mapping.json
    assert from_file.verdict.degraded and not pcapsy.analyze(lab / SICK, tables=[]).verdict.degraded
    with pytest.raises(pcapsy.ConfigError, match="memory_mib"):
        pcapsy.analyze(lab / SICK, config={"limits": {"memory_mb": 1}})
    with pytest.raises(pcapsy.ConfigError, match="a number"):
        pcapsy.analyze(lab / SICK, config={"limits": {"memory_mib": "much"}})
    assert "[limits]" in pcapsy.default_config()


def test_progress_is_told_in_this_thread_and_ends_the_run_when_it_raises(lab):
    told, threads = [], set()

    def show(progress):
        told.append(progress)
        threads.add(threading.get_ident())

    report = pcapsy.analyze(lab / SICK, progress=show, tables=[])
    assert told[-1].packets == report.raw["capture"]["packets"]
    assert told[-1].bytes == told[-1].total_bytes == (lab / SICK).stat().st_size
    assert threads == {threading.get_ident()}

    def refuse(progress):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        pcapsy.analyze(lab / SICK, progress=refuse, tables=[])


@pytest.fixture
def pipe(tmp_path):
    """A capture that goes on for ever, slowly."""
    path, end = tmp_path / "endless.pcap", threading.Event()
    os.mkfifo(path)

    def feed():
        header = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000")
        record = (1).to_bytes(4, "little") * 2 + (60).to_bytes(4, "little") * 2 + bytes(60)
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(header)
                while not end.is_set():
                    file.write(record * 4096)
                    time.sleep(0.005)
        except BrokenPipeError:
            pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    yield path
    end.set()
    feeder.join()


def test_ctrl_c_ends_the_analysis_and_other_threads_go_on(pipe):
    ticks = []

    def interrupt():
        for _ in range(20):
            time.sleep(0.02)
            ticks.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pcapsy.analyze(pipe, tables=[])
    other.join()
    assert time.monotonic() - started < 60
    # It ran while the analysis did: the interpreter was free.
    assert len(ticks) == 20 and max(after - before for before, after in zip(ticks, ticks[1:])) < 5


def test_errors_name_the_file_and_the_offset(lab, tmp_path):
    missing = tmp_path / "gone.pcap"
    with pytest.raises(pcapsy.CaptureError, match="gone.pcap: no such file") as caught:
        pcapsy.analyze(missing)
    assert (caught.value.path, caught.value.offset) == (str(missing), None)
    short = tmp_path / "short.pcap"
    short.write_bytes((lab / SICK).read_bytes()[:10])
    with pytest.raises(pcapsy.CaptureError, match="offset 0") as caught:
        pcapsy.analyze(short)
    assert (caught.value.path, caught.value.offset) == (str(short), 0)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.offset) == (str(caught.value), str(short), 0)
    with pytest.raises(pcapsy.CaptureError, match="no input"):
        pcapsy.analyze([])


def test_damage_is_reported_and_refused_when_asked(lab, tmp_path):
    whole = (lab / SICK).read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[:-20])
    report = pcapsy.analyze(cut, tables=[])
    assert report.verdict.incomplete and report.files[0].damages[0].kind == "truncated_tail"
    with pytest.raises(pcapsy.CaptureError, match="cut.pcap: offset") as caught:
        pcapsy.analyze(cut, tables=[], strict=True)
    assert 0 < caught.value.offset < len(whole)
