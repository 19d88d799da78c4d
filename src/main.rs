//! pcapsy
use pcapsy::{
    app::dns::Transaction,
    flow::{Flow, FlowHead},
    local,
    pipeline::Rows,
};
struct P;
impl Rows for P {
    fn flow(&mut self, f: &Flow) {
        let t = f.tcp.as_ref();
        println!(
            "{:?} {} {} {} {} p{}/{} {:?} {:?}",
            f.stream,
            f.id,
            f.client,
            f.server,
            f.protocol,
            f.halves[0].packets,
            f.halves[1].packets,
            t.map(|t| (t.conn_state, t.history.clone(), t.handshake.outcome, t.vantage)),
            t.map(|t| (t.sides[0].retransmissions, t.sides[1].retransmissions))
        );
        if let Some(t) = t {
            for e in &t.events {
                println!(
                    "   {} {:?} {:?} orig {:?} delay {} sp {:?} loss {:?}",
                    e.at.packet,
                    e.direction,
                    e.kind.name(),
                    e.original.map(|o| o.packet),
                    e.delay,
                    e.spurious,
                    e.loss
                );
            }
            for r in &t.resets {
                println!("   RST {:?}", r);
            }
        }
    }
    fn transaction(&mut self, _: &Transaction, _: &FlowHead) {}
}
fn main() {
    let inputs: Vec<std::path::PathBuf> = std::env::args().skip(1).map(Into::into).collect();
    match local::analyze(&inputs, &Default::default(), Default::default(), &mut P, &|_| {}) {
        Ok(o) => println!("{:?} {:?} {:?}", o.totals, o.reports, o.capped),
        Err(e) => println!("error: {e}"),
    }
}
