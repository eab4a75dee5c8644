//! The site for visitors: pages of the served version, and what is no page of every known one.
//! Never a page of any other version, and never html for an asset's path.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use super::answer::{self, NO_STORE, Part};
use super::encoding::Offer;
use super::miss::Miss;
use super::{Shared, UnknownHash, path};
use crate::agent::catalogue::{Asked, Catalogue, Found, Lead};
use crate::agent::core::Event;
use crate::agent::fetch::Pieces;
use crate::agent::mirror::MirrorError;
use crate::manifest::{Class, urls};

/// Answers any request to the site.
pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let mut answer = respond(&shared, request.method(), request.uri(), request.headers()).await;
    if *shared.draining.borrow() {
        // The connection ends with this answer, so that the client's next one goes to another pod.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    shared.metrics.answered(answer.status());
    answer
}

async fn respond(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let catalogue = Arc::clone(&shared.catalogue.borrow());
    let Some(path) = path::below(uri.path(), &shared.base_path) else { return answer::text(StatusCode::NOT_FOUND, "not found\n") };
    let lead = match catalogue.lead(&path) {
        // The base itself is the folder of the first page.
        Lead::File(_) if path.is_empty() && !uri.path().ends_with('/') => Lead::WithSlash,
        lead @ (Lead::File(_) | Lead::WithSlash | Lead::WithoutSlash | Lead::Nothing) => lead,
    };
    match lead {
        Lead::File(found) => send(shared, method, headers, Offer::of(&catalogue, found)).await,
        Lead::WithSlash => answer::moved(&path::with_slash(uri.path()), uri.query()),
        Lead::WithoutSlash => answer::moved(&path::without_slash(uri.path()), uri.query()),
        Lead::Nothing => match unhashed(shared, &catalogue, (uri.path(), &path)) {
            Some(plain) => answer::found(&plain, uri.query()),
            None => not_found(shared, method, headers, (&catalogue, &path)).await,
        },
    }
}

async fn send(shared: &Shared, method: &Method, headers: &HeaderMap, offer: Offer<'_>) -> Response<Body> {
    let found = offer.chosen(headers);
    let part = answer::part(headers, found.file);
    let mut answer = answer::head(found.file, &part);
    if let Some(range) = answer::bytes(method, found.file, &part) {
        match read(shared, found, range).await {
            Ok(pieces) => *answer.body_mut() = Body::from_stream(pieces),
            Err(miss) => answer = missed(&miss),
        }
    }
    if found.file.class != Class::Entry {
        // Modules and fonts on another host are blocked without it, and a 404 without it is told as something else.
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if offer.has_variants() {
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    answer
}

async fn read(shared: &Shared, found: Found<'_>, range: std::ops::Range<u64>) -> Result<Pieces, Miss> {
    let hash = &found.file.sha256;
    let failed = |error: MirrorError| Miss::Failed(error.to_string());
    match shared.mirror.read(hash, range.clone()).await {
        Ok(Some(pieces)) => return Ok(pieces),
        Ok(None) => {}
        // Whoever writes to the volume takes nothing from visitors but time: the file is fetched again.
        Err(MirrorError::Changed { .. }) => shared.metrics.found_changed(),
        Err(error) => return Err(failed(error)),
    }
    if found.version.complete {
        // A full channel means that the loop is busy; the next request tells it again.
        let _told = shared.events.try_send(Event::Lost { digest: found.version.pointed.digest.clone() });
    }
    let filled = shared.misses.fill(found).await;
    shared.metrics.missed(filled.as_ref().err());
    filled?;
    shared.mirror.read(hash, range).await.map_err(failed)?.ok_or_else(|| Miss::Failed("gone at once".into()))
}

fn missed(miss: &Miss) -> Response<Body> {
    match miss {
        Miss::Gone => answer::text(StatusCode::NOT_FOUND, "not found\n"),
        Miss::Busy | Miss::Failed(_) => {
            if let Miss::Failed(problem) = miss {
                tracing::warn!(%problem, "cannot serve a file that a manifest has");
            }
            let mut answer = answer::text(StatusCode::SERVICE_UNAVAILABLE, "not here yet, come again\n");
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            answer
        }
    }
}

/// Where a path leads whose name has a hash that no version has: beside itself, relative as in [`path`].
fn unhashed(shared: &Shared, catalogue: &Catalogue, (request, decoded): (&str, &str)) -> Option<String> {
    // Of an escaped slash a browser makes no folder.
    let is_plain = !request.to_ascii_lowercase().contains("%2f");
    let plain = match shared.unknown_hash {
        UnknownHash::Redirect if is_plain => catalogue.without_hash(decoded),
        UnknownHash::NotFound | UnknownHash::Redirect => None,
    }?;
    Some(format!("./{}", urls::escaped(path::last(&plain.file.path))))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

/// A page's path gets the site's fallback, or its own page, an asset's path plain text. Before a version is served nothing listens
/// here; should a request come all the same, "not found" would be a lie about an asset that the others have.
async fn not_found(shared: &Shared, method: &Method, headers: &HeaderMap, (catalogue, path): (&Catalogue, &str)) -> Response<Body> {
    if catalogue.name_map().is_none() {
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, "no version is active yet\n");
    }
    let asked = catalogue.asked(path);
    let takes_a_page = match asked {
        Asked::Page => true,
        Asked::PageOrFile => accepts_html(headers),
        Asked::Asset => false,
    };
    if let Some(fallback) = catalogue.fallback().filter(|_| takes_a_page) {
        let mut answer = send(shared, method, headers, Offer::of(catalogue, fallback)).await;
        if asked == Asked::PageOrFile {
            answer.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
        }
        return answer;
    }
    if !takes_a_page {
        let mut answer = answer::text(StatusCode::NOT_FOUND, "not found\n");
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return answer;
    }
    let Some(own) = catalogue.not_found_page() else { return answer::text(StatusCode::NOT_FOUND, "not found\n") };
    let mut answer = answer::head(own.file, &Part::Whole);
    if let Some(range) = answer::bytes(method, own.file, &Part::Whole) {
        match read(shared, own, range).await {
            Ok(pieces) => *answer.body_mut() = Body::from_stream(pieces),
            Err(_) => return answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    for only_for_found in [header::ETAG, header::ACCEPT_RANGES] {
        answer.headers_mut().remove(only_for_found);
    }
    answer
}
