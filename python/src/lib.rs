//! captures -> report, tables: the analysis and its stages for Python.
//!
//! What people call is in `pcapsy/__init__.py` and `pcapsy/spark.py`; this is what they are made of.

mod analysis;
mod error;
mod stages;
mod table;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::analysis::{analyze, default_config};
    #[pymodule_export]
    use crate::stages::{FileChunks, Plan, RowReader, Tracker, dissect};
    #[pymodule_export]
    use crate::table::{Table, tables};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
