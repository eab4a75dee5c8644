//! Reads a store back through its public URL, as a page would.
//! Never asks for a name that anything may use, now or later (I6): the asset is asked for only once it is stored, and the made-up name
//! lies below a random folder of this one check, so that a 404 which a CDN keeps for it is a 404 for ever.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use reqwest::{Client, Response, redirect};

use crate::api::ContentHash;
use crate::bucket::probe::Finding;
use crate::bucket::s3::{S3Bucket, fresh};
use crate::bucket::{Attributes, Body, Bucket as _};
use crate::roles::RoleError;

const ASSET: &[u8] = b"export const rollcall = 'read back through the public URL';\n";

const ASSET_TYPE: &str = "text/javascript; charset=utf-8";

/// Short: it is of no use to any cache.
const ASSET_CACHE: &str = "public, max-age=60";

/// A page on another host than the assets'.
const PAGE: &str = "https://page.rollcall.invalid";

const PATIENCE: Duration = Duration::from_secs(30);

/// Stores one small script, asks for it and for one that was never there, and takes it away again.
pub(super) async fn read_back(bucket: &S3Bucket, prefix: &str, public_url: &str) -> Result<Vec<(&'static str, Finding)>, RoleError> {
    if !public_url.ends_with('/') {
        return Err(format!("--public-url {public_url:?}: expected a URL that ends with /").into());
    }
    let http = Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE).build()?;
    let folder = format!(".rollcall/probe/{}/", fresh()?);
    let key = format!("{prefix}{folder}asset-0a1b2c3d.js");
    let attributes = Attributes {
        content_type: ASSET_TYPE.into(),
        cache_control: ASSET_CACHE.into(),
        content_encoding: None,
        sha256: ContentHash::of(ASSET),
        writer: None,
        sequence: None,
    };
    bucket.create(&key, Body::Bytes(Bytes::from_static(ASSET)), &attributes).await?;
    let found = ask(&http, &format!("{public_url}{folder}")).await;
    if let Some(stored) = bucket.head(&key).await? {
        // May be denied: then some bytes stay.
        let _ = bucket.delete(&key, &stored.etag).await;
    }
    Ok(found)
}

async fn ask(http: &Client, folder: &str) -> Vec<(&'static str, Finding)> {
    let get = async |name: &str| http.get(format!("{folder}{name}")).header(ORIGIN, PAGE).send().await;
    let mut found = match get("asset-0a1b2c3d.js").await {
        Ok(response) => of_asset(response).await,
        Err(error) => vec![("readable", Finding::ignored(format!("no answer: {}", error.without_url())))],
    };
    found.push((
        "missingIs404",
        match get("missing-ffffffff.js").await {
            Ok(response) => of_missing(response.status().as_u16(), &header(&response, CONTENT_TYPE)),
            Err(error) => Finding::unknown(format!("no answer: {}", error.without_url())),
        },
    ));
    found
}

async fn of_asset(mut response: Response) -> Vec<(&'static str, Finding)> {
    let status = response.status().as_u16();
    if status != 200 {
        let why = match status {
            403 => ": the CDN or the public may not read the bucket, see the reader's policy",
            404 => ": the public URL leads to another bucket or prefix",
            300..=399 => ": the public URL redirects",
            _ => "",
        };
        return vec![("readable", Finding::ignored(format!("an asset that is stored was answered with {status}{why}")))];
    }
    let kept = |name, wanted: &str, effect| match header(&response, name) {
        found if same(&found, wanted) => Finding::holds(found),
        found => Finding::ignored(format!("stored was {wanted:?}, answered {found:?}: {effect}")),
    };
    let content_type = kept(CONTENT_TYPE, ASSET_TYPE, "a browser does not run a module of another type");
    let cache_control = match header(&response, CACHE_CONTROL) {
        found if same(&found, ASSET_CACHE) => Finding::holds(found),
        found => Finding::unknown(format!("stored was {ASSET_CACHE:?}, answered {found:?}: a server in between sets its own")),
    };
    let cors = match header(&response, ACCESS_CONTROL_ALLOW_ORIGIN) {
        origin if origin == "*" => Finding::holds("any page may use it"),
        origin if origin == PAGE => Finding::holds("the page that asked may use it"),
        _ => Finding::unknown("no Access-Control-Allow-Origin: modules and fonts do not load on pages of another host"),
    };
    let readable = body(&mut response).await;
    vec![("readable", readable), ("contentType", content_type), ("cacheControl", cache_control), ("cors", cors)]
}

async fn body(response: &mut Response) -> Finding {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= ASSET.len() => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Finding::ignored("more bytes came back than were stored: something in between changes them"),
            Ok(None) if bytes == ASSET => return Finding::holds("the bytes that were stored came back"),
            Ok(None) => return Finding::ignored("other bytes came back than were stored"),
            Err(error) => return Finding::ignored(format!("the body broke off: {}", error.without_url())),
        }
    }
}

/// What a name that was never there is answered with.
fn of_missing(status: u16, content_type: &str) -> Finding {
    match status {
        404 => Finding::holds("a made-up name was answered with 404"),
        200 if content_type.starts_with("text/html") => Finding::ignored(
            "a made-up script was answered with 200 and an html page: a fallback for single pages turns every missing file into html; limit it to paths without a dot",
        ),
        200 => Finding::ignored(format!(
            "a made-up script was answered with 200 {content_type}: a rewrite answers for files that are not there"
        )),
        403 => Finding::unknown(
            "a made-up name was answered with 403: the reader lacks s3:ListBucket, so that a missing file cannot be distinguished from a forbidden one",
        ),
        300..=399 => {
            Finding::ignored(format!("a made-up name was answered with {status}: a redirect answers for files that are not there"))
        }
        _ => Finding::unknown(format!("a made-up name was answered with {status}")),
    }
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Apart from spaces and case, which proxies change.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::store::Capability::{Holds, Ignored, Unknown};

    #[test]
    fn a_made_up_name_must_be_404_and_everything_else_has_its_own_word() {
        let judged = |status, content_type: &str| of_missing(status, content_type);
        assert_eq!(judged(404, "").capability, Holds);
        let fallback = judged(200, "text/html; charset=utf-8");
        assert!(fallback.capability == Ignored && fallback.evidence.contains("html page"), "{fallback:?}");
        assert_eq!(judged(200, "text/javascript").capability, Ignored);
        assert_eq!(judged(302, "").capability, Ignored);
        assert!(judged(403, "").capability == Unknown && judged(403, "").evidence.contains("s3:ListBucket"));
        assert_eq!(judged(503, "").capability, Unknown);
    }
}
