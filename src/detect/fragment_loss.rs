//! # What it finds
//! Fragmented IP datagrams that are never whole, by who sent them to whom, and fragments that contradict each
//! other.
//!
//! # Why it matters
//! One missing fragment costs the whole datagram. Large DNS answers, Kerberos, RADIUS and IKE depend on
//! fragments, and nothing tells the sender.
//!
//! # How it decides
//! A datagram is incomplete when a fragment of it was seen and others did not come within 30 s.
//! - `first_only`: of `datagrams` or more only the first fragment was seen, the one with the ports. A warning
//!   when the capture holds later fragments of others; otherwise information.
//! - `incomplete`: `datagrams` or more and `share` of those of the two hosts are incomplete in another way. A
//!   warning; information when the capture holds no first fragment of the two hosts at all. A path that drops
//!   first fragments and no others is hard to find; a filter that does is not.
//! - `overlap`: fragments contradict earlier ones of their datagram. Information.
//!
//! # What it leaves alone
//! - Fragments cut by the snapshot length, or with a wrong header checksum: what they say of themselves may
//!   be damaged. Datagrams begun in the last two seconds of the capture.
//! - Captures whose filter names ports: such a filter keeps first fragments only.
//!
//! # What it does not claim
//! Where fragments were dropped, and that overlapping ones are meant to deceive.
//!
//! # References
//! RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722 (overlaps), RFC 8900 (fragments are fragile).

use crate::detect::*;
use crate::dissect::FragmentPath;

thresholds! {
    /// Judges what became of fragments, by path.
    struct FragmentLoss {
        datagrams: u64 = 3.0 "datagrams",
            "incomplete datagrams of a path, below which it is information only",
            "ours: one or two are an accident";
        share: f64 = 0.05 "share",
            "share of a path's fragmented datagrams that are incomplete, below which it is information only",
            "the share from which something works in part only (severity)";
    }
}

variants! {
    /// What is wrong with the fragments.
    enum Fragments {
        FirstOnly "first_only" Warning {
            could_be: &[
                "a stateless rule for ports drops the other fragments: they have no ports",
                "the capture filter left the other fragments out",
            ],
            next: NEXT,
            not_claimed: &["where the fragments were dropped"],
            doubted_by: &[QualityIssue::Drops],
        }
        Incomplete "incomplete" Warning {
            could_be: &["packets are lost on the path", "a device passes some fragments only"],
            next: NEXT,
            not_claimed: &["where the fragments were dropped"],
            doubted_by: &[QualityIssue::Drops],
        }
        Overlap "overlap" Info {
            could_be: &[
                "an identification was used again too soon",
                "a test or an attempt to get past an inspection",
            ],
            next: &["look at the sender"],
            not_claimed: &["that it was meant to deceive"],
            doubted_by: &[],
        }
    }
}

const NEXT: &[&str] =
    &["capture on both sides of the devices on the path", "send smaller datagrams, or use TCP"];

counts! {
    /// What a case counts.
    struct Datagrams {
        complete: u64,
        incomplete: u64,
        first_only: u64,
        rest_only: u64,
        conflicting: u64,
    }
}

impl Detector for FragmentLoss {
    const RULE: Rule = Rule {
        name: "fragment_loss",
        group: Group::Path,
        summary: "fragmented datagrams that are never whole, and fragments that contradict each other",
        judges: "fragmented datagrams",
        variants: Fragments::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("fragment_loss.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Server, &["dns_unanswered", "dns_slow", "echo_loss", "dns_truncation"])];
    type Variant = Fragments;
    type Key = ();
    type Counts = Datagrams;
    type Total = ();
    type Notes = ();

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let paths = &context.totals.fragment_paths;
        let unknown = paths.iter().map(|path| path.unknown).sum();
        book.not_judged_many("cut by the snapshot length, damaged, or begun when the capture ended", unknown);
        let later_seen = paths.iter().any(|path| path.complete > 0 || path.incomplete > path.first_only);
        let by_port = context.filter().is_some_and(|filter| filter.contains("port"));
        let mut concluded = Vec::new();
        for path in paths {
            if path.incomplete > 0 && by_port {
                book.not_judged_many("the capture filter names ports", path.incomplete);
            } else if path.incomplete > 0 {
                concluded.push(self.incomplete(path, later_seen));
            }
            if path.conflicting > 0 {
                concluded.push(overlap(path));
            }
        }
        concluded
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.totals.fragment_paths.iter().map(|path| path.complete + path.incomplete).sum()
    }
}

impl FragmentLoss {
    fn incomplete(&self, path: &FragmentPath, later_seen: bool) -> Concluded<Self> {
        let FragmentPath { source, destination, complete, incomplete, first_only, rest_only, .. } = path;
        let of = complete + incomplete;
        let variant = match first_only * 2 > *incomplete {
            true => Fragments::FirstOnly,
            false => Fragments::Incomplete,
        };
        let enough = *incomplete >= self.datagrams && share(*incomplete, of) >= self.share;
        // Nothing of the two hosts has the ports: who records decides that, more than who forwards.
        let headless = rest_only == incomplete && *complete == 0;
        let severity = match variant {
            Fragments::FirstOnly if !later_seen => Severity::Info,
            Fragments::Incomplete if headless => Severity::Info,
            _ if enough => Severity::Warning,
            _ => Severity::Info,
        };
        let what = plural(of, "fragmented datagram");
        let are = if *incomplete == 1 { "is" } else { "are" };
        let title = format!("{incomplete} of {what} from {source} to {destination} {are} not whole");
        let seen = match (first_only, rest_only) {
            (0, 0) => String::new(),
            (first, 0) => format!(" Of {first} only the first fragment was seen."),
            (0, rest) => format!(" Of {rest} the first fragment was not seen."),
            (first, rest) => {
                format!(" Of {first} only the first fragment was seen, of {rest} all but the first.")
            }
        };
        let summary = format!(
            "The capture lacks fragments of {incomplete} of {what} from {source} to {destination}.{seen}",
        );
        let mut case = case_of(path, "first fragment seen of an incomplete datagram");
        (case.failed, case.total) = (*incomplete, of);
        let draft = Draft::new(variant, title, summary).severity(severity).subject(subject(path));
        let draft = match headless {
            true => draft.could_be([
                "the capture leaves first fragments out, or does not know them for such",
                "a device passes some fragments only",
            ]),
            false => draft,
        };
        (draft, case)
    }
}

fn overlap(path: &FragmentPath) -> Concluded<FragmentLoss> {
    let FragmentPath { source, destination, conflicting, .. } = path;
    let title = format!("Fragments from {source} to {destination} contradict each other");
    let summary = format!(
        "{} of {source} had other content, or another end, than earlier ones of the same datagram.",
        plural(*conflicting, "fragment"),
    );
    let draft = Draft::new(Fragments::Overlap, title, summary).subject(subject(path));
    (draft, case_of(path, "contradicts an earlier fragment, or is the first of an incomplete datagram"))
}

fn subject(path: &FragmentPath) -> Subject {
    Subject {
        client: Some(path.destination.to_string()),
        server: Some(path.source.to_string()),
        ..Subject::default()
    }
}

fn case_of(path: &FragmentPath, shown: &'static str) -> Case<Datagrams> {
    let (first, last) = path.seen.unzip();
    let mut case: Case<Datagrams> = Case::between(first, last);
    case.affected.clients.add(path.destination);
    case.counts = Datagrams {
        complete: path.complete,
        incomplete: path.incomplete,
        first_only: path.first_only,
        rest_only: path.rest_only,
        conflicting: path.conflicting,
    };
    case.show(0, 0, || path.shown.iter().map(|at| Evidence::new(*at, Role::Fragment, shown)));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::link::fragments;

    const NAME: &str = FragmentLoss::RULE.name;

    #[test]
    fn it_fires() {
        fires(NAME, &[("fragment_loss", "incomplete", Severity::Warning)]);
    }

    #[test]
    fn it_says_nothing_without_fragments() {
        says_nothing(NAME, &["healthy_resets", "echo_loss"]);
    }

    #[test]
    fn whole_datagrams_are_left_alone() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|id| fragments(lab, id, &[0, 1, 2]));
            (10..19).for_each(|id| fragments(lab, id, &[2, 0, 1]));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn copies_complete_nothing_and_lack_nothing() {
        let findings = in_traffic(NAME, |lab| (0..9).for_each(|id| fragments(lab, id, &[0, 0, 1, 1, 2, 2])));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A filter for a port leaves the others out, and nothing in the file says so.
    #[test]
    fn first_fragments_alone_are_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|id| fragments(lab, id, &[0]));
            lab.resolves(9_000_000, "www.shop.example");
        });
        one(&findings, "first_only", Severity::Info);
    }

    #[test]
    fn first_fragments_beside_whole_datagrams_are_a_warning() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|id| fragments(lab, id, &[0]));
            (10..14).for_each(|id| fragments(lab, id, &[0, 1, 2]));
            lab.resolves(9_000_000, "www.shop.example");
        });
        let finding = one(&findings, "first_only", Severity::Warning);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (9, 13));
    }

    #[test]
    fn one_incomplete_datagram_is_information() {
        let findings = in_traffic(NAME, |lab| {
            fragments(lab, 1, &[0, 2]);
            (2..9).for_each(|id| fragments(lab, id, &[0, 1, 2]));
            lab.resolves(9_000_000, "www.shop.example");
        });
        one(&findings, "incomplete", Severity::Info);
    }

    #[test]
    fn a_datagram_that_the_end_cuts_off_is_not_judged() {
        let findings = in_traffic(NAME, |lab| {
            (2..9).for_each(|id| fragments(lab, id, &[0, 1, 2]));
            (9..14).for_each(|id| fragments(lab, id, &[0, 1]));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Bits flipped in the headers: nobody can say of which datagram they are.
    #[test]
    fn fragments_with_damaged_headers_prove_nothing() {
        for (damaged, severity) in [(false, Some(Severity::Warning)), (true, None)] {
            let findings = in_traffic(NAME, |lab| {
                (0..9).for_each(|id| fragments(lab, id, &[0, 2]));
                // The fragment offset, behind the link header.
                let frames = lab.capture.packets.iter_mut().filter(|_| damaged);
                frames.for_each(|packet| packet.frame[21] ^= 0x40);
                lab.resolves(9_000_000, "www.shop.example");
            });
            assert_eq!(findings.first().map(|finding| finding.severity), severity, "{findings:#?}");
        }
    }

    /// Connections went on, so the datagrams arrived: whoever recorded them left out what has ports.
    #[test]
    fn without_any_first_fragment_it_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..19).for_each(|id| fragments(lab, id, &[1, 2]));
            lab.resolves(9_000_000, "www.shop.example");
        });
        let finding = one(&findings, "incomplete", Severity::Info);
        assert!(finding.alternatives[0].contains("leaves first fragments out"), "{finding:#?}");
    }
}
