//! Which addresses the controller calls when somebody else names a host: only public ones, unless the operator allows more.
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
        if plain { Ok(Self::Host { name: comparable(name).to_ascii_lowercase(), port }) } else { Err(invalid()) }
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

/// What an address is that is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This machine.
    Loopback,
    /// Networks of one's own.
    Private,
    /// What a cloud hands out credentials or settings at, and other link-local addresses.
    Metadata,
    /// Multicast, documentation, "this network", ways through other networks, and what nobody was given.
    Reserved,
    /// A name for one of those, or one that only means something inside.
    NameInside,
}

impl Kind {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Metadata => "a link-local or metadata address",
            Self::Reserved => "a reserved address",
            Self::NameInside => "not the name of public addresses alone",
        }
    }

    /// How exactly the operator has to name an address of this kind: networks that an operator allows may hold more than was thought of.
    fn is_allowed_by(self, allowed: &AllowedHost, host: &str, port: u16, address: IpAddr) -> bool {
        match allowed {
            AllowedHost::Host { name, port: wanted } => {
                // Who gives a name its addresses may be somebody else than who allowed the name.
                self.may_go_by(name) && name.eq_ignore_ascii_case(host) && wanted.is_none_or(|wanted| wanted == port)
            }
            AllowedHost::Network(network) => {
                let is_exact = network.prefix_len() == network.max_prefix_len();
                network.contains(&address) && (is_exact || self != Self::Metadata)
            }
        }
    }

    fn may_go_by(self, name: &str) -> bool {
        match self {
            Self::Private => true,
            Self::Loopback => name == "localhost",
            Self::Metadata | Self::Reserved | Self::NameInside => false,
        }
    }
}

/// What is wrong with calling `address` under the name `host`; `None` when nothing is.
pub(super) fn objection(allowed: &[AllowedHost], host: &str, port: u16, address: IpAddr) -> Option<Kind> {
    let address = unwrapped(address);
    let kind = not_public(address)?;
    let is_allowed = allowed.iter().any(|allowed| kind.is_allowed_by(allowed, host, port, address));
    (!is_allowed).then_some(kind)
}

/// What is wrong with this address as a pod's own. A pod of the host's network has the node's address, which is private or public
/// like any other: its port is the tenant's choice, a GET is all that it gets, and the answer is shown to nobody.
pub(super) fn objection_to_a_pod(address: IpAddr) -> Option<Kind> {
    not_public(unwrapped(address)).filter(|kind| *kind != Kind::Private)
}

/// Whether the operator named this host, on whatever port.
pub(super) fn is_named(allowed: &[AllowedHost], host: &str) -> bool {
    allowed.iter().any(|allowed| match allowed {
        AllowedHost::Host { name, .. } => name.eq_ignore_ascii_case(host),
        AllowedHost::Network(_) => false,
    })
}

/// A host without the dot that says it is complete: the same host.
pub(super) fn comparable(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Endings of names that public DNS does not have: they only mean something inside. Not even looked up, so that nobody learns which
/// Services there are. A name of one label is of this kind, too.
const INSIDE: [&str; 9] = ["svc", "local", "localhost", "internal", "intranet", "private", "lan", "arpa", "corp"];

/// Whether a name only means something inside.
pub(super) fn ends_inside(host: &str) -> bool {
    // A cluster's domain may be any name; its Services are `<name>.<namespace>.svc.<domain>`.
    let is_service = host.split('.').skip(2).any(|label| label.eq_ignore_ascii_case("svc"));
    is_service || host.rsplit_once('.').is_none_or(|(_, last)| INSIDE.iter().any(|inside| last.eq_ignore_ascii_case(inside)))
}

/// The IPv4 address that an IPv6 one stands for (mapped, NAT64, 6to4): it leads to the same place.
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

fn not_public(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v4(v4: Ipv4Addr) -> Option<Kind> {
    match v4.octets() {
        [127, ..] => Some(Kind::Loopback),
        // 169.254.169.254 is where most clouds hand out credentials, 169.254.170.2 and .23 where AWS does for containers; 168.63.129.16 is
        // Azure's wire server and looks public, 100.100.100.200 is Alibaba's, 192.0.0.192 Oracle's.
        [169, 254, ..] | [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => Some(Kind::Metadata),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Kind::Private),
        // "This network", multicast and future use; IETF's and documentation; relays of 6to4 and AS112; benchmarks.
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some(Kind::Reserved),
        _ => None,
    }
}

fn not_public_v6(v6: Ipv6Addr) -> Option<Kind> {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Kind::Loopback),
        // AWS's (fd00:ec2::254 and ::23), Google's, Oracle's.
        [0xfe80..=0xfebf, ..] | [0xfd00, 0xec2 | 0xc1, ..] | [0xfd20, 0xce, ..] => Some(Kind::Metadata),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Kind::Private),
        // IETF's, Teredo among them (2001::/23); documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, ..] => Some(Kind::Reserved),
        // ISATAP below a public prefix leads to the IPv4 address at its end, with the bit for a public one or without.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => {
            let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
            not_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Only 2000::/3 is handed out as global unicast. NAT64 with a prefix of one's own (64:ff9b:1::/48) leads anywhere.
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Kind::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(allowed: &[&str], host: &str, address: &str) -> bool {
        let allowed: Vec<AllowedHost> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        objection(&allowed, host, 443, address.parse().unwrap()).is_some()
    }

    const PUBLIC: [&str; 8] =
        ["1.1.1.1", "52.218.0.1", "172.32.0.1", "100.128.0.1", "168.63.129.17", "2606:4700::1111", "64:ff9b::101:101", "2001:4860::8888"];

    /// The address, and whether a pod can have it.
    const NOT_PUBLIC: [(&str, bool); 48] = [
        ("127.0.0.1", false),
        ("127.9.9.9", false),
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("10.0.0.1", true),
        ("10.96.0.1", true),
        ("172.16.0.1", true),
        ("172.31.255.255", true),
        ("192.168.1.1", true),
        ("100.64.0.1", true),
        ("169.254.169.254", false),
        ("169.254.170.2", false),
        ("169.254.170.23", false),
        ("168.63.129.16", false),
        ("100.100.100.200", false),
        ("192.0.0.192", false),
        ("192.88.99.1", false),
        ("192.0.2.1", false),
        ("198.18.0.1", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("224.0.0.1", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", false),
        ("::127.0.0.1", false),
        ("::10.0.0.1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:10.0.0.1", true),
        ("::ffff:169.254.169.254", false),
        ("::ffff:0:127.0.0.1", false),
        ("64:ff9b::a9fe:a9fe", false),
        ("64:ff9b::7f00:1", false),
        ("64:ff9b:1::7f00:1", false),
        ("2002:7f00:1::", false),
        ("2002:a9fe:a9fe::1", false),
        ("2001::7f00:1", false),
        ("2600::5efe:7f00:1", false),
        ("2600::200:5efe:a9fe:a9fe", false),
        ("fd00::5efe:101:101", true),
        ("fe80::1", false),
        ("fc00::1", true),
        ("fd00:ec2::254", false),
        ("fd20:ce::254", false),
        ("fd00:c1::a9fe:a9fe", false),
        ("ff02::1", false),
        ("2001:db8::1", false),
    ];

    #[test]
    fn only_public_addresses_are_called() {
        for public in PUBLIC {
            assert!(!objects(&[], "h", public), "{public}");
        }
        for (not_public, _) in NOT_PUBLIC {
            assert!(objects(&[], "h", not_public), "{not_public}");
        }
    }

    #[test]
    fn a_pod_is_polled_only_at_an_address_that_a_pod_can_have() {
        for public in PUBLIC {
            assert_eq!(objection_to_a_pod(public.parse().unwrap()), None, "{public}");
        }
        for (address, is_a_pods) in NOT_PUBLIC {
            assert_eq!(objection_to_a_pod(address.parse().unwrap()).is_none(), is_a_pods, "{address}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_called() {
        assert!(!objects(&["minio.storage.svc"], "MinIO.storage.svc", "10.0.0.1"));
        assert!(!objects(&["minio.storage.svc."], "minio.storage.svc", "10.0.0.1"));
        assert!(!objects(&["minio.storage.svc:443"], "minio.storage.svc", "10.0.0.1"));
        assert!(objects(&["minio.storage.svc:9000"], "minio.storage.svc", "10.0.0.1"));
        assert!(!objects(&["10.0.0.0/8"], "x", "10.0.0.1"));
        assert!(!objects(&["10.0.0.0/8"], "x", "::ffff:10.0.0.1"));
        assert!(objects(&["10.0.0.0/8"], "x", "192.168.0.1"));
        assert!(!objects(&["127.0.0.1"], "127.0.0.1", "127.0.0.1"));
        for bad in ["", "a b", "host:99999", "http://host/", "[::1", "me:pw@host"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_is_called_only_where_its_very_address_is_allowed() {
        for (address, network) in [
            ("169.254.169.254", "169.254.0.0/16"),
            ("100.100.100.200", "100.64.0.0/10"),
            ("fd00:ec2::254", "fc00::/7"),
            ("168.63.129.16", "0.0.0.0/0"),
        ] {
            assert!(objects(&[network, "store.example.com"], "store.example.com", address), "{address}");
            assert!(!objects(&[address], "store.example.com", address), "{address}");
        }
    }

    #[test]
    fn names_that_only_mean_something_inside_are_known_by_their_ending() {
        for inside in [
            "kubernetes",
            "minio.storage.svc",
            "kubernetes.default.svc.cluster.local",
            "db.shop.svc.k8s.example.com",
            "metadata.google.internal",
            "db.LAN",
        ] {
            assert!(ends_inside(inside), "{inside}");
        }
        for outside in ["s3.amazonaws.com", "minio.storage", "svc.example.com", "0x7f.1"] {
            assert!(!ends_inside(outside), "{outside}");
        }
    }
}
