//! Every connection of the controller to a place that somebody else names goes through here: stores, replicas, sources, pods.
//! Never connects to an address that was not checked in that very moment, never follows a redirect, never takes a proxy from the
//! environment, never decompresses, and never hands out an answer without an end in bytes and in time.

mod address;
mod bounded;
mod causes;
mod client;
mod connect;
mod grants;
mod resolve;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

pub use self::address::{AllowedHost, InvalidAllowedHost, Kind};
pub use self::bounded::{Bounded, Broken, SMALL_BYTES_MAX};
pub(crate) use self::causes::{chain, links};
pub use self::client::{Client, Pool, Unanswered};
pub use self::connect::NotAllowed;
pub use self::grants::{AmbientGrant, AmbientGrants, AmbientUse};
pub use self::resolve::{NameServers, Resolve, System};

/// What may be called, and how names become addresses. Clones share the root certificates, which are read when TLS is first needed.
#[derive(Clone)]
pub struct Egress {
    shared: Arc<Shared>,
}

struct Shared {
    rule: Rule,
    resolver: Arc<dyn Resolve>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// Which addresses may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// Public ones, and what the operator allows besides.
    PublicAnd(Vec<AllowedHost>),
    /// A pod's own address: private or public, never a loopback, link-local, metadata, multicast or unspecified one.
    OfAPod,
    /// Any: the person who typed it has the keys and the network.
    Any,
}

/// What to do about a host that is not allowed, for the end of a message.
pub const ADVICE: &str = "; the operator can allow it by the chart's value egress.allowedHosts";

/// Who is told why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A person at a terminal, whose network it is: everything.
    Operator,
    /// Whoever may read a status: nothing that a port scan would give.
    Tenant,
}

impl Egress {
    /// For the controller: public addresses, and what the operator allows.
    #[must_use]
    pub fn public_and(allowed: Vec<AllowedHost>) -> Self {
        Self::with(Rule::PublicAnd(allowed))
    }

    /// For the controller's polls of pods: only addresses that a pod can have.
    #[must_use]
    pub fn of_a_pod() -> Self {
        Self::with(Rule::OfAPod)
    }

    /// For a person's own commands on a person's own machine.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::with(Rule::Any)
    }

    fn with(rule: Rule) -> Self {
        let resolver: Arc<dyn Resolve> = match rule {
            Rule::PublicAnd(_) | Rule::OfAPod => Arc::new(NameServers::default()),
            Rule::Any => Arc::new(System),
        };
        Self { shared: Arc::new(Shared { rule, resolver, tls: OnceLock::new() }) }
    }

    /// The same rule with another way to look names up.
    #[must_use]
    pub fn resolving_by(self, resolver: Arc<dyn Resolve>) -> Self {
        let rule = self.shared.rule.clone();
        Self { shared: Arc::new(Shared { rule, resolver, tls: OnceLock::new() }) }
    }

    /// Who is told why a call failed.
    #[must_use]
    pub fn told(&self) -> Told {
        match self.shared.rule {
            Rule::PublicAnd(_) | Rule::OfAPod => Told::Tenant,
            Rule::Any => Told::Operator,
        }
    }

    /// What stands against calling this address, which `host` stands for.
    fn objection(&self, host: &str, port: u16, address: IpAddr) -> Option<Kind> {
        match &self.shared.rule {
            Rule::PublicAnd(allowed) => address::objection(allowed, host, port, address),
            Rule::OfAPod => address::objection_to_a_pod(address),
            Rule::Any => None,
        }
    }

    /// Whether the operator named this host or address: only then may the search domains of the controller's own pod complete it.
    fn is_named(&self, host: &str) -> bool {
        match &self.shared.rule {
            Rule::PublicAnd(allowed) => address::is_named(allowed, host),
            Rule::OfAPod => false,
            Rule::Any => true,
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(tls) = self.shared.tls.get() {
            return Ok(tls.clone());
        }
        // A failure may pass (too many open files), so only what worked is kept.
        let made = connect::tls()?;
        Ok(self.shared.tls.get_or_init(|| made).clone())
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Egress").field(&self.shared.rule).finish()
    }
}
