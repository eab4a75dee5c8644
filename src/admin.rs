//! The admin endpoint: `/healthz`, `/readyz`, `/metrics`. Never says anything about a single object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;
use crate::serving::{Limits, Server};

/// What the endpoint tells.
#[derive(Clone)]
pub struct Admin {
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
}

impl Admin {
    /// Not ready yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ready: Arc::new(AtomicBool::new(false)) }
    }

    /// From now on the program can do its work.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.ready.load(Ordering::Acquire) { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready yet") }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], admin.metrics.render())
}

/// Serves until `shutdown` resolves.
pub async fn serve(admin: Admin, listen: SocketAddr, shutdown: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    Server::new("admin", Limits::INTERNAL).run(listener, admin.router(), shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn status(admin: &Admin, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        admin.clone().router().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn ready_is_told_apart_from_alive() {
        let admin = Admin::new(Arc::default());
        assert_eq!(status(&admin, "/healthz").await, StatusCode::OK);
        assert_eq!(status(&admin, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        admin.set_ready();
        assert_eq!(status(&admin, "/readyz").await, StatusCode::OK);
    }
}
