//! Which addresses the controller calls when a release names a host: only public ones, unless the operator allows more.
//! Never decides by a name alone: what the name stands for is looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Something that the operator allows although it is not public: `host`, `host:port`, an address, or a network (`10.0.0.0/8`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// A host by its exact name (letter case aside), on one port or on any.
    Host {
        /// In lower case.
        name: String,
        /// `None`: any port.
        port: Option<u16>,
    },
    /// Every address of a network.
    Network(IpNet),
}

/// Not a host, a host with a port, an address or a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an allowed host: expected host, host:port, an IP address or a network like 10.0.0.0/8")]
pub struct InvalidAllowedHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidAllowedHost;

    fn from_str(text: &str) -> Result<Self, InvalidAllowedHost> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        let invalid = || InvalidAllowedHost(text.to_owned());
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if plain { Ok(Self::Host { name: name.to_ascii_lowercase(), port }) } else { Err(invalid()) }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, port: Some(port) } => write!(f, "{name}:{port}"),
            Self::Host { name, port: None } => f.write_str(name),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// What is wrong with calling `address` under the name `host`; `None` when nothing is.
pub(super) fn objection(allowed: &[AllowedHost], host: &str, port: u16, address: IpAddr) -> Option<&'static str> {
    let address = unwrapped(address);
    let kind = not_public(address)?;
    let is_allowed = allowed.iter().any(|allowed| match allowed {
        AllowedHost::Host { name, port: wanted } => name.eq_ignore_ascii_case(host) && wanted.is_none_or(|wanted| wanted == port),
        AllowedHost::Network(network) => network.contains(&address),
    });
    (!is_allowed).then_some(kind)
}

/// The IPv4 address inside an IPv6 one (mapped, NAT64, 6to4): those lead to the same places.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let embedded = |at: usize| IpAddr::V4(Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(12),
        [0x2002, ..] => embedded(2),
        _ => address,
    }
}

fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v4(v4: Ipv4Addr) -> Option<&'static str> {
    match v4.octets() {
        [127, ..] => Some("a loopback address"),
        // 169.254.169.254 is where clouds hand out credentials.
        [169, 254, ..] => Some("a link-local or metadata address"),
        // Alibaba's metadata address lies in the carrier's range.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some("a private address"),
        [0 | 224..=255, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Some("a reserved address"),
        _ => None,
    }
}

fn not_public_v6(v6: Ipv6Addr) -> Option<&'static str> {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local or metadata address"),
        // fd00:ec2::254, AWS's metadata address, is one of these.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some("a private address"),
        // Only 2000::/3 is handed out as global unicast; documentation ranges lie within it.
        [0x2001, 0xdb8, ..] | [0x3fff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(allowed: &[&str], host: &str, address: &str) -> bool {
        let allowed: Vec<AllowedHost> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        objection(&allowed, host, 443, address.parse().unwrap()).is_some()
    }

    #[test]
    fn only_public_addresses_are_called() {
        for public in ["1.1.1.1", "52.218.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(!objects(&[], "h", public), "{public}");
        }
        for not_public in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(objects(&[], "h", not_public), "{not_public}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_called() {
        assert!(!objects(&["minio.storage.svc"], "MinIO.storage.svc", "10.0.0.1"));
        assert!(!objects(&["minio.storage.svc:443"], "minio.storage.svc", "10.0.0.1"));
        assert!(objects(&["minio.storage.svc:9000"], "minio.storage.svc", "10.0.0.1"));
        assert!(!objects(&["10.0.0.0/8"], "x", "10.0.0.1"));
        assert!(!objects(&["10.0.0.0/8"], "x", "::ffff:10.0.0.1"));
        assert!(objects(&["10.0.0.0/8"], "x", "192.168.0.1"));
        assert!(!objects(&["127.0.0.1"], "127.0.0.1", "127.0.0.1"));
        for bad in ["", "a b", "host:99999", "http://host/", "[::1"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }
}
