//! The API server's audit log: who asked what, how often. Never counts a request twice: a watch is logged when it begins and
//! when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::Failure;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    request_received_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
}

/// Requests of a user that came at or after this moment (RFC 3339 in UTC), by verb and resource.
pub fn requests(log: &Path, user: &str, since: &str) -> Result<BTreeMap<String, usize>, Failure> {
    requests_in(&std::fs::read_to_string(log)?, user, since)
}

fn requests_in(log: &str, user: &str, since: &str) -> Result<BTreeMap<String, usize>, Failure> {
    let (mut counted, mut by_kind) = (BTreeSet::new(), BTreeMap::new());
    // The last line may be half-written.
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(user));
    for line in lines {
        let entry: Entry = serde_json::from_str(line)?;
        let is_wanted = entry.user.username == user && entry.request_received_timestamp.as_str() >= since;
        if is_wanted && counted.insert(entry.audit_id) {
            let resource = entry.object_ref.map_or_else(|| "-".into(), |object| object.resource);
            *by_kind.entry(format!("{} {resource}", entry.verb)).or_default() += 1;
        }
    }
    Ok(by_kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, verb: &str, user: &str, at: &str) -> String {
        let object = r#""objectRef":{"resource":"pods"}"#;
        format!(r#"{{"auditID":"{id}","verb":"{verb}","user":{{"username":"{user}"}},{object},"requestReceivedTimestamp":"{at}"}}"#) + "\n"
    }

    #[test]
    fn a_watch_is_one_request_and_others_and_earlier_ones_do_not_count() {
        let log = [
            line("1", "get", "us", "2026-11-21T10:00:00.900000Z"),
            line("2", "watch", "us", "2026-11-21T10:00:01.000000Z"),
            line("3", "patch", "them", "2026-11-21T10:00:02.000000Z"),
            line("2", "watch", "us", "2026-11-21T10:00:01.000000Z"),
            r#"{"auditID":"4","us"#.into(),
        ];
        let counted = requests_in(&log.concat(), "us", "2026-11-21T10:00:01").unwrap();
        assert_eq!(counted, BTreeMap::from([("watch pods".to_owned(), 1)]));
    }
}
