//! The one scale of severity in words, and the rules that cannot use it.

use crate::detect::{Group, Rule, Severity};
use crate::humanize::plural;

/// Rules whose findings are no failed tries, and what they go by instead.
const OWN: &[(&str, &str)] = &[
    ("arp_unanswered", "who else needs the address: nothing is seen of what the asker wanted to send"),
    ("connection_refused", "who insists: a port where nothing ever listened fails nobody"),
    ("dns_servfail", "names that never resolve for anybody: a client may ask another resolver"),
    ("dns_slow", "seconds beyond the usual time of the resolver: the lookups are answered"),
    ("dns_unanswered", "lookups that no resolver answers: another may have"),
    ("dns_unexpected_resolver", "connections to what the resolver answers, and whether they fail"),
    ("duplicate_ip", "whether both hosts go on answering: who reached the wrong one is not seen"),
    ("echo_loss", "share of the pings: nobody works with them"),
    ("fragment_loss", "datagrams that never were whole: their senders are not seen to try again"),
    ("half_close_leak", "connections left half closed: nothing failed yet"),
    ("health_check", "failed checks of a server that others use: the balancer is not seen to act"),
    ("idle_timeout", "connections found dead: rare by nature beside those that work"),
    ("keepalive_race", "requests lost by a race: rare by nature beside those that work"),
    ("latency_shift", "milliseconds and their share: everything still works"),
    ("mtu_blackhole", "how sure it is: all that is above the size fails, for everybody on that path"),
    ("reordering", "repeats that it caused: everything still works"),
    ("retransmission", "seconds without progress and share of the segments: the data arrives"),
    ("rst_injection", "resets that one side never sent: what they broke is in the other findings"),
    ("spurious_retransmission", "seconds and segments wasted: the data had arrived"),
    ("zero_window", "seconds for which a receiver took nothing: the data arrives"),
];

/// How much a finding matters, for all rules alike: `explain` prints it.
pub fn words() -> String {
    format!(
        "Severity is what it cost, on one scale for all rules:\n\
         - info: nobody lost anything, or less than {} of the tries failed\n\
         - warning: something was slower, failed in part, or failed for few\n\
         - critical: at least {} of the tries failed, for {} or more, {} or more, or {} of waiting in all\n\
         A try counts when somebody needed it: a client asked again, or waited. Probes and scans do not.\n\
         What is wrong with the recording alone costs nobody anything, and is at most a warning.\n",
        percent(Severity::PART),
        percent(Severity::MOST),
        plural(Severity::CLIENTS, "client"),
        plural(Severity::TRIES, "try"),
        Severity::WAITED,
    )
}

fn percent(share: f64) -> String {
    format!("{} %", share * 100.0)
}

/// What the rule goes by instead, where its findings are no failed tries.
pub fn own(rule: &Rule) -> Option<&'static str> {
    match rule.group {
        Group::Capture => Some("what the recording hides: how much of it is not known"),
        _ => OWN.iter().find(|(name, _)| *name == rule.name).map(|(_, what)| *what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::RULES;

    /// A rule that warns uses the scale, or says why it cannot.
    #[test]
    fn every_rule_that_warns_is_on_the_scale_or_says_why_not() {
        for rule in RULES {
            let code = rule.source.split("#[cfg(test)]").next().unwrap_or_default();
            let scaled = ["case.severity(", "Severity::of_failures("].iter().any(|used| code.contains(used));
            let listed = OWN.iter().any(|(name, _)| *name == rule.name);
            let sheets = rule.variants.iter().any(|sheet| sheet.severity > Severity::Info);
            let warns = sheets || code.contains("Severity::Warning") || code.contains("Severity::Critical");
            assert!(!(scaled && listed), "{} is on the scale: take it off the list", rule.name);
            assert!(scaled || own(rule).is_some() || !warns, "{}: by what scale does it warn?", rule.name);
        }
        let known = |name: &str| RULES.iter().any(|rule| rule.name == name);
        assert!(OWN.iter().all(|(name, _)| known(name)), "a rule that is gone");
    }

    #[test]
    fn the_scale_is_said_with_its_numbers() {
        let words = words();
        for part in ["less than 5 % of", "at least 50 % of", "3 clients", "5 tries", "30.0 s of waiting"] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }
}
