//! `pcapsy events`: the classified TCP segments, also beside the names that another tool gives them.

use clap::{Args, ValueEnum};

use crate::cli::outcome::{Exit, Failure};
use crate::cli::tables::TableArgs;
use crate::report::table::TcpEvents;

/// Arguments of `pcapsy events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    table: TableArgs,
    /// Also show what this tool calls the same segments, and why pcapsy differs
    #[arg(long, value_enum)]
    like: Option<Like>,
}

/// A tool whose names can be shown beside those of pcapsy.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Like {
    /// Fields of tcp.analysis
    Tshark,
}

impl Like {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tshark => &["frame", "tcp_stream", "tshark", "kind", "difference", "reason"],
        }
    }
}

impl Events {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let table = match self.like {
            Some(like) => self.table.or_columns(like.columns()),
            None => self.table,
        };
        table.run::<TcpEvents>()
    }
}
