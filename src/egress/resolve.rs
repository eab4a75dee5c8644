//! Names -> addresses. Never remembers an answer: what a name stands for is looked up and checked for each connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// Looks names up.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name. A name that ends with a dot is complete: no search domain is appended to it.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does, whatever it has besides DNS. Each look-up takes a thread until it ends, also when nobody waits for it any more: only
/// for names that the person who runs the program gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Resolve for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
    }
}

/// By the name servers of `/etc/resolv.conf`, and the names in `/etc/hosts`. A name whose own servers are silent takes a socket while it
/// is waited for, and no thread: a tenant chooses names, and threads are few.
#[derive(Default)]
pub struct NameServers(OnceLock<TokioResolver>);

impl NameServers {
    /// Read when a name is first looked up.
    fn configured(&self) -> Result<&TokioResolver, NetError> {
        match self.0.get() {
            Some(resolver) => Ok(resolver),
            None => {
                let resolver = asking(read_system_conf().unwrap_or_else(|error| {
                    tracing::warn!(%error, "no name servers are configured; 127.0.0.1 is asked");
                    (on_this_machine(), ResolverOpts::default())
                }))?;
                Ok(self.0.get_or_init(|| resolver))
            }
        }
    }
}

#[async_trait]
impl Resolve for NameServers {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.configured().map_err(io::Error::other)?.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().take(ADDRESSES_MAX).collect())
    }
}

impl fmt::Debug for NameServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameServers")
    }
}

/// What the C library asks when nothing is configured.
fn on_this_machine() -> ResolverConfig {
    ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into())])
}

fn asking((config, mut options): (ResolverConfig, ResolverOpts)) -> Result<TokioResolver, NetError> {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // No answer is kept: a second connection asks a second time.
    options.cache_size = 0;
    options.positive_max_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::UdpSocket;

    use super::*;

    /// A name server that keeps silent about names within `silent.` and says 10.1.2.3 of every other. It counts questions.
    async fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = asked.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let question = &question[..length];
                counted.fetch_add(1, Ordering::Relaxed);
                if !question.windows(7).any(|window| window == b"\x06silent") {
                    socket.send_to(&answer(question), from).await.unwrap();
                }
            }
        });
        (address, asked)
    }

    /// The question's head and name, and for a question about an IPv4 address one record with an hour to live.
    fn answer(question: &[u8]) -> Vec<u8> {
        let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let is_v4 = question[name_end..name_end + 2] == [0, 1];
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
        answer.extend(&question[12..name_end + 4]);
        if is_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 10, 1, 2, 3]);
        }
        answer
    }

    fn by(server: SocketAddr) -> NameServers {
        let mut config = NameServerConfig::udp(server.ip());
        config.connections[0].port = server.port();
        let resolver = asking((ResolverConfig::from_parts(None, Vec::new(), vec![config]), ResolverOpts::default())).unwrap();
        NameServers(OnceLock::from(resolver))
    }

    #[tokio::test]
    async fn names_whose_servers_are_silent_delay_no_other_name() {
        let (address, _) = name_server().await;
        let names = Arc::new(by(address));
        for number in 0..300 {
            let names = names.clone();
            tokio::spawn(async move { names.addresses(&format!("t{number}.silent.")).await });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let found = tokio::time::timeout(Duration::from_secs(2), names.addresses("store.example.com.")).await;
        assert_eq!(found.expect("others are not waited for").unwrap(), [IpAddr::from([10, 1, 2, 3])]);
    }

    #[tokio::test]
    async fn no_answer_is_remembered() {
        let (address, asked) = name_server().await;
        let names = by(address);
        let mut counts = Vec::new();
        for _ in 0..3 {
            names.addresses("store.example.com.").await.unwrap();
            counts.push(asked.load(Ordering::Relaxed));
        }
        assert_eq!(counts, [2, 4, 6], "IPv4 and IPv6 each time");
    }

    /// Archives are unpacked on the same few threads, and a look-up that nobody waits for any more would keep its own.
    #[test]
    fn a_look_up_needs_no_thread_that_may_block() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let found = runtime.block_on(async {
            let _taken = tokio::task::spawn_blocking(move || held.recv());
            let names = super::super::Egress::public_and(Vec::new()).shared.resolver.clone();
            tokio::time::timeout(Duration::from_secs(5), async move { names.addresses("localhost").await }).await
        });
        drop(release);
        assert!(found.expect("a thread is waited for").unwrap().iter().all(IpAddr::is_loopback));
    }
}
