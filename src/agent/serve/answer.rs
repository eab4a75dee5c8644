//! One file as an HTTP answer: headers from its manifest, conditional requests, single ranges.
//! Never answers with bytes of another hash than its entity tag says.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::api::ContentHash;
use crate::manifest::ManifestFile;

/// `Cache-Control` of everything that must not be kept: above all a 404, which would outlive the moment in which it was true.
pub(super) const NO_STORE: &str = "no-store";

/// What is to be sent of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Range(Range<u64>),
    /// Nothing: the caller has it.
    Unchanged,
    /// Nothing: no such bytes.
    OutOfRange,
}

/// An entity tag: the hash of the bytes, so it holds for every pod.
pub(super) fn tag(hash: &ContentHash) -> String {
    format!("\"{hash}\"")
}

/// What this request wants of this file.
pub(super) fn part(request: &HeaderMap, file: &ManifestFile) -> Part {
    let tag = tag(&file.sha256);
    if matches(request, &tag) {
        return Part::Unchanged;
    }
    if file.encoding().is_some() {
        // A part of an encoding is of no use to anybody who wants a part of the file.
        return Part::Whole;
    }
    let fits = request.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    match request.get(header::RANGE).and_then(|value| value.to_str().ok()).filter(|_| fits) {
        Some(range) => ranged(range, file.size),
        None => Part::Whole,
    }
}

/// Whether `If-None-Match` names this tag.
pub(super) fn matches(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    tags.any(|one| one == "*" || one == tag)
}

/// A single range; anything else, also several ranges, may be answered with the whole (RFC 9110, 14.2).
fn ranged(range: &str, size: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-')) else { return Part::Whole };
    let (first, last) = (first.trim(), last.trim());
    let bounds = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => (first, size),
        (None, Some(length)) if first.is_empty() => (if length == 0 { size } else { size.saturating_sub(length) }, size),
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        _ => return Part::Whole,
    };
    if bounds.0 < bounds.1 { Part::Range(bounds.0..bounds.1) } else { Part::OutOfRange }
}

/// Digits only: `u64::from_str` would also take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The answer without its body.
pub(super) fn head(file: &ManifestFile, part: &Part) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    let (status, length) = match part {
        Part::Whole => (StatusCode::OK, Some(file.size)),
        Part::Range(range) => (StatusCode::PARTIAL_CONTENT, Some(range.end - range.start)),
        Part::Unchanged => (StatusCode::NOT_MODIFIED, None),
        Part::OutOfRange => (StatusCode::RANGE_NOT_SATISFIABLE, Some(0)),
    };
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, value(&tag(&file.sha256)));
    headers.insert(header::CACHE_CONTROL, value(&file.cache_control));
    let ranges = if file.encoding().is_some() { "none" } else { "bytes" };
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static(ranges));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CONTENT_TYPE, value(&file.content_type));
        if let Some(encoding) = file.encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.word()));
        }
    }
    match part {
        Part::Range(range) => {
            headers.insert(header::CONTENT_RANGE, value(&format!("bytes {}-{}/{}", range.start, range.end - 1, file.size)));
        }
        Part::OutOfRange => {
            headers.insert(header::CONTENT_RANGE, value(&format!("bytes */{}", file.size)));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        }
        Part::Whole | Part::Unchanged => {}
    }
    answer
}

/// The bytes that belong to the answer, if any do.
pub(super) fn bytes(method: &Method, file: &ManifestFile, part: &Part) -> Option<Range<u64>> {
    match part {
        _ if *method == Method::HEAD => None,
        Part::Whole => Some(0..file.size),
        Part::Range(range) => Some(range.clone()),
        Part::Unchanged | Part::OutOfRange => None,
    }
}

/// To another path of the same page. The next version may have it the other way round, so that no cache may answer this by itself.
pub(super) fn moved(to: &str, query: Option<&str>) -> Response<Body> {
    leads((StatusCode::MOVED_PERMANENTLY, HeaderValue::from_static("no-cache")), to, query)
}

/// To what may stand for it now. Nothing of it is kept: the name that was asked for may exist in a moment.
pub(super) fn found(to: &str, query: Option<&str>) -> Response<Body> {
    let mut answer = leads((StatusCode::FOUND, HeaderValue::from_static(NO_STORE)), to, query);
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

fn leads((status, cache): (StatusCode, HeaderValue), to: &str, query: Option<&str>) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    let location = query.map_or_else(|| to.to_owned(), |query| format!("{to}?{query}"));
    answer.headers_mut().insert(header::LOCATION, value(&location));
    answer.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
    answer.headers_mut().insert(header::CACHE_CONTROL, cache);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A short text that no cache keeps.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A manifest is made by Rollcall from tables and settings; a value that is no header is left out rather than answered with an error.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::asset;

    #[test]
    fn single_ranges_are_honoured_and_others_answered_whole() {
        let file = asset("a.js", b"0123456789");
        for (range, expected) in [
            ("bytes=0-3", Part::Range(0..4)),
            ("bytes=4-", Part::Range(4..10)),
            ("bytes=-3", Part::Range(7..10)),
            ("bytes=-30", Part::Range(0..10)),
            ("bytes=8-99", Part::Range(8..10)),
            ("bytes=10-", Part::OutOfRange),
            ("bytes=-0", Part::OutOfRange),
            ("bytes=3-1", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-3", Part::Whole),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::RANGE, range.parse().unwrap());
            assert_eq!(part(&request, &file), expected, "{range}");
        }
    }

    #[test]
    fn a_range_of_another_edition_is_answered_whole() {
        let file = asset("a.js", b"0123456789");
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, "bytes=0-3".parse().unwrap());
        request.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(part(&request, &file), Part::Whole);
        request.insert(header::IF_RANGE, tag(&file.sha256).parse().unwrap());
        assert_eq!(part(&request, &file), Part::Range(0..4));
    }

    #[test]
    fn a_known_tag_is_answered_without_bytes() {
        let file = asset("a.js", b"x");
        for known in [tag(&file.sha256), format!("\"other\", W/{}", tag(&file.sha256)), "*".into()] {
            let mut request = HeaderMap::new();
            request.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            assert_eq!(part(&request, &file), Part::Unchanged, "{known}");
        }
    }
}
