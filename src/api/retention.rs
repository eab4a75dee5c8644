//! `spec.retention` and `status.retention` of an `AssetRelease`. Its documentation is what `kubectl explain` prints.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long versions stay in the store after another one took their place. What is active, previous, staged, reported by any pod,
/// named by a public page or being published stays anyhow, whichever cluster uses it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.pins) || self.pins.all(pin, duration(pin.ttl) >= duration(self.ttl))")
    .message("a pin's ttl must not be shorter than spec.retention.ttl, which keeps every file")
    .field_path(".pins"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionSpec {
    /// The last so many activated versions stay, the active one included, however old they are.
    #[serde(default = "default_releases")]
    #[schemars(range(min = 1, max = 1000))]
    pub releases: i32,
    /// Every version stays at least this long after it was retired (or published, if it was never activated), in hours such as
    /// `720h`. At least `1h`: pages that were loaded before the flip still ask for its files. Longer than any cache keeps html: a
    /// sweep refuses to run when an entry file's `Cache-Control` says otherwise.
    #[serde(default = "default_ttl")]
    #[schemars(length(min = 2, max = 6))]
    #[x_kube(validation = hours())]
    pub ttl: String,
    /// Files that stay longer than their version, such as images in e-mails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub pins: Vec<PinSpec>,
}

/// Files that stay longer than their version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinSpec {
    /// Pattern of paths in the build, for example `mail/**`: `*` stays within a folder, `**` does not.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.startsWith('/')").message("must be a path in the build, without a leading /"))]
    pub r#match: String,
    /// How long after the version's retirement, in hours such as `43800h`.
    #[schemars(length(min = 2, max = 6))]
    #[x_kube(validation = hours())]
    pub ttl: String,
}

fn default_releases() -> i32 {
    5
}

fn default_ttl() -> String {
    "720h".into()
}

fn hours() -> Rule {
    Rule::new("self.matches('^[1-9][0-9]{0,4}h$')").message("must be whole hours, from 1h to 99999h, for example 720h")
}

impl RetentionSpec {
    /// The time after retirement, in seconds.
    #[must_use]
    pub fn ttl_seconds(&self) -> u64 {
        seconds(&self.ttl)
    }
}

impl PinSpec {
    /// The time after retirement, in seconds.
    #[must_use]
    pub fn ttl_seconds(&self) -> u64 {
        seconds(&self.ttl)
    }
}

/// For ever when it cannot be understood, which the schema does not let happen.
fn seconds(hours: &str) -> u64 {
    hours.strip_suffix('h').and_then(|hours| hours.parse::<u64>().ok()).map_or(u64::MAX, |hours| hours.saturating_mul(3600))
}

/// What retention last planned and did.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionStatus {
    /// In one sentence. For people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When this was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Time>,
    /// When the last sweep ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<Time>,
    /// Versions of which objects go, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 128)))]
    pub versions_going: Vec<String>,
    /// Objects that go.
    pub objects_going: i64,
    /// Their bytes.
    pub bytes_going: i64,
    /// Objects of builds that stay.
    pub objects_kept: i64,
    /// Their bytes.
    pub bytes_kept: i64,
    /// Objects that stay by a pin alone.
    pub objects_pinned: i64,
    /// Objects below the prefix that Rollcall did not write; they stay.
    pub objects_unknown: i64,
    /// Objects that the last sweep deleted.
    pub objects_deleted: i64,
    /// Their bytes.
    pub bytes_deleted: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_seconds_and_nonsense_is_for_ever() {
        assert_eq!((seconds("1h"), seconds("720h"), seconds("5m")), (3600, 2_592_000, u64::MAX));
        let spec: RetentionSpec = serde_json::from_str("{}").unwrap();
        assert_eq!((spec.releases, spec.ttl_seconds(), spec.pins.len()), (5, 2_592_000, 0));
    }
}
