//! What a detector says of a case; the rest of the finding follows from the case and the rule sheet.

use crate::detect::{
    Case, Confidence, Context, Count, Counts, Evidence, Finding, Gate, Group, Impact, Rule, Severity,
    Subject, Variant,
};
use crate::dissect::Direction;

/// The words of a finding, and what differs from the rule sheet.
#[derive(Clone, Debug)]
pub struct Draft<V> {
    variant: V,
    name: Option<&'static str>,
    severity: Severity,
    confidence: Confidence,
    title: String,
    summary: String,
    direction: Option<Direction>,
    subject: Option<Subject>,
    counts: Vec<Count>,
    services: Option<u64>,
    gates: Vec<Gate>,
    evidence: Vec<Evidence>,
    could_be: Option<Vec<&'static str>>,
    next: Option<&'static [&'static str]>,
}

impl<V: Variant> Draft<V> {
    /// A confirmed finding of the severity of its variant. The title is a headline without a full stop; the
    /// summary says what the frames show, and no causes.
    pub fn new(variant: V, title: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            variant,
            name: None,
            severity: variant.sheet().severity,
            confidence: Confidence::Confirmed,
            title: title.into(),
            summary: summary.into(),
            direction: None,
            subject: None,
            counts: Vec::new(),
            services: None,
            gates: Vec::new(),
            evidence: Vec::new(),
            could_be: None,
            next: None,
        }
    }

    /// One sentence more, with the space before it.
    pub(super) fn and(mut self, sentence: &str) -> Self {
        self.summary.push_str(sentence);
        self
    }

    /// How much it matters, where the sheet's severity does not hold.
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// How much it matters so far.
    pub(super) fn weight(&self) -> Severity {
        self.severity
    }

    /// How sure it is.
    pub fn confidence(self, confidence: Confidence) -> Self {
        Self { confidence, ..self }
    }

    /// The direction it is about.
    pub fn direction(self, direction: Direction) -> Self {
        Self { direction: Some(direction), ..self }
    }

    /// The name it is about, where it is not the only name of the case.
    pub fn named(mut self, case_subject: Subject, name: impl Into<String>) -> Self {
        self.subject = Some(Subject { name: Some(name.into()), ..case_subject });
        self
    }

    /// Whom it is about, where that does not follow from the case.
    pub fn subject(self, subject: Subject) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// A number beside those of the case.
    pub fn count(mut self, name: &'static str, value: u64) -> Self {
        if value > 0 {
            self.counts.push(Count { name, value });
        }
        self
    }

    /// How many services it covers, where that was counted beyond the sample of the scope.
    pub fn services(self, services: u64) -> Self {
        Self { services: Some(services), ..self }
    }

    /// Something beside the sheet's issues lowers its confidence.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gates.push(gate);
        self
    }

    /// Packets beside those of the case, which no flow shows: the edges of a gap, steps of the clock.
    pub fn show(mut self, packets: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(packets);
        self
    }

    /// Explanations that fit these frames, instead of the sheet's.
    pub fn could_be(mut self, texts: impl IntoIterator<Item = &'static str>) -> Self {
        self.could_be = Some(texts.into_iter().collect());
        self
    }

    /// The first of the explanations, before those of the sheet.
    pub fn could_first_be(mut self, text: &'static str) -> Self {
        self.could_be.get_or_insert_with(|| self.variant.sheet().could_be.to_vec()).insert(0, text);
        self
    }

    /// Steps that fit these frames, instead of the sheet's.
    pub fn next(self, texts: &'static [&'static str]) -> Self {
        Self { next: Some(texts), ..self }
    }

    /// The whole finding.
    pub(super) fn finding<C: Counts>(self, rule: &Rule, case: &Case<C>, context: &Context<'_>) -> Finding {
        let sheet = self.variant.sheet();
        let mut gates = case.quality.gates(context, sheet.doubted_by);
        gates.extend(self.gates);
        let about_capture = rule.group == Group::Capture;
        let mut subject = match self.subject {
            Some(subject) => subject,
            None if about_capture => Subject::default(),
            None => Subject::of(case),
        };
        subject.direction = subject.direction.or(self.direction);
        let affected = &case.affected;
        let mut counts = case.counts.list();
        counts.extend(self.counts);
        let mut evidence = self.evidence;
        evidence.extend(case.sample.evidence());
        evidence.sort();
        evidence.dedup_by_key(|one| one.packet);
        evidence.truncate(Evidence::MOST);
        Finding {
            detector: rule.name,
            variant: self.name.unwrap_or(sheet.name),
            severity: self.severity,
            confidence: if gates.is_empty() { self.confidence } else { self.confidence.lowered() },
            gates,
            title: self.title,
            summary: self.summary,
            subject,
            scope: affected.scope(),
            first_seen: case.first_seen(),
            last_seen: case.last_seen(),
            counts,
            impact: match about_capture {
                true => Impact::default(),
                false => Impact {
                    seconds_lost: case.lost,
                    failed_transactions: case.failed,
                    of_transactions: case.total.max(case.failed),
                    clients: affected.clients.count(),
                    services: self.services.unwrap_or_else(|| affected.servers.count()),
                },
            },
            evidence,
            alternatives: self.could_be.unwrap_or_else(|| sheet.could_be.to_vec()),
            next_steps: self.next.unwrap_or(sheet.next).to_vec(),
            not_claimed: sheet.not_claimed.to_vec(),
        }
    }
}
