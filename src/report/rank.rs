//! Which finding matters most: a fixed order of comparisons, so that no factor can hide another.
//!
//! Severity, then confidence, then impact (seconds lost, failed transactions, clients), then time. A product
//! of factors would keep whole detectors below others whatever they count; here every field decides as soon
//! as the ones before it are equal, which a test holds it to.

use std::cmp::Ordering;

use crate::detect::{Finding, RULES};

/// `Less` when `a` comes before `b`. Total and independent of the order in which findings arrive.
pub fn order(a: &Finding, b: &Finding) -> Ordering {
    let place = |finding: &Finding| RULES.iter().position(|rule| rule.name == finding.detector);
    (b.severity.cmp(&a.severity))
        .then_with(|| b.confidence.cmp(&a.confidence))
        .then_with(|| b.impact.seconds_lost.cmp(&a.impact.seconds_lost))
        .then_with(|| b.impact.failed_transactions.cmp(&a.impact.failed_transactions))
        .then_with(|| b.impact.clients.cmp(&a.impact.clients))
        .then_with(|| a.first_seen.cmp(&b.first_seen))
        .then_with(|| place(a).cmp(&place(b)))
        .then_with(|| a.detector.cmp(b.detector))
        .then_with(|| a.variant.cmp(b.variant))
        .then_with(|| a.subject.cmp(&b.subject))
        .then_with(|| a.evidence.cmp(&b.evidence))
        .then_with(|| a.summary.cmp(&b.summary))
}

/// Fingerprint of detector, variant and subject, 16 hexadecimal digits.
///
/// Nothing that depends on where the capture was cut goes in. The interface is left out of the subject, too:
/// the same trouble seen on another interface is the same trouble.
pub fn key(finding: &Finding) -> String {
    let subject = &finding.subject;
    let port = subject.port.map(|port| port.to_string());
    let direction = subject.direction.map(|direction| format!("{direction:?}"));
    let parts = [
        Some(finding.detector),
        Some(finding.variant),
        subject.client.as_deref(),
        subject.server.as_deref(),
        port.as_deref(),
        subject.protocol,
        subject.name.as_deref(),
        direction.as_deref(),
    ];
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // Length first, so that no two lists of parts give the same bytes. Absent is not the same as empty.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes()).update(part.unwrap_or_default().as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Confidence, Severity};
    use crate::report::tests::finding;
    use crate::time::{Span, Timestamp};

    /// Every factor turns the order around when all before it are equal, whatever those after it say.
    #[test]
    fn every_factor_reaches_the_top() {
        type Change = fn(&mut Finding);
        let weights: [(Change, Change); 6] = [
            (|f| f.severity = Severity::Critical, |f| f.severity = Severity::Warning),
            (|f| f.confidence = Confidence::Likely, |f| f.confidence = Confidence::Possible),
            (|f| f.impact.seconds_lost = Span(2), |f| f.impact.seconds_lost = Span(1)),
            (|f| f.impact.failed_transactions = 2, |f| f.impact.failed_transactions = 1),
            (|f| f.impact.clients = 2, |f| f.impact.clients = 1),
            (|f| f.first_seen = Some(Timestamp(1)), |f| f.first_seen = Some(Timestamp(2))),
        ];
        for deciding in 0..weights.len() {
            let (mut heavy, mut light) = (finding("noisy_rule"), finding("noisy_rule"));
            for (index, (more, less)) in weights.iter().enumerate() {
                match index.cmp(&deciding) {
                    Ordering::Less => [&mut heavy, &mut light].into_iter().for_each(more),
                    Ordering::Equal => (more(&mut heavy), less(&mut light)).0,
                    Ordering::Greater => (less(&mut heavy), more(&mut light)).0,
                }
            }
            assert_eq!(order(&heavy, &light), Ordering::Less, "factor {deciding}");
            assert_eq!(order(&light, &heavy), Ordering::Greater, "factor {deciding}");
        }
    }

    #[test]
    fn keys_depend_on_whom_it_is_about_and_on_nothing_else() {
        let mut other = finding("noisy_rule");
        other.evidence.clear();
        other.first_seen = Some(Timestamp(9));
        other.summary.clear();
        assert_eq!(key(&finding("noisy_rule")), key(&other));
        other.subject.port = Some(444);
        assert_ne!(key(&finding("noisy_rule")), key(&other));
        assert_eq!(key(&other).len(), 16);
    }
}
