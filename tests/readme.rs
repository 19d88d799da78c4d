//! The README shows real output: its session and its table of detectors are what the program prints now.
//!
//! `PCAPSY_REFRESH=1 cargo test --test readme` writes them again.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// What stands between `<!-- name -->` and `<!-- end -->`.
fn section(readme: &str, name: &str) -> std::ops::Range<usize> {
    let begin = format!("<!-- {name} -->\n");
    let start = readme.find(&begin).unwrap_or_else(|| panic!("README.md: no {begin}")) + begin.len();
    start..start + readme[start..].find("<!-- end -->").expect("its end")
}

/// What other captures look like: TLS, DNS, a proxy's upstreams, and nothing wrong.
const OTHERS: [&str; 4] = [
    "testdata/lab/captures/tls_expired_intermediate.pcap",
    "testdata/lab/captures/dns_servfail_upstream.pcap",
    "testdata/lab/captures/proxy_502.pcap",
    "testdata/lab/captures/healthy_mix.pcap",
];

fn others() -> String {
    OTHERS.iter().map(|capture| session(&format!("pcapsy analyze --no-files {capture}"))).collect()
}

/// A command line of the session and what it prints, indented as code.
fn session(command: &str) -> String {
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .args(command.split_whitespace().skip(1))
        .output()
        .expect("run");
    let text = String::from_utf8(output.stdout).expect("text");
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    format!("\n    $ {command}\n{}\n", text.lines().map(indented).collect::<String>())
}

fn detectors() -> String {
    let mut table = "\n| name | group | finds | variants |\n|---|---|---|---|\n".to_owned();
    for rule in pcapsy::detect::RULES {
        let names: Vec<&str> = rule.variant_names().collect();
        let variants = match names.as_slice() {
            [first, second, rest @ ..] if rest.len() > 6 => {
                format!("{first}, {second} and {} more", rest.len())
            }
            few => few.join(", "),
        };
        table += &format!("| `{}` | {} | {} | {variants} |\n", rule.name, rule.group.name(), rule.summary);
    }
    table + "\n"
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let before = fs::read_to_string(&path).expect("committed");
    let mut readme = before.clone();
    for (name, text) in [
        ("session", session("pcapsy analyze --no-files testdata/synthetic/mtu_blackhole_silent.pcap")),
        ("other sessions", others()),
        ("detectors", detectors()),
    ] {
        let range = section(&readme, name);
        readme.replace_range(range, &text);
    }
    if std::env::var_os("PCAPSY_REFRESH").is_some() {
        fs::write(&path, &readme).expect("written");
    }
    assert!(
        readme == before,
        "README.md is not what the program prints: PCAPSY_REFRESH=1 cargo test --test readme"
    );
}
