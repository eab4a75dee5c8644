//! The API server's audit log: who asked what, how often. Never counts a request twice: a watch is logged when it begins and
//! when it ends. Never reads what was logged before the moment that is asked about, where that is known: it may be many megabytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

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
    #[serde(default)]
    stage: String,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
}

/// The log from some place on, and whose requests count.
pub struct Log {
    path: PathBuf,
    user: String,
    from: u64,
}

impl Log {
    /// Of this user, from its first line on.
    pub fn new(path: &Path, user: &str) -> Self {
        Self { path: path.to_owned(), user: user.to_owned(), from: 0 }
    }

    /// The same from where it ends now.
    pub fn its_rest(&self) -> Result<Self, Failure> {
        Ok(Self { path: self.path.clone(), user: self.user.clone(), from: std::fs::metadata(&self.path)?.len() })
    }

    fn read(&self) -> Result<String, Failure> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }

    /// Its requests, by verb and resource.
    pub fn requests(&self) -> Result<BTreeMap<String, usize>, Failure> {
        requests_in(&self.read()?, &self.user, "")
    }

    /// When its last request was answered, or its last watch begun (RFC 3339 in UTC).
    pub fn last(&self) -> Result<Option<String>, Failure> {
        Ok(entries(&self.read()?, &self.user)?.into_iter().map(|entry| entry.stage_timestamp).max())
    }

    /// Watches that are open now, by resource.
    pub fn open_watches(&self) -> Result<BTreeMap<String, usize>, Failure> {
        Ok(open_watches_in(&entries(&self.read()?, &self.user)?))
    }
}

fn open_watches_in(entries: &[Entry]) -> BTreeMap<String, usize> {
    let ended: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.stage != "ResponseStarted").map(|entry| entry.audit_id.as_str()).collect();
    let is_open = |entry: &&Entry| entry.verb == "watch" && entry.stage == "ResponseStarted" && !ended.contains(entry.audit_id.as_str());
    let mut open = BTreeMap::new();
    for entry in entries.iter().filter(is_open) {
        *open.entry(entry.resource().to_owned()).or_default() += 1;
    }
    open
}

impl Entry {
    fn resource(&self) -> &str {
        self.object_ref.as_ref().map_or("-", |object| &object.resource)
    }
}

/// The last line may be half-written.
fn entries(log: &str, user: &str) -> Result<Vec<Entry>, Failure> {
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(user));
    let mut entries = lines.map(serde_json::from_str).collect::<Result<Vec<Entry>, _>>()?;
    entries.retain(|entry| entry.user.username == user);
    Ok(entries)
}

/// Requests of a user that came at or after this moment (RFC 3339 in UTC), by verb and resource.
pub fn requests(log: &Path, user: &str, since: &str) -> Result<BTreeMap<String, usize>, Failure> {
    requests_in(&std::fs::read_to_string(log)?, user, since)
}

fn requests_in(log: &str, user: &str, since: &str) -> Result<BTreeMap<String, usize>, Failure> {
    let (mut counted, mut by_kind) = (BTreeSet::new(), BTreeMap::new());
    for entry in entries(log, user)? {
        if entry.request_received_timestamp.as_str() >= since && counted.insert(entry.audit_id.clone()) {
            *by_kind.entry(format!("{} {}", entry.verb, entry.resource())).or_default() += 1;
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

    #[test]
    fn a_watch_is_open_until_its_end_is_logged() {
        let at =
            |id: &str, stage: &str| line(id, "watch", "us", "2026-11-21T10:00:00Z").replacen('{', &format!(r#"{{"stage":"{stage}","#), 1);
        let log = [at("1", "ResponseStarted"), at("2", "ResponseStarted"), at("1", "ResponseComplete")];
        let open = open_watches_in(&entries(&log.concat(), "us").unwrap());
        assert_eq!(open, BTreeMap::from([("pods".to_owned(), 1)]));
    }
}
