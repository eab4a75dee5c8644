//! Whether an answer is what a page of its version needs: status, content type, bytes.
//! It must never excuse an answer; whoever reads the summary may.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::Serialize;
use sha2::{Digest, Sha256};
use url::Url;

use crate::fetch::{Answer, NoAnswer};

/// What can be wrong with a piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Flaw {
    /// No whole answer: refused, reset, cut short, too late.
    Transport,
    /// Another status than 200.
    Status,
    /// An html page in place of an asset.
    HtmlForAsset,
    /// A content type with which a browser would not use it.
    ContentType,
    /// Other bytes than another visitor got under the same URL with a page of the same version.
    OtherBytes,
    /// The page does not say which version it is.
    NoVersion,
    /// It refers to another host.
    Elsewhere,
}

/// A flaw with what was seen.
pub type Verdict = Result<(), (Flaw, String)>;

/// Judges a page.
pub fn page(answer: &Result<Answer, NoAnswer>) -> Verdict {
    let answer = whole(answer)?;
    if answer.content_type == "text/html" { Ok(()) } else { Err((Flaw::ContentType, answer.content_type.clone())) }
}

/// Judges an asset's status and content type.
pub fn asset<'a>(url: &Url, answer: &'a Result<Answer, NoAnswer>) -> Result<&'a Answer, (Flaw, String)> {
    let answer = whole(answer)?;
    if answer.content_type == "text/html" {
        return Err((Flaw::HtmlForAsset, "text/html".into()));
    }
    let wanted = types_of(url.path());
    if wanted.is_empty() || wanted.contains(&answer.content_type.as_str()) {
        return Ok(answer);
    }
    Err((Flaw::ContentType, answer.content_type.clone()))
}

fn whole(answer: &Result<Answer, NoAnswer>) -> Result<&Answer, (Flaw, String)> {
    match answer {
        Err(NoAnswer(why)) => Err((Flaw::Transport, why.clone())),
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

/// Remembers the bytes of every asset by the version of the page that asked for it.
#[derive(Default)]
pub struct Bytes {
    seen: Mutex<HashMap<(String, String), [u8; 32]>>,
}

impl Bytes {
    /// Compares with what came under this URL before.
    pub fn judge(&self, version: &str, url: &Url, body: &[u8]) -> Verdict {
        let sum: [u8; 32] = Sha256::digest(body).into();
        let mut seen = self.seen.lock().expect("nothing panics while it holds the sums");
        let first = *seen.entry((version.to_owned(), url.to_string())).or_insert(sum);
        if first == sum { Ok(()) } else { Err((Flaw::OtherBytes, format!("{} bytes of another content", body.len()))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str) -> Answer {
        Answer { status, content_type: content_type.into(), pod: None, body: "x".into() }
    }

    fn flaw_of(name: &str, answer: Answer) -> Option<Flaw> {
        asset(&Url::parse("http://shop/").unwrap().join(name).unwrap(), &Ok(answer)).err().map(|(flaw, _)| flaw)
    }

    #[test]
    fn an_asset_has_status_200_and_the_type_that_browsers_want() {
        assert_eq!(flaw_of("a.js", answer(200, "text/javascript")), None);
        assert_eq!(flaw_of("a.bin", answer(200, "")), None);
        assert_eq!(flaw_of("a.js", answer(200, "text/plain")), Some(Flaw::ContentType));
        assert_eq!(flaw_of("a.js", answer(404, "text/javascript")), Some(Flaw::Status));
        assert_eq!(flaw_of("a.bin", answer(200, "text/html")), Some(Flaw::HtmlForAsset));
        let reset = Err(NoAnswer("reset".into()));
        assert_eq!(page(&reset).unwrap_err().0, Flaw::Transport);
    }

    #[test]
    fn a_page_is_html() {
        assert_eq!(page(&Ok(answer(200, "text/html"))), Ok(()));
        assert_eq!(page(&Ok(answer(200, "text/plain"))).unwrap_err().0, Flaw::ContentType);
        assert_eq!(page(&Ok(answer(503, "text/html"))).unwrap_err().0, Flaw::Status);
    }

    #[test]
    fn one_url_has_the_same_bytes_for_all_visitors_of_a_version() {
        let (bytes, url) = (Bytes::default(), Url::parse("http://shop/version.json").unwrap());
        assert_eq!(bytes.judge("v1", &url, b"1"), Ok(()));
        assert_eq!(bytes.judge("v1", &url, b"1"), Ok(()));
        assert_eq!(bytes.judge("v2", &url, b"2"), Ok(()));
        assert_eq!(bytes.judge("v1", &url, b"2").unwrap_err().0, Flaw::OtherBytes);
    }
}
