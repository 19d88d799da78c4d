"""The tables, as those read them who go on with them."""

import gc

import duckdb
import pandas
import polars
import pyarrow
import pytest

import pcapsy

SICK = "mtu_silent_upload.pcap"


@pytest.fixture(scope="module")
def report(lab):
    return pcapsy.analyze(lab / SICK)


def test_every_table_is_there_with_its_columns(report):
    assert tuple(report.tables) == pcapsy.TABLES and len(report.tables) == len(pcapsy.TABLES)
    for name, table in report.tables.items():
        read = pyarrow.table(table)
        assert read.num_rows == len(table) and table.name == name and table.doc
        assert read.column_names == [column for column, _, _ in table.columns]
        assert pyarrow.schema(table) == read.schema
    assert len(report.tables["flows"]) > 0 and "rows" in repr(report.tables["flows"])


def test_polars_pandas_and_duckdb_read_the_same(report):
    table = report.tables["flows"]
    frame = polars.DataFrame(table)
    arrow = pyarrow.table(table)
    assert frame.height == len(table) and frame.schema["ts"] == polars.Datetime("ns", "UTC")
    assert arrow.to_pandas()["flow_id"].tolist() == frame["flow_id"].to_list()
    assert isinstance(arrow.to_pandas()["ts"].dtype, pandas.DatetimeTZDtype)
    query = 'SELECT "id.resp_h" AS server, count(*) AS flows FROM arrow GROUP BY server'
    counted = duckdb.sql(query).fetchall()
    expected = frame.group_by("id.resp_h").len().rows()
    assert sorted(counted) == sorted(expected)
    nulls = sum(column.null_count for column in arrow.columns)
    assert nulls == sum(frame.null_count().row(0)) > 0


def test_rows_are_those_of_the_report(report):
    findings = polars.DataFrame(report.tables["findings"])
    assert findings["id"].to_list() == [
        finding.id for finding in report.findings
    ]
    evidence = polars.DataFrame(report.tables["evidence"])
    assert evidence.height == sum(len(finding.evidence) for finding in report.findings)


def test_columns_outlive_their_report(lab):
    column = pyarrow.table(pcapsy.analyze(lab / SICK, tables=["flows"]).tables["flows"])["id.resp_h"]
    gc.collect()
    assert all(value.as_py() for value in column)


def test_a_table_can_be_read_twice_and_streams_batches(report):
    table = report.tables["tcp_events"]
    reader = pyarrow.RecordBatchReader.from_stream(table)
    assert sum(batch.num_rows for batch in reader) == len(table) > 0
    assert pyarrow.table(table).equals(pyarrow.table(table))


def test_only_the_tables_asked_for_are_kept(lab):
    report = pcapsy.analyze(lab / SICK, tables=["services", "flows"])
    assert list(report.tables) == ["flows", "services"]
    with pytest.raises(KeyError, match="asked for: flows, services"):
        report.tables["dns"]
    with pytest.raises(ValueError, match="no table flow"):
        pcapsy.analyze(lab / SICK, tables=["flow"])
