//! Names -> addresses. Never remembers an answer: what a name stands for is looked up and checked for each connection.

use std::fmt;
use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// Looks names up.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name. A name that ends with a dot is complete: no search domain is appended to it.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Resolve for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
    }
}
