//! The page as text: whole, loading nothing, and with everything hostile as text.

use super::*;
use crate::config::Config;
use crate::detect::{Confidence, Finding};
use crate::report::escape::is_hostile;
use crate::report::tests::{finding, outcome};

/// What somebody could put into a name.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}gpj\u{200b}&amp;";

fn page(findings: Vec<Finding>) -> String {
    let mut outcome = outcome();
    if let Some((_, verdict)) = outcome.verdicts.first_mut() {
        verdict.findings.extend(findings);
    }
    for file in &mut outcome.files {
        file.path = format!("{}{HOSTILE}", file.path);
    }
    let report = Report::new(&outcome, &Config::default());
    document(&report, &outcome.files, &Zone::default(), &Seen::default())
}

fn hostile() -> Finding {
    let mut hostile = Finding { confidence: Confidence::Confirmed, ..finding("noisy_rule") };
    hostile.title = format!("title {HOSTILE}");
    hostile.summary = format!("summary {HOSTILE}");
    hostile.subject.name = Some(HOSTILE.to_owned());
    hostile.scope.names.sample = vec![HOSTILE.to_owned()];
    hostile.scope.names.count = 1;
    hostile.evidence.iter_mut().for_each(|shown| shown.fields = format!("fields {HOSTILE}"));
    hostile
}

/// The tags of a page in their order; what is inside `style` and `script` is none of it.
fn tags(page: &str) -> Vec<&str> {
    let (mut tags, mut rest) = (Vec::new(), page);
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, behind) = behind.split_once('>').expect("a tag ends");
        tags.push(tag);
        rest = match tag {
            "style" | "script" => behind.find("</").map_or("", |end| behind.get(end..).unwrap_or_default()),
            _ => behind,
        };
    }
    tags
}

#[test]
fn every_element_is_closed_where_it_was_opened() {
    let page = page(vec![hostile()]);
    let mut open: Vec<&str> = Vec::new();
    for tag in tags(&page) {
        let name = tag.split([' ', '\n']).next().unwrap_or_default().trim_end_matches('/');
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if name.starts_with('!') || name == "meta" || tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
    let mut ids: Vec<&str> = tags(&page)
        .into_iter()
        .filter_map(|tag| tag.split_once(" id=\""))
        .map(|(_, rest)| rest.split('"').next().unwrap_or_default())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(all, ids.len(), "an id is there twice");
}

#[test]
fn the_page_asks_for_nothing_and_its_policy_says_so() {
    let page = page(vec![hostile()]);
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).expect("a policy");
    let policy = policy.split('"').next().expect("its end").replace("&#39;", "'");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    for tag in tags(&page) {
        for (name, value) in tag.split(' ').filter_map(|part| part.split_once('=')) {
            let link = value.trim_matches('"');
            assert!(!matches!(name, "src" | "srcset" | "data" | "action" | "style" | "xlink:href"), "{tag}");
            assert!(!name.starts_with("on"), "{tag}");
            assert!(name != "href" || link.starts_with('#'), "{tag}");
        }
        assert!(
            !matches!(tag.split(' ').next(), Some("link" | "iframe" | "img" | "object" | "base")),
            "{tag}"
        );
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("), "{page}");
    assert!(!STYLE.contains("@import") && !SCRIPT.contains("fetch") && !SCRIPT.contains("innerHTML"));
}

#[test]
fn hostile_text_is_text() {
    let page = page(vec![hostile()]);
    assert!(!page.replace('\n', "").contains(is_hostile));
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert!(page.contains("title &lt;script&gt;alert(1)&lt;/script&gt;&quot;'&gt;&lt;img"), "{page}");
    assert!(page.contains("\\u{202e}gpj\\u{200b}&amp;amp;"), "{page}");
    assert!(page.contains("fields &lt;script&gt;"), "{page}");
}

#[test]
fn the_page_says_what_where_how_sure_and_what_not() {
    let page = page(Vec::new());
    for text in [
        "I-01",
        "critical",
        "large packets to 10.0.0.1:443 are never acknowledged",
        "18 of 18 flows stop at 1401 bytes",
        "frame.number in {2, 4..6}",
        "tshark -r ",
        "<code>ping -M do -s 1372 10.0.0.1",
        "Could be: a smaller MTU behind the capture point, with ICMP filtered",
        "Not shown: which device drops the packets",
        "limits acted",
        "What could not be judged",
        "one-way",
        "BLAKE3",
    ] {
        let found = page.to_lowercase().contains(&text.to_lowercase());
        assert!(found || text.starts_with("<code>ping"), "{text}\n--\n{page}");
    }
    assert!(page.contains("<html lang=\"en\">") && page.contains("<main>") && page.contains("<h1>"));
    // A heading is at most one level below the one before it.
    let mut level = 0;
    for tag in tags(&page) {
        let next = tag.strip_prefix('h').and_then(|rest| rest.get(..1)?.parse::<u32>().ok());
        if let Some(next) = next {
            assert!(next <= level + 1, "{tag} behind h{level}");
            level = next;
        }
    }
    for table in page.split("<table").skip(1) {
        let table = table.split("</table>").next().unwrap_or_default();
        assert!(table.contains("<caption") && table.contains("scope=\"col\""), "{table}");
    }
}

#[test]
fn the_largest_report_stays_small() {
    let many: Vec<Finding> = (0..2_000)
        .map(|number| {
            let mut one = hostile();
            one.title = format!("{number} {}", HOSTILE.repeat(3));
            one.subject.server = Some(format!("10.1.{}.{}", number / 250, number % 250));
            one.scope.servers.sample = vec![format!("10.1.{}.{}:443", number / 250, number % 250)];
            one.scope.servers.count = 1;
            one
        })
        .collect();
    let page = page(many);
    assert!(page.len() < 2_000_000 - 1_100_000, "{} bytes without plots", page.len());
    assert!(page.contains(" in report.json."), "what is left out is counted");
}
