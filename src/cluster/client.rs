//! The connections to the API server: kube's own, which send at once.
//! Never repeats a request by itself, never leaves a small write waiting for an acknowledgement, and never sends a write that the
//! term of its process does not allow.

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use super::answers::BoundAnswers;
use super::leader::{OnlyWhileLeading, Term};

/// A client for this API server, whose writes begin only while the term allows it.
///
/// # Errors
/// When the configuration names keys or certificates that cannot be used, or a proxy of a kind that kube does not know.
pub fn connect(config: Config, term: &Term) -> Result<Client, kube::Error> {
    let guard = OnlyWhileLeading(term.clone());
    // Keys of a plugin expire, which only kube's own construction sees. Both are for people's own machines, whose answers have no bounds.
    if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(&guard).build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let service = ServiceBuilder::new()
        .layer(guard)
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .layer(BoundAnswers::default())
        .service(HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace))
}
