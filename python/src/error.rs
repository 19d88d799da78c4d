//! Errors of the library as exceptions.

use std::fmt::Display;

use pcapsy::capture::CaptureError;
use pcapsy::config::Config;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

mod python {
    pyo3::import_exception!(pcapsy.errors, CaptureError);
    pyo3::import_exception!(pcapsy.errors, ConfigError);
}

/// `pcapsy.CaptureError`, with the file and the offset.
pub(crate) fn capture(error: &CaptureError) -> PyErr {
    let path = error.path().map(str::to_owned);
    python::CaptureError::new_err((error.to_string(), path, error.offset()))
}

/// What cannot happen while both sides are of one build.
pub(crate) fn fault(error: impl Display) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// The configuration in the text of a `pcapsy.toml`.
pub(crate) fn config(text: &str) -> PyResult<Config> {
    Config::parse(text).map_err(|error| python::ConfigError::new_err(error.to_string()))
}
