//! Hosts in texts that visitors should not be sent to. Never looks a host up.

use std::collections::BTreeSet;

use url::Url;

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::api::AssetStoreSpec;
use crate::manifest::ManifestFile;

/// Longest host name of the DNS, with a port.
const HOST_CHARS_MAX: usize = 260;

/// Endings of names that only a cluster or a private network knows.
const PRIVATE_ENDINGS: [&str; 5] = [".svc", ".svc.cluster.local", ".cluster.local", ".internal", ".localhost"];

/// A host past the CDN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What it is.
    pub role: HostRole,
    /// Its name or address in lower case; names below it are meant, too.
    pub name: String,
    /// Its port, when the URL has one.
    pub port: Option<u16>,
}

/// What a host is to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRole {
    /// The store's API.
    Endpoint,
    /// The bucket itself, behind the CDN.
    Origin,
    /// Where pods fetch from.
    InternalUrl,
}

impl Host {
    /// The host of a URL; `None` when it has none.
    #[must_use]
    pub fn of_url(role: HostRole, url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        Some(Self { role, name: url.host_str()?.to_ascii_lowercase(), port: url.port() })
    }

    fn is(&self, name: &str, port: Option<u16>) -> bool {
        let same_name = name.strip_suffix(&self.name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        same_name && (self.port.is_none() || self.port == port)
    }
}

/// The hosts of a store that pages must not name: its endpoint (or, on AWS, the bucket's own names) and its `internalUrl`.
#[must_use]
pub fn hosts_of(store: &AssetStoreSpec) -> Vec<Host> {
    let bucket = &store.bucket;
    let own = |host: String| Host { role: HostRole::Origin, name: host.to_ascii_lowercase(), port: None };
    let endpoint = match &bucket.endpoint {
        Some(endpoint) => Host::of_url(HostRole::Endpoint, endpoint).into_iter().collect(),
        None => vec![own(format!("{}.s3.{}.amazonaws.com", bucket.name, bucket.region)), own(format!("{}.s3.amazonaws.com", bucket.name))],
    };
    let internal = store.internal_url.as_deref().and_then(|url| Host::of_url(HostRole::InternalUrl, url));
    endpoint.into_iter().chain(internal).collect()
}

pub(super) fn read(subject: &Subject<'_>, file: &ManifestFile, text: &str, found: &mut Collected) {
    let public: Vec<Host> = subject.base_urls.iter().filter_map(|url| Host::of_url(HostRole::Origin, url)).collect();
    let is_public = |name: &str, port| public.iter().any(|host| host.name == name && host.port == port);
    let mut told = BTreeSet::new();
    for (name, port, has_scheme) in hosts_in(text) {
        if is_public(&name, port) || !told.insert((name.clone(), port)) {
            continue;
        }
        let shown = shown(&name, port);
        if let Some(host) = subject.hosts.iter().find(|host| host.is(&name, port)) {
            found.add(Rule::AbsoluteHost, Severity::Error, &file.path, format!("it names {shown:?}, {}", host.role.described()));
        } else if has_scheme && is_private(&name, port) {
            let message = format!("it names {shown:?}, which visitors cannot reach");
            found.add(Rule::AbsoluteHost, Severity::Warning, &file.path, message);
        } else {
            told.remove(&(name, port));
        }
    }
}

impl HostRole {
    fn described(self) -> &'static str {
        match self {
            Self::Endpoint => "the store's endpoint",
            Self::Origin => "the bucket itself",
            Self::InternalUrl => "the store's internalUrl",
        }
    }
}

fn shown(name: &str, port: Option<u16>) -> String {
    port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// Everything in a text that stands where a host stands in a URL, and whether a scheme stands before it. `\/` is JSON's way to
/// write a slash.
fn hosts_in(text: &str) -> impl Iterator<Item = (String, Option<u16>, bool)> {
    let plain = text.match_indices("//").map(|(at, mark)| (at, at + mark.len()));
    let escaped = text.match_indices(r"\/\/").map(|(at, mark)| (at, at + mark.len()));
    plain.chain(escaped).filter_map(|(at, after)| {
        let before = &text.as_bytes()[..at];
        let has_scheme = ["http:", "https:", "ws:", "wss:"].iter().any(|scheme| before.ends_with(scheme.as_bytes()));
        let (name, port) = host_at(&text[after..])?;
        Some((name, port, has_scheme))
    })
}

/// The host at the beginning of a text, in lower case.
fn host_at(text: &str) -> Option<(String, Option<u16>)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '@');
    let end = text.char_indices().take(HOST_CHARS_MAX).find(|(_, c)| !is_part(*c)).map_or(text.len().min(HOST_CHARS_MAX), |(at, _)| at);
    let whole = text.get(..end)?;
    let host = whole.rsplit_once('@').map_or(whole, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let name = name.trim_end_matches(['.', ':']).to_ascii_lowercase();
    (!name.is_empty()).then_some((name, port))
}

/// Loopback counts with a port only: libraries use a bare `http://localhost` as a base that is never asked.
fn is_private(name: &str, port: Option<u16>) -> bool {
    match url::Host::parse(name) {
        Ok(url::Host::Ipv4(v4)) => v4.is_private() || v4.is_link_local() || (v4.is_loopback() && port.is_some()),
        Ok(url::Host::Ipv6(v6)) => v6.is_unique_local() || (v6.is_loopback() && port.is_some()),
        _ if name == "localhost" => port.is_some(),
        _ => PRIVATE_ENDINGS.iter().any(|ending| name.ends_with(ending)),
    }
}
