//! Who may do what, and what browsers and caches need to hear.
//! Never lets an anonymous request do more than read one object.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
};
use http::{HeaderValue, Method, StatusCode};
use s3s::access::{S3Access, S3AccessContext};
use s3s::service::S3Service;
use s3s::{S3Result, s3_error};

/// Objects are public to read, as behind a CDN; everything else needs the key.
pub(super) struct PublicObjects;

#[async_trait::async_trait]
impl S3Access for PublicObjects {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let public = matches!(context.s3_op().name(), "GetObject" | "HeadObject");
        if context.credentials().is_some() || public { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied")) }
    }
}

/// One request.
pub(super) async fn enter(State(service): State<S3Service>, request: Request) -> Response {
    if *request.method() == Method::OPTIONS {
        return preflight();
    }
    let answer = service.call(request.map(s3s::Body::http_body_unsync)).await;
    let mut response = match answer {
        Ok(response) => response.map(axum::body::Body::new),
        Err(error) => {
            tracing::warn!(?error, "a request could not be answered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    // Modules and fonts of a page on another host are not loaded without it.
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if response.status().is_client_error() || response.status().is_server_error() {
        // A cache that kept a 404 would hide the object that comes a moment later.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
