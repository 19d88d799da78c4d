//! Which rows of a table finished flows, transactions and the end of a run give.

use super::{
    CertificateRow, Certificates, Dns, DnsRow, EventRow, FileIndex, FileRow, Files, FlowRow, Flows, Http,
    HttpRow, Icmp, IcmpRow, ServiceRow, Services, SideRow, Table, TcpEvents, TcpSides, TimelineRow,
    TimelineTable, Tls, TlsRow,
};
use crate::flow::{Finished, Flow, Row};
use crate::pipeline::Outcome;

/// A table that a run gives the rows of.
pub trait Streamed: Table {
    /// Its rows of what is finished, in that order; the packets are in `files`.
    fn finished<'a>(_finished: &'a [Row], _files: &'a FileIndex) -> Vec<Self::Row<'a>> {
        Vec::new()
    }

    /// Its rows of what is known when the run is over.
    fn concluded(_outcome: &Outcome) -> Vec<Self::Row<'_>> {
        Vec::new()
    }
}

pub(crate) fn flows(finished: &[Row]) -> impl Iterator<Item = &Flow> {
    finished.iter().filter_map(|row| match &row.what {
        Finished::Flow(flow) => Some(flow.as_ref()),
        Finished::Transaction(..) | Finished::Exchange(..) => None,
    })
}

impl Streamed for Flows {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<FlowRow<'a>> {
        flows(finished).map(|flow| FlowRow { flow, files }).collect()
    }
}

impl Streamed for TcpSides {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<SideRow<'a>> {
        flows(finished).flat_map(|flow| SideRow::of(flow, files)).collect()
    }
}

impl Streamed for TcpEvents {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<EventRow<'a>> {
        let events = flows(finished).flat_map(|flow| {
            let events = flow.tcp.iter().flat_map(|tcp| &tcp.events);
            events.map(move |event| EventRow { flow, event, files })
        });
        events.collect()
    }
}

impl Streamed for Tls {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<TlsRow<'a>> {
        let session = |flow: &'a Flow| Some(TlsRow { flow, session: flow.tls.as_deref()?, files });
        flows(finished).filter_map(session).collect()
    }
}

impl Streamed for Certificates {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<CertificateRow<'a>> {
        flows(finished).flat_map(|flow| CertificateRow::of(flow, files)).collect()
    }
}

impl Streamed for Icmp {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<IcmpRow<'a>> {
        let errors = flows(finished)
            .flat_map(|flow| flow.icmp_errors.iter().map(move |error| IcmpRow { flow, error, files }));
        errors.collect()
    }
}

impl Streamed for Dns {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<DnsRow<'a>> {
        let transactions = finished.iter().filter_map(|row| match &row.what {
            Finished::Transaction(of) => Some(DnsRow { transaction: &of.0, flow: &of.1, files }),
            Finished::Flow(_) | Finished::Exchange(_) => None,
        });
        transactions.collect()
    }
}

impl Streamed for Http {
    fn finished<'a>(finished: &'a [Row], files: &'a FileIndex) -> Vec<HttpRow<'a>> {
        let exchanges = finished.iter().filter_map(|row| match &row.what {
            Finished::Exchange(of) => Some(HttpRow { exchange: &of.0, flow: &of.1, files }),
            Finished::Flow(_) | Finished::Transaction(_) => None,
        });
        exchanges.collect()
    }
}

impl Streamed for Services {
    fn concluded(outcome: &Outcome) -> Vec<ServiceRow<'_>> {
        outcome.board.services().iter().map(|service| ServiceRow { service }).collect()
    }
}

impl Streamed for TimelineTable {
    fn concluded(outcome: &Outcome) -> Vec<TimelineRow<'_>> {
        TimelineRow::of(outcome.board.timeline()).collect()
    }
}

impl Streamed for Files {
    fn concluded(outcome: &Outcome) -> Vec<FileRow<'_>> {
        outcome.files.iter().map(|file| FileRow { file }).collect()
    }
}
