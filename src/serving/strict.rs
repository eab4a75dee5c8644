//! What hyper lets through and another program on the way might understand otherwise: such a request is answered with 400, and its
//! connection ends. Never refuses what kubelet, browsers, proxies or the usual tools send.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};

/// What is wrong with a request's head, as the answer says it.
///
/// Hyper refuses before: folded lines, names with spaces, lengths that differ or are no numbers. It takes a request with both
/// `Transfer-Encoding` and `Content-Length`, and hides the latter; so no server of ours takes the former. S3 does not either.
pub(super) fn problem<B>(request: &Request<B>) -> Option<&'static str> {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        return Some("send Content-Length instead of Transfer-Encoding\n");
    }
    let hosts = headers.get_all(HOST).iter().count();
    let enough = hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11);
    if enough && names_a_host(headers) { None } else { Some("send exactly one Host that names a host\n") }
}

/// The characters of `host:port`; which host it is matters to no server of ours.
fn names_a_host(headers: &HeaderMap) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+,;=".contains(byte);
    headers.get(HOST).is_none_or(|host| host.as_bytes().iter().all(fits))
}

/// The answer to such a request.
pub(super) fn refusal(problem: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(problem));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let headers = [(CONNECTION, "close"), (CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    answer.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}
