//! arguments -> one command -> exit code
//!
//! One file per command. Results go to stdout, everything else to stderr; with `--json` stdout has JSON and
//! nothing else. A reader that goes away (`| head -1`) ends the run quietly.

mod analyze;
mod batch;
mod catalogue;
mod compare;
mod counters;
mod diff;
mod events;
mod explain;
mod extract;
mod info;
#[cfg(feature = "mcp")]
mod mcp;
mod labels;
mod memory;
mod outcome;
mod pages;
mod progress;
mod redaction;
mod signals;
mod source;
mod states;
mod stdout;
mod tables;
mod top;
mod why;
mod writing;

use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

pub use memory::out_of_memory;
pub use outcome::Exit;
use outcome::Failure;

use crate::report::table::{
    Certificates, Dns, Files, Flows, Http, Icmp, Services, TcpSides, TimelineTable, Tls,
};

/// The autopsy of a packet capture: what failed, between whom, and the frames that prove it.
#[derive(Debug, Parser)]
#[command(name = "pcapsy", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  no finding reaches the severity of --fail-on
  1  a finding reaches the severity of --fail-on
  2  an argument or the configuration is wrong
  3  an input could not be read, is damaged or cut, or an output could not be written; the rest is
     still reported";

#[derive(Debug, Subcommand)]
enum Command {
    /// Analyse captures: print a summary and write the files of the report
    Analyze(analyze::Analyze),
    /// Analyse every capture of an archive: go on where a run was ended, and say what happened in all of it
    Batch(batch::Batch),
    /// Compare the same traffic at several points: what was lost, delayed or changed between them
    Compare(compare::Compare),
    /// Compare a capture with one from when things were well: what is new, gone, worse or other
    Diff(diff::Diff),
    /// Write packets of an incident, a finding or a flow, or those a filter lets pass, as pcapng
    Extract(extract::Extract),
    /// Print one row per flow
    Flows(tables::TableArgs),
    /// Print one row per direction of a TCP flow that got an answer
    Sides(tables::TableArgs),
    /// Print one row per TCP segment that was not simply the next one
    Events(events::Events),
    /// Print the TCP connections that are there when the capture ends, or at a time, with the states of both
    /// ends
    States(states::States),
    /// Print who moved most bytes: hosts, services, ports, conversations or protocols
    Top(top::Top),
    /// Print counters of IP, ICMP, TCP and UDP, grouped as by netstat -s
    Counters(counters::Counters),
    /// Print one row per DNS transaction
    Dns(tables::TableArgs),
    /// Print one row per TLS session
    Tls(tables::TableArgs),
    /// Print one row per certificate that a TLS session sent in the clear, or that keys opened
    Certificates(tables::TableArgs),
    /// Print one row per HTTP request and its response
    Http(tables::TableArgs),
    /// Print one row per ICMP error
    Icmp(tables::TableArgs),
    /// Print one row per service: what was attempted, what failed, how long it took
    Services(tables::TableArgs),
    /// Print one row per interval and service: what happened when
    Timeline(tables::TableArgs),
    /// Print one row per input file
    Files(tables::TableArgs),
    /// Explain a detector, a table or the configuration
    Explain(explain::Explain),
    /// Say everything about a packet, a flow, a finding or an incident, and what shows the same
    Why(why::Why),
    /// Answer questions of a program about captures, over standard input and output: a server of the Model
    /// Context Protocol that only reads
    #[cfg(feature = "mcp")]
    Mcp(mcp::Mcp),
    /// List the detectors
    Detectors(catalogue::Detectors),
    /// Print format, interfaces, times and damage of captures, without analysis
    Info(info::Info),
    /// Print shell completions
    Completions(pages::Completions),
    /// Print the manual page
    Man(pages::Man),
}

/// Runs the command that the process was asked for.
pub fn run() -> Exit {
    signals::install();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(message) => {
            return show(&advised(message)).unwrap_or_else(|error| Failure::Output(error).tell());
        }
    };
    let result = match command {
        Command::Analyze(command) => command.run(),
        Command::Batch(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Extract(command) => command.run(),
        Command::Flows(command) => command.run::<Flows>(),
        Command::Sides(command) => command.run::<TcpSides>(),
        Command::Events(command) => command.run(),
        Command::States(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Counters(command) => command.run(),
        Command::Dns(command) => command.run::<Dns>(),
        Command::Tls(command) => command.run::<Tls>(),
        Command::Certificates(command) => command.run::<Certificates>(),
        Command::Http(command) => command.run::<Http>(),
        Command::Icmp(command) => command.run::<Icmp>(),
        Command::Services(command) => command.run::<Services>(),
        Command::Timeline(command) => command.run::<TimelineTable>(),
        Command::Files(command) => command.run::<Files>(),
        Command::Explain(command) => command.run(),
        Command::Why(command) => command.run(),
        #[cfg(feature = "mcp")]
        Command::Mcp(command) => command.run(),
        Command::Detectors(command) => command.run(),
        Command::Info(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    result.unwrap_or_else(Failure::tell)
}

/// Who gives a file where a command is expected wants it analysed.
fn advised(mut message: clap::Error) -> clap::Error {
    let said = match message.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(said)) if Path::new(said).exists() => said.clone(),
        _ => return message,
    };
    let tip = format!("to analyse it: pcapsy analyze {said}").into();
    message.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    message
}

/// What clap has to say instead of running a command: help, the version, or what is wrong.
fn show(message: &clap::Error) -> std::io::Result<Exit> {
    if message.use_stderr() {
        // There is nowhere left to say that stderr is gone.
        let _ = message.print();
        return Ok(Exit::Usage);
    }
    stdout::stdout()?;
    message.print()?;
    std::io::Write::flush(&mut stdout::stdout()?)?;
    Ok(Exit::Clean)
}

/// The commands and their arguments, for completions and manual pages.
fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_sound() {
        super::definition().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        for command in super::definition().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about}", command.get_name());
        }
    }
}
