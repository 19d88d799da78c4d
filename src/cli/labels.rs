//! The argument that names addresses.

use std::path::PathBuf;

use clap::Args;

use crate::cli::outcome::Failure;
use crate::report::labels::Labels;

/// Names of addresses.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LabelArgs {
    /// Names for addresses and networks: CSV (address or network, name, role), or lines as in /etc/hosts.
    /// They stand behind the addresses
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl LabelArgs {
    /// The names; none when nobody gave a file.
    pub(super) fn read(&self) -> Result<Labels, Failure> {
        let read = self.labels.as_deref().map(Labels::read).transpose();
        Ok(read.map_err(|error| Failure::Usage(error.to_string()))?.unwrap_or_default())
    }
}
