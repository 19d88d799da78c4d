//! The stages of [`pcapsy::pipeline`] one by one, bytes to bytes: what a cluster runs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pcapsy::capture::{ChunkHead, Compression, Keys, Reader};
use pcapsy::config::Config;
use pcapsy::flow::Row;
use pcapsy::pipeline::exchange::{self, Travels};
use pcapsy::pipeline::{
    ChunkSummary, Leads, Outcome, Partition, PartitionState, Records, Rows, Sequencer, StreamNumbers,
    Tracked, dissect_chunk, partition_of,
};
use pcapsy::report::memory::{MemoryTables, concluded};
use pcapsy::report::model::Report;
use pcapsy::time::Timestamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::analysis::text;
use crate::error;
use crate::table::Table;

/// Bytes of Python, both ways.
type Octets = std::borrow::Cow<'static, [u8]>;

fn encode<T: Travels>(message: &T) -> PyResult<Octets> {
    exchange::encode(message).map(Octets::from).map_err(error::fault)
}

fn decode<T: Travels>(bytes: &[u8]) -> PyResult<T> {
    exchange::decode(bytes).map_err(error::fault)
}

/// How a run is cut.
fn cut(config: &str, chunk_kib: u32) -> PyResult<Config> {
    let mut config = error::config(config)?;
    config.limits.chunk_kib = chunk_kib;
    Ok(config)
}

/// What stage 1 makes of a chunk: its summary, and the records of each partition that has some.
type Dissected = (Octets, Vec<(usize, Octets)>);

/// A chunk of the plan: index of its file, path, whether it can be read alone, where, how many bytes, and
/// what else stage 1 needs.
type Planned = (u32, String, bool, u64, u64, Octets);

/// The beginning and the end of a run: which chunks there are, what is folded between the stages, and what
/// they came to.
#[pyclass(module = "pcapsy._native")]
pub(crate) struct Plan {
    config: Config,
    partitions: usize,
    state: Mutex<Option<(Reader, Sequencer)>>,
    /// Path of every file, and the ordinal before its first packet.
    files: Vec<(String, u64)>,
}

/// What the sequencer gives the partitions: leads, the secrets of TLS that stand in the files, the capture's
/// clock, and datagrams put together from fragments, by place of the chunk and partition.
type Sequenced = (Octets, Octets, i64, Vec<(usize, usize, Octets)>);

#[pymethods]
impl Plan {
    #[new]
    fn new(paths: Vec<PathBuf>, config: &str, chunk_kib: u32, partitions: usize) -> PyResult<Self> {
        let config = cut(config, chunk_kib)?;
        let reader =
            Reader::open(&paths, &config.capture_limits()).map_err(|error| error::capture(&error))?;
        let sequencer = Sequencer::new(&config);
        Ok(Self {
            config,
            partitions: partitions.max(1),
            state: Mutex::new(Some((reader, sequencer))),
            files: Vec::new(),
        })
    }

    /// The next chunk; `None` after the last. Record headers are walked and bytes are hashed, nothing else.
    fn next_chunk(&mut self, py: Python<'_>) -> PyResult<Option<Planned>> {
        let Self { state, files, .. } = self;
        py.detach(|| {
            let state = state.get_mut().unwrap_or_else(PoisonError::into_inner);
            let Some((reader, _)) = state else { return Err(spent()) };
            let chunk = reader.next_chunk();
            let begun: Vec<_> = reader.begun().skip(files.len()).collect();
            files.extend(begun.into_iter().map(|(path, base)| (path.to_owned(), base)));
            let Some(chunk) = chunk else { return Ok(None) };
            let head = ChunkHead::of(&chunk);
            chunk.release();
            let path = files.get(head.file as usize).map(|(path, _)| path.clone()).unwrap_or_default();
            let alone = reader.reading().is_some_and(|report| report.compression == Compression::None);
            Ok(Some((head.file, path, alone, head.offset, head.length, encode(&head)?)))
        })
    }

    /// Path of every file, and the ordinal before its first packet.
    #[getter]
    fn files(&self) -> Vec<(String, u64)> {
        self.files.clone()
    }

    /// Folds the summaries of all chunks, in their order.
    fn sequence(&mut self, py: Python<'_>, summaries: Vec<Vec<u8>>) -> PyResult<Sequenced> {
        let Self { state, partitions, .. } = self;
        py.detach(|| {
            let state = state.get_mut().unwrap_or_else(PoisonError::into_inner);
            let Some((reader, sequencer)) = state else { return Err(spent()) };
            let (mut leads, mut datagrams) = (Leads::default(), Vec::new());
            for (place, summary) in summaries.iter().enumerate() {
                let sequenced = sequencer.take(decode::<ChunkSummary>(summary)?);
                leads.push(sequenced.lead);
                let mut lists = vec![Records::default(); *partitions];
                for (record, payload) in sequenced.datagrams.iter() {
                    if let Some(list) = lists.get_mut(partition_of(record, *partitions)) {
                        list.push(*record, payload);
                    }
                }
                for (partition, list) in lists.iter().enumerate().filter(|(_, list)| !list.is_empty()) {
                    datagrams.push((place, partition, encode(list)?));
                }
            }
            Ok((encode(&leads)?, encode(&reader.keys())?, sequencer.clock().0, datagrams))
        })
    }

    /// Merges and judges: the bytes of `report.json`, the numbers of the streams, and those of the tables
    /// named that are known only now. `ends` and `states` are what the partitions gave.
    fn conclude(
        &mut self,
        py: Python<'_>,
        ends: Vec<(usize, Vec<u8>)>,
        states: Vec<Vec<u8>>,
        tables: Vec<String>,
    ) -> PyResult<(String, Octets, Vec<Table>)> {
        let Self { config, partitions, state, .. } = self;
        py.detach(|| {
            let state = state.get_mut().unwrap_or_else(PoisonError::into_inner);
            let Some((reader, sequencer)) = state.take() else { return Err(spent()) };
            let mut merged = PartitionState::default();
            for state in states {
                merged.merge(decode(&state)?);
            }
            let mut streams = vec![Vec::new(); *partitions];
            for (partition, end) in ends {
                let slot = streams.get_mut(partition).filter(|slot: &&mut Vec<u64>| slot.is_empty());
                *slot.ok_or_else(|| error::fault(format!("partition {partition} came twice")))? =
                    decode::<Tracked>(&end)?.streams;
            }
            let mut numbers = StreamNumbers::new(*partitions, config.limits.numbered_streams());
            numbers.number(streams);
            let outcome = Outcome::conclude(config, reader, sequencer, merged, 0, numbers.refused());
            let report = Report::new(&outcome, config);
            let wanted: Vec<&str> = tables.iter().map(String::as_str).collect();
            let tables = concluded(&report, &outcome.files, &wanted).map_err(error::fault)?;
            Ok((text(&report)?, encode(&numbers)?, tables.into_iter().map(Table).collect()))
        })
    }
}

fn spent() -> PyErr {
    PyValueError::new_err("this run is over: plan another")
}

/// Stage 1 of one chunk whose bytes are `data`.
#[pyfunction]
pub(crate) fn dissect(py: Python<'_>, head: &[u8], data: Vec<u8>, partitions: usize) -> PyResult<Dissected> {
    py.detach(|| {
        let (head, found) = (decode::<ChunkHead>(head)?, data.len());
        let (length, offset) = (head.length, head.offset);
        let chunk = head.with(data).ok_or_else(|| {
            error::fault(format!(
                "{found} bytes at offset {offset} where there were {length}: the file changed"
            ))
        })?;
        dissected(chunk, partitions)
    })
}

fn dissected(chunk: pcapsy::capture::Chunk, partitions: usize) -> PyResult<Dissected> {
    let mut batch = dissect_chunk(chunk, partitions);
    let parcels = batch.parcels().map(|(partition, records)| Ok((partition, encode(&records)?)));
    let parcels = parcels.collect::<PyResult<_>>()?;
    Ok((encode(&batch.take_summary())?, parcels))
}

/// Stage 1 of a file that can only be read from its start: the same for each of its chunks.
#[pyclass(module = "pcapsy._native")]
pub(crate) struct FileChunks {
    reader: Mutex<Reader>,
    file: u32,
    base: u64,
    partitions: usize,
}

#[pymethods]
impl FileChunks {
    /// Of the file at `path`, which is number `file` of its set, behind `base` packets.
    #[new]
    fn new(
        path: PathBuf,
        file: u32,
        base: u64,
        config: &str,
        chunk_kib: u32,
        parts: usize,
    ) -> PyResult<Self> {
        let limits = cut(config, chunk_kib)?.capture_limits();
        let limits = pcapsy::capture::CaptureLimits { hashes: pcapsy::capture::Hashes::None, ..limits };
        let reader = Reader::open(&[path], &limits).map_err(|error| error::capture(&error))?;
        Ok(Self { reader: Mutex::new(reader), file, base, partitions: parts })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Dissected>> {
        let Self { reader, file, base, partitions } = self;
        py.detach(|| {
            let reader = reader.get_mut().unwrap_or_else(PoisonError::into_inner);
            let Some(mut chunk) = reader.next_chunk() else { return Ok(None) };
            chunk.file = *file;
            chunk.first_packet += *base;
            dissected(chunk, *partitions).map(Some)
        })
    }
}

/// Rows of a message.
const ROWS: usize = 200;

/// What is in a message of stage 2.
const ROWS_OF: &str = "rows";
const END_OF: &str = "end";
const STATE_OF: &str = "state";

/// A message of stage 2: of which partition, what, and its bytes.
type Said = (usize, &'static str, Octets);

/// Stage 2 of one partition after the other.
#[pyclass(module = "pcapsy._native")]
pub(crate) struct Tracker {
    config: Config,
    leads: Leads,
    keys: Keys,
    clock: Timestamp,
    /// Somebody wants rows.
    rows: bool,
    current: Mutex<Option<Tracking>>,
}

/// The partition that is being tracked.
struct Tracking {
    number: usize,
    partition: Partition,
    /// Place of the chunk whose records are next; those put together from its fragments may join them.
    chunk: usize,
    records: Records,
    rows: Vec<Row>,
}

#[pymethods]
impl Tracker {
    #[new]
    fn new(config: &str, leads: &[u8], keys: &[u8], clock: i64, rows: bool) -> PyResult<Self> {
        let (config, leads, keys) = (error::config(config)?, decode(leads)?, decode(keys)?);
        Ok(Self { config, leads, keys, clock: Timestamp(clock), rows, current: Mutex::new(None) })
    }

    /// Takes a message of stage 1. They come sorted by partition, then by chunk: an error when they do not.
    fn take(
        &mut self,
        py: Python<'_>,
        partition: usize,
        chunk: usize,
        message: &[u8],
    ) -> PyResult<Vec<Said>> {
        py.detach(|| self.taken(partition, chunk, decode(message)?))
    }

    /// No message follows.
    fn finish(&mut self, py: Python<'_>) -> PyResult<Vec<Said>> {
        py.detach(|| match self.current.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            Some(tracking) => tracking.end(&self.leads, self.clock, self.rows),
            None => Ok(Vec::new()),
        })
    }
}

impl Tracker {
    fn taken(&mut self, number: usize, chunk: usize, records: Records) -> PyResult<Vec<Said>> {
        let Self { config, leads, keys, clock, rows, current } = self;
        let current = current.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut said = Vec::new();
        if let Some(before) = current.take_if(|tracking| tracking.number != number) {
            if before.number > number {
                return Err(error::fault(format!("partition {number} came behind {}", before.number)));
            }
            said = before.end(leads, *clock, *rows)?;
        }
        let tracking = current.get_or_insert_with(|| Tracking {
            number,
            partition: Partition::new(0, config.flow_limits(), config.detectors()).with_keys(keys.clone()),
            chunk,
            records: Records::default(),
            rows: Vec::new(),
        });
        if tracking.chunk == chunk {
            tracking.records = std::mem::take(&mut tracking.records).joined(records);
            return Ok(said);
        }
        tracking.advance(leads)?;
        (tracking.chunk, tracking.records) = (chunk, records);
        said.extend(full(number, &mut tracking.rows, *rows, ROWS)?);
        Ok(said)
    }
}

impl Tracking {
    fn advance(&mut self, leads: &Leads) -> PyResult<()> {
        let records = std::mem::take(&mut self.records);
        self.rows.extend(self.partition.advance(&records, leads).map_err(error::fault)?);
        Ok(())
    }

    fn end(mut self, leads: &Leads, clock: Timestamp, wanted: bool) -> PyResult<Vec<Said>> {
        self.advance(leads)?;
        let Self { number, partition, mut rows, .. } = self;
        let (last, state) = partition.end(clock);
        rows.extend(last.rows);
        let mut said = full(number, &mut rows, wanted, 1)?;
        said.push((number, END_OF, encode(&Tracked { rows: Vec::new(), ..last })?));
        said.push((number, STATE_OF, encode(&state)?));
        Ok(said)
    }
}

/// Messages of `rows` while there are as many as `least`.
fn full(number: usize, rows: &mut Vec<Row>, wanted: bool, least: usize) -> PyResult<Vec<Said>> {
    if !wanted {
        rows.clear();
    }
    let mut said = Vec::new();
    while rows.len() >= least {
        let rest = rows.split_off(rows.len().min(ROWS));
        let rows = std::mem::replace(rows, rest);
        said.push((number, ROWS_OF, encode(&Tracked { rows, ..Tracked::default() })?));
    }
    Ok(said)
}

/// Messages of rows to rows of a table.
#[pyclass(module = "pcapsy._native")]
pub(crate) struct RowReader {
    table: String,
    numbers: StreamNumbers,
    files: Vec<(String, u64)>,
}

#[pymethods]
impl RowReader {
    /// For the table of this name; `numbers` and `files` are of the plan.
    #[new]
    fn new(table: String, numbers: &[u8], files: Vec<(String, u64)>) -> PyResult<Self> {
        Ok(Self { table, numbers: decode(numbers)?, files })
    }

    /// The rows of a message of `partition`.
    fn read(&self, py: Python<'_>, partition: usize, message: &[u8]) -> PyResult<Table> {
        py.detach(|| {
            let mut table = MemoryTables::new(&[&self.table]);
            self.files.iter().for_each(|(path, base)| table.file(path, *base));
            let mut rows = decode::<Tracked>(message)?.rows;
            rows.iter_mut().for_each(|row| self.numbers.resolve(partition, row));
            table.finished(&rows);
            let mut tables = table.finish().map_err(error::fault)?;
            tables
                .pop()
                .map(Table)
                .ok_or_else(|| error::fault(format!("{} has no rows of flows", self.table)))
        })
    }
}
