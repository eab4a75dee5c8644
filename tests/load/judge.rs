//! Whether an answer is what a page of its version needs: status, content type, bytes.
//! It must never excuse an answer; whoever reads the summary may.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::fetch::{Answer, Cause, NoAnswer};

/// What can be wrong with a piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flaw {
    /// No connection could be made, twice.
    Refused,
    /// The connection ended before the whole answer was there.
    Cut,
    /// No whole answer in time.
    Late,
    /// Another status than 200.
    Status,
    /// An html page in place of an asset.
    HtmlForAsset,
    /// A content type with which a browser would not use it.
    ContentType,
    /// Other bytes than the known build of the page's version has, or, without known builds, than another visitor of that version got.
    OtherBytes,
    /// The page does not say which version it is.
    NoVersion,
    /// It refers to another host.
    Elsewhere,
}

impl Flaw {
    /// Whether nothing wrong was said, because nothing whole was said.
    pub fn is_silence(self) -> bool {
        match self {
            Self::Refused | Self::Cut | Self::Late => true,
            Self::Status | Self::HtmlForAsset | Self::ContentType | Self::OtherBytes | Self::NoVersion | Self::Elsewhere => false,
        }
    }
}

/// A flaw with what was seen.
pub type Verdict = Result<(), (Flaw, String)>;

/// Judges a page.
pub fn page(answer: &Result<Answer, NoAnswer>) -> Verdict {
    let answer = whole(answer)?;
    if answer.content_type == "text/html" { Ok(()) } else { Err((Flaw::ContentType, answer.content_type.clone())) }
}

/// Judges an asset's status and content type.
pub fn asset<'a>(path: &str, answer: &'a Result<Answer, NoAnswer>) -> Result<&'a Answer, (Flaw, String)> {
    let answer = whole(answer)?;
    if answer.content_type == "text/html" {
        return Err((Flaw::HtmlForAsset, "text/html".into()));
    }
    let wanted = types_of(path);
    if wanted.is_empty() || wanted.contains(&answer.content_type.as_str()) {
        return Ok(answer);
    }
    Err((Flaw::ContentType, answer.content_type.clone()))
}

fn whole(answer: &Result<Answer, NoAnswer>) -> Result<&Answer, (Flaw, String)> {
    match answer {
        Err(NoAnswer { cause: Cause::Refused, text, .. }) => Err((Flaw::Refused, text.clone())),
        Err(NoAnswer { cause: Cause::Cut, text, .. }) => Err((Flaw::Cut, text.clone())),
        Err(NoAnswer { cause: Cause::Late, text, .. }) => Err((Flaw::Late, text.clone())),
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err((Flaw::Status, answer.status.to_string())),
    }
}

/// Content types with which browsers use a file; empty for files that they take as they come.
fn types_of(path: &str) -> &'static [&'static str] {
    match path.rsplit('.').next().unwrap_or_default() {
        "js" | "mjs" => &["text/javascript", "application/javascript"],
        "css" => &["text/css"],
        "svg" => &["image/svg+xml"],
        "png" => &["image/png"],
        "ico" => &["image/x-icon", "image/vnd.microsoft.icon"],
        "woff2" => &["font/woff2"],
        "wasm" => &["application/wasm"],
        _ => &[],
    }
}

/// Files of a build that are not more than this together; what is larger is no build of the tests.
const BUILD_BYTES_MAX: u64 = 64 << 20;

/// The bytes of every file by version and path: those of known builds, or those that the first visitor got. Every later answer is compared
/// byte by byte, which costs less than a hash of it.
#[derive(Default)]
pub struct Bodies {
    closed: bool,
    seen: Mutex<HashMap<String, HashMap<String, Bytes>>>,
}

impl Bodies {
    /// A folder with one folder for each version. What is not in there is judged wrong.
    pub fn known(folder: &Path) -> Result<Self, String> {
        let mut versions = HashMap::new();
        for entry in entries(folder)? {
            let mut files = HashMap::new();
            add(&entry, &entry, &mut files)?;
            let name = entry.file_name().and_then(|name| name.to_str()).ok_or_else(|| format!("{}: not a version", entry.display()))?;
            versions.insert(name.to_owned(), files);
        }
        if versions.is_empty() {
            return Err(format!("{} has no folder of a version", folder.display()));
        }
        Ok(Self { closed: true, seen: Mutex::new(versions) })
    }

    /// Whether pages are compared, too: what an application renders may differ each time.
    pub fn knows_pages(&self) -> bool {
        self.closed
    }

    /// `path` has no leading `/`.
    pub fn judge(&self, version: &str, path: &str, body: &Bytes) -> Verdict {
        let other = |text: &str| Err((Flaw::OtherBytes, format!("{} bytes, {text}", body.len())));
        let mut seen = self.seen.lock().expect("nothing panics while it holds the bytes");
        match seen.get(version).and_then(|files| files.get(path)) {
            Some(known) if known == body => Ok(()),
            Some(_) => other("not those of this version"),
            None if self.closed => other("and this version has no such file"),
            None => {
                seen.entry(version.to_owned()).or_default().insert(path.to_owned(), body.clone());
                Ok(())
            }
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn add(top: &Path, folder: &Path, files: &mut HashMap<String, Bytes>) -> Result<(), String> {
    for path in entries(folder)? {
        if path.is_dir() {
            add(top, &path, files)?;
            continue;
        }
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if path.metadata().map_err(failed)?.len() > BUILD_BYTES_MAX {
            return Err(format!("{}: larger than a build of the tests", path.display()));
        }
        let name = path.strip_prefix(top).map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        files.insert(name, std::fs::read(&path).map_err(failed)?.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str) -> Answer {
        Answer { status, content_type: content_type.into(), pod: None, body: "x".into() }
    }

    fn flaw_of(name: &str, answer: Answer) -> Option<Flaw> {
        asset(name, &Ok(answer)).err().map(|(flaw, _)| flaw)
    }

    #[test]
    fn an_asset_has_status_200_and_the_type_that_browsers_want() {
        assert_eq!(flaw_of("a.js", answer(200, "text/javascript")), None);
        assert_eq!(flaw_of("a.bin", answer(200, "")), None);
        assert_eq!(flaw_of("a.js", answer(200, "text/plain")), Some(Flaw::ContentType));
        assert_eq!(flaw_of("a.js", answer(404, "text/javascript")), Some(Flaw::Status));
        assert_eq!(flaw_of("a.bin", answer(200, "text/html")), Some(Flaw::HtmlForAsset));
        let reset = Err(NoAnswer { cause: Cause::Cut, text: "reset".into(), pod: None });
        assert_eq!(page(&reset).unwrap_err().0, Flaw::Cut);
    }

    #[test]
    fn a_page_is_html() {
        assert_eq!(page(&Ok(answer(200, "text/html"))), Ok(()));
        assert_eq!(page(&Ok(answer(200, "text/plain"))).unwrap_err().0, Flaw::ContentType);
        assert_eq!(page(&Ok(answer(503, "text/html"))).unwrap_err().0, Flaw::Status);
    }

    #[test]
    fn one_path_has_the_same_bytes_for_all_visitors_of_a_version() {
        let bodies = Bodies::default();
        assert_eq!(bodies.judge("v1", "version.json", &"1".into()), Ok(()));
        assert_eq!(bodies.judge("v1", "version.json", &"1".into()), Ok(()));
        assert_eq!(bodies.judge("v2", "version.json", &"2".into()), Ok(()));
        assert_eq!(bodies.judge("v1", "version.json", &"2".into()).unwrap_err().0, Flaw::OtherBytes);
    }

    #[test]
    fn with_known_builds_nothing_else_is_right() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("v1/assets")).unwrap();
        std::fs::write(folder.path().join("v1/assets/a.js"), "1").unwrap();
        let bodies = Bodies::known(folder.path()).unwrap();
        assert_eq!(bodies.judge("v1", "assets/a.js", &"1".into()), Ok(()));
        assert_eq!(bodies.judge("v1", "assets/a.js", &"2".into()).unwrap_err().0, Flaw::OtherBytes);
        assert_eq!(bodies.judge("v1", "assets/b.js", &"1".into()).unwrap_err().0, Flaw::OtherBytes);
        assert_eq!(bodies.judge("v2", "assets/a.js", &"1".into()).unwrap_err().0, Flaw::OtherBytes);
        assert!(Bodies::known(&folder.path().join("v1/assets")).is_err(), "files are no versions");
    }
}
