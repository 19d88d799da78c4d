//! Which names stay unanswered.

use crate::detect::dns_unanswered::{Asked, Silence};
use crate::detect::lookups::shown;
use crate::detect::{Case, Distinct, hash_of};

/// What explains a sweep.
pub(super) const SCANNER: &str = "a scanner looks up the names of a network at once (nmap, unless told -n)";

/// The name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub(super) fn is_reverse(name: &str) -> bool {
    name.trim_end_matches('.').ends_with(".arpa")
}

/// So many names of addresses that nobody asks for one after the other.
pub(super) fn is_sweep(names: &Distinct<String>) -> bool {
    /// Zeek's scan policy, 15 ports.
    const SWEEP: u64 = 15;
    names.count() >= SWEEP && names.iter().all(|name| is_reverse(name))
}

/// The resolver answers other names, and none of these, each of which it was asked for again and again.
pub(super) fn never_answers(case: &Case<Silence>, asked: Option<&Asked>) -> bool {
    /// Lookups for a name on average. A judgement: single packets that are lost hit a name once or twice.
    const AGAIN: u64 = 3;
    let Some(answered) = asked.map(|asked| &asked.names) else { return false };
    let names = &case.affected.names;
    let never = |name: &String| answered.iter().all(|known| *known != hash_of(name));
    case.failed >= AGAIN * names.count() && !answered.is_full() && names.iter().all(never)
}

/// `a.example and b.example`, `3 names`.
pub(super) fn listed(names: &Distinct<String>) -> String {
    let mut texts: Vec<String> = names.iter().map(|name| shown(name)).collect();
    texts.sort();
    match texts.as_slice() {
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        _ => names.of("name"),
    }
}
