//! Tables in Arrow's C stream interface, over PyCapsule
//! (<https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>).

use pcapsy::report::memory::MemoryTable;
use pcapsy::report::table::TableDoc;
use polars::prelude::{CompatLevel, DataFrame, SchemaExt};
use polars_arrow::array::{Array, StructArray};
use polars_arrow::datatypes::{ArrowDataType, Field};
use polars_arrow::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A table of a report. It holds the columns as Arrow does: what reads it shares them.
#[pyclass(frozen, module = "pcapsy")]
pub(crate) struct Table(pub(crate) MemoryTable);

/// Name, type and meaning.
type Column = (&'static str, &'static str, &'static str);

/// Name, what a row is, and the columns of every table.
#[pyfunction]
pub(crate) fn tables() -> Vec<(&'static str, &'static str, Vec<Column>)> {
    TableDoc::all().into_iter().map(|doc| (doc.name, doc.doc, columns(&doc))).collect()
}

fn columns(doc: &TableDoc) -> Vec<Column> {
    doc.columns.iter().map(|column| (column.name, column.kind.name(), column.doc)).collect()
}

#[pymethods]
impl Table {
    /// Its name.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.doc.name
    }

    /// One row is what.
    #[getter]
    fn doc(&self) -> &'static str {
        self.0.doc.doc
    }

    /// Name, type and meaning of every column.
    #[getter]
    fn columns(&self) -> Vec<Column> {
        columns(&self.0.doc)
    }

    fn __len__(&self) -> usize {
        self.0.rows()
    }

    fn __repr__(&self) -> String {
        format!(
            "<pcapsy table {}: {} rows, {} columns>",
            self.name(),
            self.0.rows(),
            self.0.doc.columns.len()
        )
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, ffi::export_field_to_c(&self.field()), c"arrow_schema")
    }

    /// Another schema than the table's own is not made: readers cast.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let field = self.field();
        let dtype = field.dtype().clone();
        let batches = self.0.frames.clone().into_iter().map(move |frame| Ok(batch(&frame, dtype.clone())));
        let stream = ffi::export_iterator(Box::new(batches), field);
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}

impl Table {
    /// All columns as one: a struct, as the C stream interface wants a record batch.
    fn field(&self) -> Field {
        let schema = self.0.frames.first().map(|frame| frame.schema().to_arrow(CompatLevel::newest()));
        let fields = schema.into_iter().flat_map(|schema| schema.into_iter_values()).collect();
        Field::new("".into(), ArrowDataType::Struct(fields), false)
    }
}

/// A frame of one chunk, which is how they are collected. Nothing is copied.
fn batch(frame: &DataFrame, dtype: ArrowDataType) -> Box<dyn Array> {
    let columns = frame.columns().iter();
    let columns = columns.map(|column| column.as_materialized_series().to_arrow(0, CompatLevel::newest()));
    Box::new(StructArray::new(dtype, frame.height(), columns.collect(), None))
}
