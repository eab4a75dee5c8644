//! URL -> connection: the name is looked up, each of its addresses is checked, and only those are connected to.
//! Never looks a name up twice for one connection: between check and use there is no second answer.

use std::future::{Future, Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use super::Egress;
use super::address::{Kind, comparable, ends_inside};

/// Idle connections are probed, so that one whose other end vanished does not stay for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The host is none that may be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host {host:?} is {}", .kind.words())]
pub struct NotAllowed {
    /// As the URL names it.
    pub host: String,
    /// What is wrong with it.
    pub kind: Kind,
}

/// Connects to what may be called.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    egress: Egress,
    connect_timeout: Duration,
}

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Checked {
    pub(super) fn new(egress: Egress, connect_timeout: Duration) -> Self {
        Self { egress, connect_timeout }
    }

    async fn connect(self, uri: Uri) -> Result<Connection, BoxError> {
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL is neither http nor https".into()),
        };
        let addresses = self.checked(&uri, if is_tls { 443 } else { 80 }).await?;
        let mut tcp = HttpConnector::new_with_resolver(Known(addresses.into()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(self.connect_timeout));
        if is_tls {
            let tls = self.egress.tls().map_err(|cause| format!("no TLS: {cause}"))?;
            HttpsConnector::from((tcp, tls)).call(uri).await
        } else {
            Ok(MaybeHttpsStream::Http(tcp.call(uri).await?))
        }
    }

    /// The addresses that the URL's host stands for. One that may not be called among others is enough to refuse all: which of them
    /// would be called is not ours to say.
    async fn checked(&self, uri: &Uri, default_port: u16) -> Result<Vec<IpAddr>, BoxError> {
        let host = uri.host().ok_or("the URL has no host")?;
        let port = uri.port_u16().unwrap_or(default_port);
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let addresses = match literal {
            Some(address) => vec![address],
            None => self.looked_up(host).await?,
        };
        let bad = addresses.iter().find_map(|address| self.egress.objection(comparable(host), port, *address));
        match bad {
            // What a name stands for inside is nobody's business: only what the URL itself says is told.
            Some(kind) if literal.is_some() => Err(NotAllowed { host: host.to_owned(), kind }.into()),
            Some(_) => Err(NotAllowed { host: host.to_owned(), kind: Kind::NameInside }.into()),
            None => Ok(addresses),
        }
    }

    async fn looked_up(&self, host: &str) -> Result<Vec<IpAddr>, BoxError> {
        let plain = comparable(host);
        let name = if self.egress.is_named(plain) {
            host.to_owned()
        } else if ends_inside(plain) {
            return Err(NotAllowed { host: host.to_owned(), kind: Kind::NameInside }.into());
        } else {
            // Complete as it is: the search domains of our own pod would turn `db.shop` into a Service.
            format!("{plain}.")
        };
        let addresses = self.egress.shared.resolver.addresses(&name).await?;
        if addresses.is_empty() { Err(io::Error::other("the name has no address").into()) } else { Ok(addresses) }
    }
}

impl Service<Uri> for Checked {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let timeout = self.connect_timeout;
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            // Over the look-up, all addresses and the handshake of TLS together.
            let ended = tokio::time::timeout(timeout, connecting).await;
            ended.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time").into()))
        })
    }
}

/// Answers every name with the addresses that were checked.
#[derive(Debug, Clone)]
struct Known(Arc<[IpAddr]>);

impl Service<Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.iter().map(|address| SocketAddr::new(*address, 0)).collect::<Vec<_>>().into_iter()))
    }
}

/// TLS by the system's root certificates, read once.
pub(super) fn tls() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let verified = versions.and_then(BuilderVerifierExt::with_platform_verifier).map_err(|error| error.to_string())?;
    Ok(Arc::new(verified.with_no_client_auth()))
}
