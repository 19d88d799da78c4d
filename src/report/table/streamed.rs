//! Which rows of a table a finished flow or transaction gives.

use std::io;

use super::{Dns, DnsRow, EventRow, FlowRow, Flows, Icmp, IcmpRow, Places, Table, TcpEvents, Tls, TlsRow};
use crate::app::dns::Transaction;
use crate::flow::{Flow, FlowHead};
use crate::report::sheet::Writer;

/// A table whose rows come while the analysis runs.
pub trait Streamed: Table + Sized {
    /// Writes the rows of a flow.
    ///
    /// # Errors
    /// When they cannot be written.
    fn of_flow(_writer: &mut Writer<Self>, _flow: &Flow, _places: &Places) -> io::Result<()> {
        Ok(())
    }

    /// Writes the rows of a DNS transaction.
    ///
    /// # Errors
    /// When they cannot be written.
    fn of_transaction(
        _writer: &mut Writer<Self>,
        _transaction: &Transaction,
        _flow: &FlowHead,
        _places: &Places,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Streamed for Flows {
    fn of_flow(writer: &mut Writer<Self>, flow: &Flow, places: &Places) -> io::Result<()> {
        writer.row(&FlowRow { flow, places })
    }
}

impl Streamed for TcpEvents {
    fn of_flow(writer: &mut Writer<Self>, flow: &Flow, places: &Places) -> io::Result<()> {
        let mut events = flow.tcp.iter().flat_map(|tcp| &tcp.events);
        events.try_for_each(|event| writer.row(&EventRow { flow, event, places }))
    }
}

impl Streamed for Tls {
    fn of_flow(writer: &mut Writer<Self>, flow: &Flow, places: &Places) -> io::Result<()> {
        flow.tls.iter().try_for_each(|session| writer.row(&TlsRow { flow, session, places }))
    }
}

impl Streamed for Icmp {
    fn of_flow(writer: &mut Writer<Self>, flow: &Flow, places: &Places) -> io::Result<()> {
        flow.icmp_errors.iter().try_for_each(|error| writer.row(&IcmpRow { flow, error, places }))
    }
}

impl Streamed for Dns {
    fn of_transaction(
        writer: &mut Writer<Self>,
        transaction: &Transaction,
        flow: &FlowHead,
        places: &Places,
    ) -> io::Result<()> {
        writer.row(&DnsRow { transaction, flow, places })
    }
}
