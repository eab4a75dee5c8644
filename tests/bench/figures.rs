//! What was measured, as figures: percentiles by nearest rank, never interpolated.

use serde::Serialize;

/// A distribution of times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    pub count: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// The distribution of these times; nothing without times.
pub fn distribution(mut times: Vec<f64>) -> Option<Distribution> {
    times.sort_by(f64::total_cmp);
    let max = *times.last()?;
    // The smallest time that is at least as long as `percent` of all times.
    let rank = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Some(Distribution { count: times.len(), p50: rank(50), p90: rank(90), p99: rank(99), max })
}

/// A row of a Markdown table.
pub fn row(name: &str, distribution: &Distribution) -> String {
    let Distribution { count, p50, p90, p99, max } = distribution;
    format!("| {name} | {count} | {p50:.1} | {p90:.1} | {p99:.1} | {max:.1} |\n")
}

/// The table's head.
pub const HEAD: &str = "| ms | count | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times = (1..=300).rev().map(f64::from).collect();
        let expected = Distribution { count: 300, p50: 150.0, p90: 270.0, p99: 297.0, max: 300.0 };
        assert_eq!(distribution(times), Some(expected));
        assert_eq!(distribution(vec![7.0]).map(|only| (only.p50, only.p99)), Some((7.0, 7.0)));
        assert_eq!(distribution(Vec::new()), None);
    }
}
