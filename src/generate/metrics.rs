//! The page of metrics, from what an endpoint prints.
//! Never a metric that is not registered: names, types and help come out of the registries.

use std::fmt::Write as _;

use super::{Artifact, page_header};
use crate::agent;
use crate::metrics::Metrics;

/// `docs/reference/metrics.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = page_header("src/metrics.rs, src/metrics/retention.rs and src/agent/serve/metrics.rs") + "# Metrics\n";
    section(&mut text, "Controller", "`/metrics` of the admin address", &Metrics::example().render());
    section(&mut text, "Agent", "`/metrics` of the pod's address", &agent::metrics_example());
    vec![Artifact { path: "docs/reference/metrics.md".into(), text }]
}

fn section(text: &mut String, title: &str, place: &str, rendered: &str) {
    let _ =
        write!(text, "\n## {title}\n\n{place}, in the format of OpenMetrics.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for help in rendered.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, meaning) = help.split_once(' ').unwrap_or((help, ""));
        let kind = rendered.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap_or("unknown");
        let shown = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let _ = writeln!(text, "| `{shown}` | {kind} | {} | {meaning} |", labels(rendered, name));
    }
}

/// The labels of a metric's samples, buckets left out.
fn labels(rendered: &str, name: &str) -> String {
    let samples = rendered.lines().filter(|line| line.starts_with(name) && !line.contains("_bucket{"));
    let labels = samples.filter_map(|line| line.strip_prefix(name)?.split_once('{')?.1.split_once('='));
    labels.map(|(label, _)| format!("`{label}`")).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registered_metric_is_on_the_page() {
        let page = page().remove(0).text;
        let sources = [
            (include_str!("../metrics.rs"), "rollcall"),
            (include_str!("../metrics/retention.rs"), "rollcall"),
            (include_str!("../agent/serve/metrics.rs"), "rollcall_agent"),
        ];
        for (source, prefix) in sources {
            let names = source.split("registry.register(").skip(1).filter_map(|rest| rest.split('"').nth(1));
            let names: Vec<&str> = names.collect();
            assert!(names.len() >= 5, "{names:?}");
            for name in names {
                assert!(page.contains(&format!("| `{prefix}_{name}")), "{name} has no sample in `example`");
            }
        }
        assert!(page.contains("| `rollcall_unstages_total` | counter | `reason` |"), "{page}");
    }
}
