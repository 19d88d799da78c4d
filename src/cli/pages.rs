//! `pcapsy completions` and `pcapsy man`: made from the definition of the arguments.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use crate::cli::definition;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::stdout::stdout;
use crate::config::nearest;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Print the page of this command [default: the page of pcapsy]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Completions {
    /// Prints the completions.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        // Through memory: the generator panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "pcapsy", &mut script);
        print(&script)?;
        Ok(Exit::Clean)
    }
}

impl Man {
    /// Prints the page.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut root = definition();
        root.build();
        let command = match &self.command {
            None => root,
            Some(name) => match root.find_subcommand(name) {
                Some(command) => command.clone(),
                None => {
                    let names = root.get_subcommands().map(clap::Command::get_name);
                    let hint = nearest(name, names).map(|near| format!("; did you mean {near}?"));
                    return Err(Failure::Usage(format!("no command {name:?}{}", hint.unwrap_or_default())));
                }
            },
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print(&page)?;
        Ok(Exit::Clean)
    }
}

fn print(text: &[u8]) -> io::Result<()> {
    let mut out = stdout()?.lock();
    out.write_all(text)?;
    out.flush()
}
