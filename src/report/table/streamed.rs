//! Which rows of a table finished flows and transactions give.

use std::io;

use super::{Dns, DnsRow, EventRow, FileIndex, FlowRow, Flows, Icmp, IcmpRow, Table, TcpEvents, Tls, TlsRow};
use crate::flow::{Finished, Flow, Row};
use crate::report::sheet::Writer;

/// A table whose rows come while the analysis runs.
pub trait Streamed: Table + Sized {
    /// Writes its rows of what is finished, in that order.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()>;
}

fn flows(finished: &[Row]) -> impl Iterator<Item = &Flow> {
    finished.iter().filter_map(|row| match &row.what {
        Finished::Flow(flow) => Some(flow.as_ref()),
        Finished::Transaction(..) => None,
    })
}

impl Streamed for Flows {
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()> {
        let rows: Vec<_> = flows(finished).map(|flow| FlowRow { flow, places }).collect();
        writer.rows(&rows)
    }
}

impl Streamed for TcpEvents {
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()> {
        let events = flows(finished).flat_map(|flow| {
            let events = flow.tcp.iter().flat_map(|tcp| &tcp.events);
            events.map(move |event| EventRow { flow, event, places })
        });
        let rows: Vec<_> = events.collect();
        writer.rows(&rows)
    }
}

impl Streamed for Tls {
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()> {
        let session = |flow| Some(TlsRow { flow, session: flow.tls.as_deref()?, places });
        let rows: Vec<_> = flows(finished).filter_map(session).collect();
        writer.rows(&rows)
    }
}

impl Streamed for Icmp {
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()> {
        let errors = flows(finished)
            .flat_map(|flow| flow.icmp_errors.iter().map(move |error| IcmpRow { flow, error, places }));
        let rows: Vec<_> = errors.collect();
        writer.rows(&rows)
    }
}

impl Streamed for Dns {
    fn write(writer: &mut Writer<Self>, finished: &[Row], places: &FileIndex) -> io::Result<()> {
        let transactions = finished.iter().filter_map(|row| match &row.what {
            Finished::Transaction(of) => Some(DnsRow { transaction: &of.0, flow: &of.1, places }),
            Finished::Flow(_) => None,
        });
        let rows: Vec<_> = transactions.collect();
        writer.rows(&rows)
    }
}
