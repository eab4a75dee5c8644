//! The verdict for people: a table, and for each example which piece, which version, which pod, when, beside the schedule's events.

use std::fmt::Write as _;

use super::{Cause, Example, Row, Verdict};

impl Verdict {
    /// Some lines of text.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.visitors_and_controls(&mut text);
        self.events(&mut text);
        for example in &self.examples {
            example.tell(&mut text);
        }
        let result = if self.held { "HELD".to_owned() } else { format!("FAILED: {}", self.reasons.join("; ")) };
        add(&mut text, format_args!("\n{result}"));
        text
    }

    fn visitors_and_controls(&self, text: &mut String) {
        let facts = &self.facts;
        add(
            text,
            format_args!(
                "\nseed {}, {} s: {} page loads ({} a second), {} requests, {} flips\n",
                facts.seed, facts.seconds, self.page_loads, self.page_loads_per_second, self.requests, facts.flips
            ),
        );
        add(
            text,
            format_args!(
                "{:<26} {:>10} {:>10} {:>7} {:>8} {:>7} {:>10} {:>10}",
                "visitors", "page loads", "requests", "wrong", "silence", "killed", "connected", "kept one"
            ),
        );
        add(text, format_args!("{:<26} {:>10} {:>10} {:>7} {:>8} {:>7} {:>10} {:>10}", "", "", "", "", "", "", "again", "replaced"));
        let of_kind = |name: &str| match name {
            "new" => "a connection each".to_owned(),
            "kept" => "kept connections".to_owned(),
            other => format!("control: {other}"),
        };
        for (name, row) in self.visitors.iter().chain(&self.controls) {
            row.tell(&of_kind(name), text);
        }
    }

    fn events(&self, text: &mut String) {
        let told: Vec<String> = self
            .events
            .iter()
            .map(|(name, carried)| {
                let failed = if carried.failed > 0 { format!(" ({} failed)", carried.failed) } else { String::new() };
                format!("{name} {}{failed}", carried.done)
            })
            .collect();
        add(text, format_args!("\nevents: {}", told.join(", ")));
        if !self.flaws.is_empty() {
            let told: Vec<String> = self.flaws.iter().map(|(name, count)| format!("{name} {count}")).collect();
            add(text, format_args!("failed pieces: {}", told.join(", ")));
        }
    }
}

impl Row {
    fn tell(&self, name: &str, text: &mut String) {
        let count = |cause: Cause| self.broken.get(&cause).copied().unwrap_or(0);
        add(
            text,
            format_args!(
                "{name:<26} {:>10} {:>10} {:>7} {:>8} {:>7} {:>10} {:>10}",
                self.page_loads,
                self.requests,
                count(Cause::Wrong),
                count(Cause::Silence),
                count(Cause::Killed),
                self.connect_retries,
                self.kept_retries
            ),
        );
    }
}

impl Example {
    fn tell(&self, text: &mut String) {
        let failure = &self.failure;
        let address = failure.pod.as_deref().unwrap_or("an unknown pod");
        let pod = if self.pod_names.is_empty() { address.to_owned() } else { format!("{address} ({})", self.pod_names.join(", ")) };
        add(
            text,
            format_args!(
                "\n{:?}: {} a page {} of \"{}\" asked {pod} for {}: {:?} {}",
                self.cause, failure.at, failure.page, failure.version, failure.url, failure.flaw, failure.seen
            ),
        );
        for event in &self.events {
            add(text, format_args!("    {event}"));
        }
    }
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = writeln!(text, "{line}");
}
