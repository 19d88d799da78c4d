//! One capture per situation, each among healthy traffic, with what the analysis has to find in it.

mod application;
mod artefact;
mod blind;
mod connect;
mod healthy;
pub mod link;
mod loss;
mod messages;
mod path;
mod waits;
mod strangers;
mod resolve;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::capture::{Capture, Order};
use super::dns;
use super::frame::{Ip, ethernet};
use super::tcp::{ACK, CLIENT, RST, SERVER, Talk};
use super::tls;

/// A situation.
pub struct Scene {
    /// Name of the capture; most begin with the detector they are for, `healthy_` is for none.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub story: &'static str,
    /// Second octet of its addresses, so that no two captures share any.
    pub net: u8,
    /// Seconds over which the healthy background is spread.
    pub span: u64,
    /// Adds the situation to the background.
    pub make: fn(&mut Lab),
    /// How it is written.
    pub file: File,
    /// Findings that must be there.
    pub expects: &'static [Expect],
    /// Classified segments that must be there: kind, `""` (needed), `any` or `path_mtu`, how many.
    pub events: &'static [(&'static str, &'static str, u64)],
    /// Detectors that may say something at warning or above without being asked to.
    pub allows: &'static [&'static str],
}

/// A finding that must be there.
#[derive(Clone, Copy)]
pub struct Expect {
    pub detector: &'static str,
    /// Empty: any.
    pub variant: &'static str,
    pub severity: &'static str,
    /// Host number of the server, 0: any.
    pub server: u8,
    /// Port, 0: any.
    pub port: u16,
    /// A word of its title or summary.
    pub mentions: &'static str,
}

/// `detector` at warning or above.
pub const fn warning(detector: &'static str, variant: &'static str) -> Expect {
    Expect { detector, variant, severity: "warning", server: 0, port: 0, mentions: "" }
}

/// `detector` at any severity.
pub const fn info(detector: &'static str, variant: &'static str) -> Expect {
    Expect { detector, variant, severity: "info", server: 0, port: 0, mentions: "" }
}

impl Expect {
    /// About this server and port.
    pub const fn at(self, server: u8, port: u16) -> Self {
        Self { server, port, ..self }
    }
}

/// How a capture is written.
#[derive(Clone, Copy)]
pub enum File {
    Pcap,
    /// Big-endian with nanoseconds.
    PcapBig,
    /// Cut at this many bytes per packet.
    Snap(u32),
    Pcapng,
    PcapngBig,
    /// With an interface statistics block that counts this many drops.
    Drops(u64),
    /// The file ends this many bytes early.
    CutOff(usize),
    /// A record header in the middle is overwritten.
    Damaged,
}

/// Written as pcap, with no other finding at warning or above.
const fn scene(
    name: &'static str,
    story: &'static str,
    net: u8,
    span: u64,
    make: fn(&mut Lab),
    expects: &'static [Expect],
) -> Scene {
    Scene { name, story, net, span, make, file: File::Pcap, expects, events: &[], allows: &[] }
}

impl Scene {
    const fn written(self, file: File) -> Self {
        Self { file, ..self }
    }

    const fn events(self, events: &'static [(&'static str, &'static str, u64)]) -> Self {
        Self { events, ..self }
    }

    const fn allowing(self, allows: &'static [&'static str]) -> Self {
        Self { allows, ..self }
    }

    /// The packets, in time order.
    pub fn capture(&self) -> Capture {
        let mut lab = Lab::new(Capture::default(), self.net);
        if self.span > 0 {
            lab.background(self.span * 1_000_000);
        }
        (self.make)(&mut lab);
        lab.capture.sort();
        lab.capture
    }

    /// The file: its ending and its bytes.
    pub fn build(&self) -> (&'static str, Vec<u8>) {
        let capture = self.capture();
        match self.file {
            File::Pcap => ("pcap", capture.pcap()),
            File::PcapBig => ("pcap", capture.pcap_as(Order::Big, true, 262_144)),
            File::Snap(length) => ("pcap", capture.pcap_as(Order::Little, false, length)),
            File::Pcapng => ("pcapng", capture.pcapng(Order::Little, None)),
            File::PcapngBig => ("pcapng", capture.pcapng(Order::Big, Some(0))),
            File::Drops(count) => ("pcapng", capture.pcapng(Order::Little, Some(count))),
            File::CutOff(bytes) => {
                let mut file = capture.pcap();
                file.truncate(file.len() - bytes);
                ("pcap", file)
            }
            File::Damaged => {
                let mut file = capture.pcap();
                let before: usize = capture.packets[..capture.packets.len() / 2]
                    .iter()
                    .map(|packet| 16 + packet.frame.len())
                    .sum();
                file[24 + before..24 + before + 16].fill(0xee);
                ("pcap", file)
            }
        }
    }

    /// The truth file.
    pub fn truth(&self) -> String {
        let mut text = format!("# {}\nforbid_at = \"warning\"\n", self.story);
        if !self.allows.is_empty() {
            text += &format!("allow = {:?}\n", self.allows);
        }
        for expect in self.expects {
            text += &format!("\n[[expect]]\ndetector = {:?}\n", expect.detector);
            if !expect.variant.is_empty() {
                text += &format!("variant = {:?}\n", expect.variant);
            }
            text += &format!("min_severity = {:?}\n", expect.severity);
            if expect.server != 0 {
                text += &format!("server = \"10.{}.2.{}\"\n", self.net, expect.server);
            }
            if expect.port != 0 {
                text += &format!("port = {}\n", expect.port);
            }
            if !expect.mentions.is_empty() {
                text += &format!("mentions = {:?}\n", expect.mentions);
            }
        }
        for (kind, which, count) in self.events {
            text += &format!("\n[[event]]\nkind = {kind:?}\nwhich = {which:?}\ncount = {count}\n");
        }
        text
    }
}

/// Every scene, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Scene> {
    [
        healthy::SCENES,
        loss::SCENES,
        connect::SCENES,
        path::SCENES,
        link::SCENES,
        messages::SCENES,
        application::SCENES,
        resolve::SCENES,
        artefact::SCENES,
        blind::SCENES,
        waits::SCENES,
        strangers::SCENES,
    ]
    .into_iter()
    .flatten()
}

/// A small network: clients 10.net.1.x, servers 10.net.2.x, a resolver 10.net.0.53.
pub struct Lab {
    pub capture: Capture,
    pub net: u8,
    port: u16,
}

impl Lab {
    pub fn new(capture: Capture, net: u8) -> Self {
        Self { capture, net, port: 40_000 + u16::from(net) * 100 }
    }

    pub fn client(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(10, self.net, 1, number).into()
    }

    pub fn server(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(10, self.net, 2, number).into()
    }

    pub fn resolver(&self) -> IpAddr {
        Ipv4Addr::new(10, self.net, 0, 53).into()
    }

    pub fn router(&self) -> IpAddr {
        Ipv4Addr::new(10, self.net, 0, 1).into()
    }

    pub fn v6(&self, subnet: u16, number: u16) -> IpAddr {
        Ipv6Addr::new(0xfd00, u16::from(self.net), 0, subnet, 0, 0, 0, number).into()
    }

    /// The next ephemeral port.
    pub fn next_port(&mut self) -> u16 {
        self.port += 1;
        self.port
    }

    /// A conversation of client and server by number; `at` in ms, delays to the capture point in
    /// microseconds.
    pub fn talk(&mut self, client: u8, server: (u8, u16), at: u64, delays: [u64; 2]) -> Talk {
        let (client, address) = (self.client(client), self.server(server.0));
        let port = self.next_port();
        Talk::new((client, port), (address, server.1), at * 1_000 + u64::from(port % 97), delays)
    }

    /// A UDP datagram from one of the near hosts (or to it) at `micros`.
    pub fn udp(&mut self, micros: u64, from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
        let ip = Ip {
            source: from.0,
            destination: to.0,
            ttl: if from.1 == 53 { 63 } else { 64 },
            id: (micros / 7) as u16 ^ from.1,
        };
        let packet = ip.udp(from.1, to.1, payload);
        let near = from.1 != 53;
        let macs = [[2, 0, 10, self.net, 1, 7], [2, 0x5e, 0, 10, self.net, 1]];
        let frame = ethernet(macs[usize::from(!near)], macs[usize::from(near)], None, &packet);
        self.capture.record(micros, frame.clone());
        frame
    }

    /// A query and its response `delay` microseconds later.
    pub fn lookup(
        &mut self,
        micros: u64,
        delay: u64,
        name: &str,
        qtype: u16,
        response: impl FnOnce(u16) -> Vec<u8>,
    ) {
        let port = self.next_port();
        let (client, resolver) = ((self.client(7), port), (self.resolver(), 53));
        let id = port.wrapping_mul(40_503);
        self.udp(micros, client, resolver, &dns::query(id, name, qtype));
        self.udp(micros + delay, resolver, client, &response(id));
    }

    /// A lookup that finds an address.
    pub fn resolves(&mut self, micros: u64, name: &str) {
        let address = [10, self.net, 2, 80];
        self.lookup(micros, 1_700, name, dns::A, |id| {
            dns::response(id, name, dns::A, dns::NOERROR, &[address])
        });
    }

    /// A client by number asks a resolver for a name and type, and gets a code and addresses 2 ms later.
    pub fn asks(
        &mut self,
        micros: u64,
        client: u8,
        resolver: IpAddr,
        (name, qtype): (&str, u16),
        rcode: u16,
        addresses: &[[u8; 4]],
    ) {
        let (client, resolver) = ((self.client(client), self.next_port()), (resolver, 53));
        let id = client.1.wrapping_mul(40_503);
        self.udp(micros, client, resolver, &dns::query(id, name, qtype));
        self.udp(micros + 2_000, resolver, client, &dns::response(id, name, qtype, rcode, addresses));
    }

    /// Healthy traffic over `span` microseconds: HTTP, TLS 1.2 and 1.3, DNS with a search list and type 65,
    /// keep-alives, a reset after FIN.
    pub fn background(&mut self, span: u64) {
        let last = span - 400_000;
        let delays = [25, 4_000 + u64::from(self.net) * 37];
        for (at, server) in [(5_000, 80), (last, 80)] {
            self.resolves(at - 4_000, "www.shop.example");
            let mut talk = self.talk(7, (server, 80), at / 1_000, delays);
            self.http(&mut talk, 1_900);
            talk.close(&mut self.capture);
        }
        for tls13 in [false, true] {
            let at = span / 3_000 + u64::from(tls13) * 130;
            let mut talk = self.talk(8, (43, 443), at, delays);
            talk.handshake(&mut self.capture);
            if tls13 {
                tls::handshake13(&mut talk, &mut self.capture, "www.shop.example");
            } else {
                tls::handshake12(&mut talk, &mut self.capture, "www.shop.example");
            }
            tls::exchange(&mut talk, &mut self.capture, 900);
            tls::close(&mut talk, &mut self.capture, tls13);
        }
        self.search_list(span / 2);
        self.lookup(span / 2 + 9_000, 2_000, "www.shop.example", dns::HTTPS, |id| {
            dns::response_https(id, "www.shop.example")
        });
        self.lookup(span / 2 + 9_100, 1_950, "www.shop.example", dns::AAAA, |id| {
            dns::response(id, "www.shop.example", dns::AAAA, dns::NOERROR, &[])
        });
        self.keep_alive(span);
        self.reset_after_fin(span / 4_000, delays);
    }

    /// A GET and its response with a body of `length` bytes.
    pub fn http(&mut self, talk: &mut Talk, length: usize) {
        talk.handshake(&mut self.capture);
        self.http_again(talk, length);
    }

    /// A GET and its response on an open connection.
    pub fn http_again(&mut self, talk: &mut Talk, length: usize) {
        talk.wait(180);
        let request = b"GET /items HTTP/1.1\r\nHost: www.shop.example\r\nAccept: */*\r\n\r\n";
        talk.send(&mut self.capture, CLIENT, ACK, request);
        talk.turn(CLIENT);
        talk.ack(&mut self.capture, SERVER, &[]);
        talk.wait(2_900);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        let body = super::filler(u32::from(talk.ends[CLIENT].port), length);
        talk.stream(&mut self.capture, SERVER, &[head.as_bytes(), &body].concat());
    }

    /// A short name that is found after two suffixes were tried.
    pub fn search_list(&mut self, micros: u64) {
        for (number, suffix) in (0u64..).zip(["web.prod.svc.example", "web.svc.example"]) {
            self.lookup(micros + number * 2_300, 1_500, suffix, dns::A, |id| {
                dns::response(id, suffix, dns::A, dns::NXDOMAIN, &[])
            });
        }
        self.resolves(micros + 4_900, "web");
    }

    /// An idle connection kept open by probes, every 15 seconds or a quarter of the span.
    fn keep_alive(&mut self, span: u64) {
        let mut talk = self.talk(9, (6, 6_379), 20, [25, 700]);
        talk.handshake(&mut self.capture);
        talk.send(&mut self.capture, CLIENT, ACK, b"*1\r\n$4\r\nPING\r\n");
        talk.turn(CLIENT);
        talk.send(&mut self.capture, SERVER, ACK, b"+PONG\r\n");
        talk.turn(SERVER);
        talk.ack(&mut self.capture, CLIENT, &[]);
        let every = 15_000_000.min(span / 4);
        while talk.now + every < span {
            talk.wait(every);
            let mut probe = talk.segment(CLIENT, ACK, b"");
            probe.seq = probe.seq.wrapping_sub(1);
            talk.record(&mut self.capture, &probe);
            talk.received(&probe);
            talk.turn(CLIENT);
            let answer = talk.ack(&mut self.capture, SERVER, &[]);
            talk.received(&answer);
        }
    }

    /// The client forgets the connection after its FIN, and resets what comes later: nothing is lost.
    pub fn reset_after_fin(&mut self, at: u64, delays: [u64; 2]) {
        let mut talk = self.talk(10, (80, 80), at, delays);
        self.http(&mut talk, 300);
        talk.wait(400);
        talk.send(&mut self.capture, CLIENT, super::tcp::FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.send(&mut self.capture, SERVER, super::tcp::FIN | ACK, b"");
        talk.turn(SERVER);
        let mut reset = talk.segment(CLIENT, RST, b"");
        reset.seq = talk.ends[SERVER].expects;
        talk.record(&mut self.capture, &reset);
    }
}
