//! What a rule explains: findings of other rules that are symptoms of its own.

use crate::time::Span;

/// How the scopes of cause and symptom meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meet {
    /// They are about the same flows.
    Flows,
    /// They are about the same service: server address and port.
    Service,
    /// They are about the same server address, whatever the port.
    Server,
    /// The address that the cause is about is server or client of the symptom.
    Host,
    /// The same clients.
    Clients,
    /// The same names.
    Names,
    /// The client of the cause is the server of the symptom: a proxy or a forwarder that could not get what
    /// it was asked for.
    Upstream,
    /// The recording: wherever the times meet.
    Recording,
}

/// A finding of one of `symptoms` can be a symptom of a finding of the rule that declares this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explains {
    /// Variants of the cause that explain it; empty for all.
    pub when: &'static [&'static str],
    /// Rules whose findings it explains.
    pub symptoms: &'static [&'static str],
    /// How the scopes meet.
    pub meet: Meet,
    /// How far apart in time the two may be.
    pub within: Span,
}

impl Explains {
    /// Half a minute: longer than clients and forwarders wait, and try again, as a rule (RFC 1035 section
    /// 7.2, RFC 6298 section 5.5).
    const WITHIN: Span = Span::secs(30);

    /// These rules, where the scopes meet like this, at most half a minute apart.
    pub const fn by(meet: Meet, symptoms: &'static [&'static str]) -> Self {
        Self { when: &[], symptoms, meet, within: Self::WITHIN }
    }

    /// Only findings of these variants explain it.
    pub const fn when(self, when: &'static [&'static str]) -> Self {
        Self { when, ..self }
    }

    /// With another distance in time.
    pub const fn within(self, within: Span) -> Self {
        Self { within, ..self }
    }
}
