//! What a server allows its peers: how many connections, and how long each may keep its place without getting on.
//! Every bound of a server stands here; nothing else knows a number.

use std::net::IpAddr;
use std::time::Duration;

/// Longest head of a request. Browsers send 1 to 4 KiB, and nginx takes 8 KiB for a line. Hyper answers 431 beyond it, and beyond 100 headers.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What the kernel may hold of an answer that the peer has no room for. Otherwise each slow reader pins up to 4 MiB of socket memory,
/// which counts towards the container's limit.
pub(super) const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// An unfinished head that is younger than this is a request on its way.
pub(super) const HEAD_GRACE: Duration = Duration::from_secs(1);

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Those of one address. In a cluster all pods of a node, and the node, share one IPv6 network.
    Addresses,
    /// Those of one IPv4 address or one IPv6 network of 64 bits, of which each subscriber has at least one.
    Networks,
}

/// See the module's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections at a time from one peer.
    pub per_peer_max: usize,
    /// What a peer is.
    pub peers: Peers,
    /// From a connection's first byte of a request (or its beginning) to the end of the request's head.
    pub head: Duration,
    /// Between two requests of a kept connection. Load balancers close theirs after 60 s: they should be first.
    pub idle: Duration,
    /// How far a peer may fall behind [`Limits::bytes_per_second_min`] while it takes an answer or sends a body.
    pub stall: Duration,
    /// Slowest peer that is served on, once it has used up [`Limits::stall`]. A visitor with 2 KiB/s (GPRS) is four times as fast.
    pub bytes_per_second_min: u64,
    /// How long answers under way may take after the request to stop.
    pub drain: Duration,
}

impl Limits {
    /// For a server that anybody may reach. All visitors may come from the few addresses of an ingress, so that one has room for 1,024.
    /// 2,048 unfinished heads of 16 KiB are 32 MiB.
    pub const PUBLIC: Self = Self {
        connections_max: 2048,
        per_peer_max: 1024,
        peers: Peers::Networks,
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        stall: Duration::from_secs(60),
        bytes_per_second_min: 512,
        drain: Duration::from_secs(5),
    };

    /// For a server that probes, a controller and a few scrapers ask. Whoever floods it holds a quarter of the places, so that
    /// kubelet, which has an address of its own, gets through.
    pub const INTERNAL: Self = Self { connections_max: 256, per_peer_max: 64, peers: Peers::Addresses, ..Self::PUBLIC };

    /// With no more connections than the process may have files: each needs one, an answer from a file another.
    #[must_use]
    pub fn within_files(self, files_max: u64) -> Self {
        let room = usize::try_from(files_max.saturating_sub(FILES_OF_THE_REST) / 2).unwrap_or(usize::MAX).max(CONNECTIONS_MIN);
        Self { connections_max: self.connections_max.min(room), per_peer_max: self.per_peer_max.min(room), ..self }
    }

    /// How often time-outs are looked for: they are late by as much.
    pub(super) fn look_every(&self) -> Duration {
        (self.head.min(self.idle).min(self.stall) / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    pub(super) fn peer(&self, address: IpAddr) -> u128 {
        match (address.to_canonical(), self.peers) {
            (IpAddr::V4(address), _) => address.to_ipv6_mapped().to_bits(),
            (IpAddr::V6(address), Peers::Addresses) => address.to_bits(),
            (IpAddr::V6(address), Peers::Networks) => address.to_bits() >> 64 << 64,
        }
    }
}

/// Files that everything but connections has open: listeners, clients' connections, the volume.
const FILES_OF_THE_REST: u64 = 128;
const CONNECTIONS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_addresses_or_the_networks_of_subscribers() {
        let peer = |limits: Limits, address: &str| limits.peer(address.parse().unwrap());
        for (limits, one, other, same) in [
            (Limits::PUBLIC, "10.0.0.1", "10.0.0.2", false),
            (Limits::PUBLIC, "10.0.0.1", "::ffff:10.0.0.1", true),
            (Limits::PUBLIC, "2001:db8::1", "2001:db8::2", true),
            (Limits::PUBLIC, "2001:db8::1", "2001:db8:0:1::1", false),
            (Limits::INTERNAL, "2001:db8::1", "2001:db8::2", false),
            (Limits::INTERNAL, "10.0.0.1", "::ffff:10.0.0.1", true),
        ] {
            assert_eq!(peer(limits, one) == peer(limits, other), same, "{one} and {other}");
        }
    }

    #[test]
    fn there_are_never_more_connections_than_files() {
        for (files, connections) in [(1_048_576, 2048), (1024, 448), (40, 16), (0, 16)] {
            assert_eq!(Limits::PUBLIC.within_files(files).connections_max, connections, "{files} files");
        }
    }
}
