//! Requests and responses of the public captures against those that an installed tshark reads.
//!
//! Skips when the captures of `../shared/corpus` or tshark are not there. `cargo test --test http --
//! --nocapture` prints what was compared.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pcapsy::app::http::Exchange;
use pcapsy::config::Config;
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use support::tshark::{corpus, tshark};

/// How often each request (`GET www.example /path`), response (`200`), and version and protocol of a TLS
/// session was read.
#[derive(Default)]
struct Said {
    messages: BTreeMap<String, i64>,
    /// Server names, versions and application protocols of TLS sessions.
    sessions: BTreeSet<String>,
    /// What HTTP/2 says: methods, targets, statuses.
    streams: BTreeMap<String, i64>,
    /// Clients for whom proxies connect.
    proxied: BTreeSet<String>,
}

impl Said {
    fn message(&mut self, text: String) {
        *self.messages.entry(text).or_default() += 1;
    }
}

impl Rows for Said {
    fn exchange(&mut self, exchange: &Exchange, _: &FlowHead) {
        // HTTP/2 that began as HTTP/1.1: its request, and the answer of HTTP/2.
        let h2c = exchange.version < 2 && exchange.upgraded && exchange.interim > 0;
        if exchange.version == 2 || h2c {
            let Exchange { method, target, status, .. } = exchange;
            let status = status.map(|status| format!(":status {status}"));
            let request = [format!(":method {method}"), format!(":path {target}")];
            let said = request.into_iter().filter(|text| !h2c && !text.ends_with(' ')).chain(status);
            let grpc = exchange.grpc_status.map(|status| format!("grpc-status {status}"));
            said.chain(grpc).for_each(|text| *self.streams.entry(text).or_default() += 1);
            if !h2c {
                return;
            }
            self.message("101".to_owned());
            self.message(format!("{method} {} {target}", exchange.host));
            return;
        }
        if !exchange.method.is_empty() {
            let Exchange { method, host, target, .. } = exchange;
            self.message(format!("{method} {host} {target}"));
        }
        exchange.status.into_iter().for_each(|status| self.message(status.to_string()));
        // 100 and 102 to 199 are not told apart.
        (0..exchange.interim).for_each(|_| self.message("1xx".to_owned()));
    }

    fn flow(&mut self, flow: &Flow) {
        let header = flow.upgrade.as_ref().and_then(|upgrade| upgrade.proxied);
        self.proxied.extend(header.and_then(|header| Some(header.client?.to_string())));
        let Some(tls) = &flow.tls else { return };
        let version = tls.server_hello.as_ref().map(|hello| format!("version {:#06x}", hello.version));
        let alpn = tls.client_hello.iter().flat_map(|hello| &hello.alpn).map(|name| format!("alpn {name}"));
        let name = tls.client_hello.iter().filter_map(|hello| Some(format!("name {}", hello.sni.clone()?)));
        self.sessions.extend(version.into_iter().chain(alpn).chain(name));
    }
}

/// What tshark reads in TCP, and neither decrypts nor finds in packets that another protocol carries.
const FILTER: &str = "http && tcp && !tls && !sflow && !netlink";

/// tshark shows a message where its body is whole, or else misses some that begin behind a body: what it
/// shows in either way counts.
fn theirs(path: &Path) -> Option<BTreeMap<String, i64>> {
    const ORDERED: &str = "tcp.reassemble_out_of_order:TRUE";
    let mut all = BTreeMap::new();
    for settings in [&[ORDERED][..], &[ORDERED, "http.desegment_body:FALSE"]] {
        for (message, count) in messages(path, settings)? {
            let most: &mut i64 = all.entry(message).or_default();
            *most = count.max(*most);
        }
    }
    Some(all)
}

fn messages(path: &Path, settings: &[&str]) -> Option<BTreeMap<String, i64>> {
    let fields = ["http.request.method", "http.host", "http.request.uri", "http.response.code"];
    let mut said = Said::default();
    for row in tshark(path, settings, FILTER, &fields)? {
        let value = |field: usize, place: usize| -> String {
            row.get(field).and_then(|values| values.get(place)).cloned().unwrap_or_default()
        };
        for place in 0..row.first().map_or(0, Vec::len) {
            said.message(format!("{} {} {}", value(0, place), value(1, place), value(2, place)));
        }
        for status in row.get(3).into_iter().flatten() {
            let interim = status.starts_with('1') && status != "101";
            said.message(if interim { "1xx".to_owned() } else { status.clone() });
        }
    }
    Some(said.messages)
}

/// Those of the corpus in which one of these texts stands: tshark takes a second for every file, and finds
/// nothing in the others.
fn corpus_with(texts: &[&[u8]]) -> Vec<PathBuf> {
    let stands = |bytes: &[u8], text: &[u8]| {
        bytes.windows(text.len()).any(|window| window.first() == text.first() && window == text)
    };
    let mut corpus = corpus();
    corpus.retain(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        texts.iter().any(|text| stands(&bytes, text))
    });
    corpus
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn ours(path: &Path) -> Said {
    let mut said = Said::default();
    local::analyze(&[path.to_owned()], &Config::default(), Run::default(), &mut said, &|_| {})
        .unwrap_or_else(|error| panic!("{error}"));
    said
}

/// A capture, how many more of each message are found than tshark finds, and why.
type Difference = (&'static str, &'static [(&'static str, i64)], &'static str);

/// What differs on purpose: the capture, how many more (or fewer) requests and responses pcapsy reads than
/// tshark in all, by the beginning of their text, and why.
const DIFFERENCES: &[Difference] = &[
    (
        "OISF__suricata-verify__tests_bug-5437-02_input.pcap",
        &[("GET 127.0.0.1:80 /shell", 0)],
        "a target with spaces, which tshark cuts at the first (frames 14 and 17)",
    ),
    (
        "OISF__suricata-verify__tests_filestore-5408_input.pcap",
        &[("GET  /notify", -6)],
        "tshark shows a request again where its first segment is sent again (frames 9, 20, 58, 69, 78, 117)",
    ),
    (
        "OISF__suricata-verify__tests_transform-base64-7296_input.pcap",
        &[("0", -1), ("GET 127.0.0.1:8080 /eicar", 1)],
        "damaged at random: times two years apart end a connection, and frame 53 begins it again",
    ),
    (
        "blitz__tcptrace__input_single_byte_rexmit.dmp",
        &[("200", -1), ("GET  /kangal/basic.php", -1)],
        "tshark shows what is sent again (frames 5 and 11)",
    ),
    (
        "ntop__nDPI__heuristic_tcp_ack_payload.pcap",
        &[("206", 1), ("GET 3.tlu.dl.delivery.mp.microsoft.com", 1)],
        "on the port of TLS, which is what tshark takes it for",
    ),
    (
        "idaholab__Malcolm-Test-Artifacts__pcap_other_Digital_Bond_S4_Modicon.pcap",
        &[("200", 6), ("GET 10.50.1.52 /lib/main.css", 3), ("GET 10.50.1.52 /secure", 3)],
        "not explained yet",
    ),
    (
        "ntop__nDPI__ndpi_match_string_subprotocol__error.pcapng",
        &[("POST 10.68.137.118:8091 /Apcn/ApcRemoteServiXe", 1)],
        "damaged at random: the version of frame 10 is none to tshark",
    ),
    ("zeek__zeek__erspan.pcap", &[("200", 6)], "not explained yet"),
    (
        "the-tcpdump-group__libpcap__tests_filter_arcnet-rfc1051-arp-icmp-http.pcap",
        &[("GET tcpdump.org", -1)],
        "ARCNET, which is not read",
    ),
];

/// Sums of the differences by beginnings of their text; what begins otherwise stays.
fn summed(differences: &BTreeMap<String, i64>, beginnings: &[(&str, i64)]) -> BTreeMap<String, i64> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for (message, count) in differences {
        let begins = beginnings.iter().find(|(beginning, _)| message.starts_with(beginning));
        let text = begins.map_or(message.as_str(), |(beginning, _)| beginning);
        *sums.entry(text.to_owned()).or_default() += count;
    }
    sums
}

#[test]
fn requests_and_responses_are_tsharks() {
    let (mut captures, mut compared, mut wrong) = (0, 0, Vec::new());
    for path in corpus() {
        let bytes = fs::read(&path).unwrap_or_default();
        let packed = bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5]);
        if !packed && !bytes.windows(7).any(|window| window == b"HTTP/1.") {
            continue;
        }
        let Some(mut theirs) = theirs(&path) else { return eprintln!("skipped: no tshark") };
        let mut differences = ours(&path).messages;
        captures += 1;
        compared += theirs.values().sum::<i64>();
        for (message, count) in &mut theirs {
            *differences.entry(cut(message)).or_default() -= *count;
        }
        differences.retain(|_, count| *count != 0);
        let known = DIFFERENCES.iter().find(|(file, ..)| *file == name(&path));
        let known = known.map_or(&[][..], |(_, known, _)| known);
        let expected: BTreeMap<String, i64> =
            known.iter().map(|(message, count)| ((*message).to_owned(), *count)).collect();
        let differences = summed(&differences, known);
        if differences != expected {
            wrong.push(format!("{}: {differences:?} and not {expected:?}", name(&path)));
        }
    }
    println!("{compared} requests and responses of {captures} captures, {} differ", DIFFERENCES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message as pcapsy keeps it: texts are cut.
fn cut(message: &str) -> String {
    let mut parts: Vec<String> = message.splitn(3, ' ').map(str::to_owned).collect();
    parts.iter_mut().for_each(|part| part.truncate(Exchange::TEXT));
    parts.join(" ")
}

/// What tshark reads of TLS and pcapsy does not: the capture, and why.
const UNREAD: &[(&str, &str)] = &[
    ("ntop__nDPI__tls_invalid_reads.pcap", "stream 0 has a ServerHello and nothing of the client before it"),
    ("zeek__zeek__tls_tls13draft16-ff52.a01.pcap", "the ServerHello of draft 16 has another form"),
];

#[test]
fn names_versions_and_protocols_of_tls_are_tsharks() {
    let fields = [
        "tls.handshake.extensions_server_name",
        "tls.handshake.extensions_alpn_str",
        "tls.handshake.version",
        "tls.handshake.extensions.supported_version",
        "tls.handshake.type",
    ];
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in corpus() {
        let Some(rows) = tshark(&path, &[], "tcp && tls.handshake.type in {1,2}", &fields) else {
            return eprintln!("skipped: no tshark");
        };
        if rows.is_empty() {
            continue;
        }
        let mut theirs = BTreeSet::new();
        for row in &rows {
            let of = |field: usize| row.get(field).cloned().unwrap_or_default();
            theirs.extend(of(0).into_iter().map(|name| format!("name {name}")));
            // The client's list, and the server's choice of it, which it alone sends in a packet without a
            // ClientHello.
            if of(4).iter().any(|kind| kind == "1") {
                theirs.extend(of(1).into_iter().map(|name| format!("alpn {name}")));
            } else if of(4) == ["2"] {
                let chosen = of(3).into_iter().chain(of(2)).next();
                theirs.extend(chosen.map(|version| format!("version {version}")));
            }
        }
        let ours = ours(&path).sessions;
        compared += theirs.len();
        let missing: Vec<_> = theirs.iter().filter(|said| !ours.contains(*said)).collect();
        let known = UNREAD.iter().any(|(file, _)| *file == name(&path));
        if missing.is_empty() == known {
            wrong.push(format!("{}: {missing:?}", name(&path)));
        }
    }
    println!("{compared} server names, versions and application protocols");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What tshark and pcapsy read of HTTP/2 in a different way on purpose: the capture, and why.
const OTHER_STREAMS: &[(&str, &str)] = &[];

#[test]
fn requests_and_statuses_of_http2_are_tsharks() {
    let (mut captures, mut compared, mut wrong) = (0, 0, Vec::new());
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let lab = ["grpc_unavailable.pcap", "healthy_http2.pcap"].map(|name| lab.join(name));
    let beginnings: [&[u8]; 2] = [b"PRI * HTTP/2.0", b"HTTP2-Settings"];
    for path in lab.into_iter().chain(corpus_with(&beginnings)) {
        let fields = ["http2.header.name", "http2.header.value"];
        let Some(rows) = tshark(&path, &["tcp.port==50051,http2"], "http2 && tcp && !tls && !http3", &fields)
        else {
            return eprintln!("skipped: no tshark");
        };
        let mut theirs: BTreeMap<String, i64> = BTreeMap::new();
        for row in &rows {
            let of = |field: usize| row.get(field).cloned().unwrap_or_default();
            for (name, value) in of(0).into_iter().zip(of(1)) {
                let interim = name == ":status" && value.starts_with('1');
                if [":method", ":path", ":status", "grpc-status"].contains(&&*name) && !interim {
                    let value: String = value.chars().take(Exchange::TEXT).collect();
                    *theirs.entry(format!("{name} {value}")).or_default() += 1;
                }
            }
        }
        if theirs.is_empty() {
            continue;
        }
        captures += 1;
        compared += theirs.values().sum::<i64>();
        let mut differences = ours(&path).streams;
        for (text, count) in theirs {
            *differences.entry(text).or_default() -= count;
        }
        differences.retain(|_, count| *count != 0);
        let known = OTHER_STREAMS.iter().any(|(file, _)| *file == name(&path));
        if differences.is_empty() == known {
            wrong.push(format!("{}: {differences:?}", name(&path)));
        }
    }
    println!("{compared} methods, targets and statuses of HTTP/2 in {captures} captures");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clients_behind_proxies_are_tsharks() {
    let fields = ["proxy.src.ipv4", "proxy.src.ipv6", "proxy.srcport"];
    let (mut compared, mut wrong) = (0, Vec::new());
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/healthy_proxy_protocol.pcap");
    let beginnings: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
    for path in [lab].into_iter().chain(corpus_with(&beginnings)) {
        // Or the ports of mail and of HTTP decide.
        let settings = ["tcp.try_heuristic_first:TRUE"];
        let Some(rows) = tshark(&path, &settings, "proxy && tcp", &fields) else {
            return eprintln!("skipped: no tshark");
        };
        let of =
            |row: &[Vec<String>], field: usize| row.get(field).and_then(|values| values.first()).cloned();
        let client = |row: &Vec<Vec<String>>| {
            let address = of(row, 0).or_else(|| Some(format!("[{}]", of(row, 1)?)))?;
            Some(format!("{address}:{}", of(row, 2)?))
        };
        let theirs: BTreeSet<String> = rows.iter().filter_map(client).collect();
        if theirs.is_empty() {
            continue;
        }
        compared += theirs.len();
        let ours = ours(&path).proxied;
        if ours != theirs {
            wrong.push(format!("{}: {ours:?} and not {theirs:?}", name(&path)));
        }
    }
    println!("{compared} clients behind proxies");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
