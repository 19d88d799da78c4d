//! The arguments that say whether and how packets are redacted.

use clap::Args;

use crate::cli::outcome::Failure;
use crate::report::evidence::Redaction;

/// Whether and how packets are redacted.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RedactArgs {
    /// Put other words of equal length in the place of addresses and names in the packets, and zero payload
    /// that no rule reads
    #[arg(long)]
    pub(super) redact: bool,
    /// With --redact: the key. The same key gives the same words in every file [default: a random one that
    /// is not stored]
    #[arg(long, value_name = "TEXT", requires = "redact")]
    key: Option<String>,
    /// With --redact: MAC addresses keep the vendor's part
    #[arg(long, requires = "redact")]
    keep_vendors: bool,
}

impl RedactArgs {
    /// What was asked for.
    pub(super) fn redaction(&self) -> Result<Option<Redaction>, Failure> {
        let new = || Redaction::new(self.key.as_deref(), self.keep_vendors);
        let made = self.redact.then(new).transpose();
        made.map_err(|error| Failure::Usage(format!("no random key: {error}; give one with --key")))
    }
}
