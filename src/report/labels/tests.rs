use super::*;
use crate::config::Config;
use crate::report::rca::{self, Zone};
use crate::report::tests::outcome;
use crate::report::text::{View, plain};

const HOSTS: &str = "# ours\naddress,name,role\n10.0.0.0/8,inside,\n10.0.0.1,db-1,database\n\
    10.9.0.0/16,\"pods, blue\",pod network\nfd00::/8,lab,\nfd00::1,lb-1,load balancer\n";

fn labels(text: &str) -> Labels {
    Labels::parse(text).expect("labels")
}

fn name(labels: &Labels, address: &str) -> Option<String> {
    labels.of(address.parse().expect("an address")).map(Label::words)
}

#[test]
fn the_longest_prefix_names_an_address() {
    let labels = labels(HOSTS);
    for (address, wanted) in [
        ("10.0.0.1", Some("db-1, database")),
        ("10.0.0.2", Some("inside")),
        ("10.9.3.4", Some("pods, blue, pod network")),
        ("11.0.0.1", None),
        ("fd00::1", Some("lb-1, load balancer")),
        ("fd12::7", Some("lab")),
        ("2001:db8::1", None),
        ("::ffff:10.0.0.1", Some("db-1, database")),
    ] {
        assert_eq!(name(&labels, address).as_deref(), wanted, "{address}");
    }
    let all = self::labels("0.0.0.0/0,everybody\n::/0,everybody6\n");
    assert_eq!(name(&all, "192.0.2.1").as_deref(), Some("everybody"));
    assert_eq!(name(&all, "2001:db8::1").as_deref(), Some("everybody6"));
}

#[test]
fn lines_of_etc_hosts_are_read_and_the_first_name_counts() {
    let labels =
        labels("127.0.0.1 localhost\n10.0.0.1\tdb-1 db.example # the old one\n10.0.0.1 other\n\n#x\n");
    assert_eq!(name(&labels, "10.0.0.1").as_deref(), Some("db-1"));
    let remarks = self::labels("10.0.0.1 db-1 # ours, and old\nfe80::1%lo0 localhost\n");
    assert_eq!(name(&remarks, "10.0.0.1").as_deref(), Some("db-1"));
    assert_eq!(name(&remarks, "fe80::1").as_deref(), Some("localhost"));
}

#[test]
fn what_is_not_understood_is_named_with_its_line() {
    for (text, line, part) in [
        ("address,name\n10.0.0.1,a\n10.0.0.300,b\n", 3, "10.0.0.300"),
        ("10.0.0.0/33,a\n", 1, "10.0.0.0/33"),
        ("10.0.0.1,\n", 1, "no name"),
        ("10.0.0.1 a\nnobody b\n", 2, "nobody"),
    ] {
        let (at, reason) = Labels::parse(text).expect_err("wrong");
        assert!(at == line && reason.contains(part), "{at}: {reason}");
    }
}

#[test]
fn addresses_in_a_text_are_named_once() {
    let labels = labels(HOSTS);
    for (text, wanted) in [
        ("10.0.0.1:443 and 10.0.0.1 again", "10.0.0.1:443 [db-1, database] and 10.0.0.1 again"),
        ("to [fd00::1]:53 (fd00::1)", "to [fd00::1]:53 [lb-1, load balancer] (fd00::1)"),
        ("shop (10.0.0.1:443).", "shop (10.0.0.1:443 [db-1, database])."),
        ("At 10.0.0.1: 3 of 4.", "At 10.0.0.1 [db-1, database]: 3 of 4."),
        ("from 10.9.0.0/16 and 10.8.0.0/16", "from 10.9.0.0/16 [pods, blue, pod network] and 10.8.0.0/16"),
        (
            "x10.0.0.1 10.0.0.1.example 1.10.0.0.1 ip-10.0.0.1",
            "x10.0.0.1 10.0.0.1.example 1.10.0.0.1 ip-10.0.0.1",
        ),
        ("02:00:00:00:00:01 at 14:09:52, 10.5 ms", "02:00:00:00:00:01 at 14:09:52, 10.5 ms"),
        ("äöü 10.0.0.1", "äöü 10.0.0.1 [db-1, database]"),
    ] {
        assert_eq!(labels.said(text), wanted);
    }
    assert_eq!(labels.names("10.0.0.1 10.0.0.2 10.0.0.1"), "db-1, inside");
    assert_eq!(Labels::default().said("10.0.0.1"), "10.0.0.1");
}

/// The file is somebody's, too.
#[test]
fn hostile_names_are_harmless() {
    let labels = labels("10.0.0.1,\"a\x1b[2J]<b>\u{202e}\"\n");
    let name = name(&labels, "10.0.0.1").expect("a name");
    assert_eq!(name, "a\\x1b2J<b>\\u{202e}");
}

#[test]
fn a_report_names_what_it_shows_and_nothing_else() {
    let mut report = Report::new(&outcome(), &Config::default());
    let before = serde_json::to_value(&report).expect("json");
    report.label(&labels("10.0.0.0/8,inside <b>,\n10.200.0.1,elsewhere,\n"));
    let after = serde_json::to_value(&report).expect("json");
    let named: Vec<&String> = after["labels"].as_object().expect("labels").keys().collect();
    assert!(!named.is_empty() && named.iter().all(|address| address.starts_with("10.")), "{named:?}");
    assert!(!named.iter().any(|address| *address == "10.200.0.1"));
    assert!(before.get("labels").is_none());
    assert_eq!(before["findings"][0]["subject"], after["findings"][0]["subject"]);
    assert_eq!(before["findings"][0]["key"], after["findings"][0]["key"]);
    let text = String::from_utf8(plain(&report, View::All, 140).expect("memory")).expect("text");
    assert!(text.contains("[inside <b>]"), "{text}");
    let rca = rca::document(&report, &[], &Zone::default());
    assert!(!rca.contains("[inside <b>]") && rca.contains("inside"), "{rca}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, rest in "[0-9a-f:./\\[\\] ]{0,60}") {
        let labels = labels(HOSTS);
        proptest::prop_assert!(labels.said(&text).len() >= text.len());
        proptest::prop_assert!(labels.said(&rest).len() >= rest.len());
        let _ = Labels::parse(&text);
    }
}
