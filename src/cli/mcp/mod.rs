//! questions of a program -> answers about captures, over standard input and output
//!
//! A server of the Model Context Protocol that only reads: captures under the folders it was given, and
//! nothing else. It opens no connection, writes no file and runs no program. The same question about the same
//! files gets the same answer, byte for byte.
//!
//! ```text
//! tools      arguments of a call      -> a question
//! folders    a name                   -> a file that may be read
//! desk       question, file           -> analysis, rows -> answer
//! answer     what there is to say     -> text within the budget, and where the rest is
//! server     the protocol
//! ```

mod answer;
mod desk;
mod folders;
mod rows;
mod server;
mod tools;

use std::path::PathBuf;

use clap::Args;

use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::source::Reading;
use crate::cli::stdout::stdout;
use crate::local;
use answer::Budget;
use desk::Desk;
use folders::Folders;

/// Arguments of `mcp`.
#[derive(Debug, Args)]
pub(super) struct Mcp {
    /// Folders whose captures may be read; of everything else nothing is said, not even whether it is there
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
    /// The longest answer, bytes. Longer ones are cut, and say how to ask for the rest
    #[arg(long, value_name = "BYTES", default_value_t = Budget::DEFAULT,
          value_parser = clap::value_parser!(u32).range(Budget::LEAST as i64..=Budget::MOST as i64))]
    answer_bytes: u32,
    /// Captures whose analysis is kept for the next question, the last ones asked about
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    keep: u16,
    #[command(flatten)]
    reading: Reading,
}

/// What a question was refused for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The file it is about, as asked for.
    file: Option<String>,
    /// In a sentence.
    reason: String,
}

impl Problem {
    fn new(reason: impl Into<String>) -> Self {
        Self { file: None, reason: reason.into() }
    }

    fn of(file: &str, reason: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), reason: reason.into() }
    }
}

impl Mcp {
    /// Answers until the client goes away.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        stdout()?;
        let config = self.reading.config()?;
        let folders = Folders::new(&self.folders).map_err(|problem| {
            Failure::Usage(format!("{}: {}", problem.file.unwrap_or_default(), problem.reason))
        })?;
        let pool = local::pool(self.reading.threads())?;
        let desk = Desk::new(folders, config, self.keep, Budget(self.answer_bytes));
        match server::serve(desk, pool) {
            Ok(()) => Ok(Exit::Clean),
            Err(reason) => {
                complain(&reason);
                Ok(Exit::Failed)
            }
        }
    }
}
