//! A neighbour of tarpits: from a new version in its spec to the flipped pointer, while other tenants' stores take every connection and
//! give no answer. Never leaves a version out: they are counted from the moment at which the tarpits' objects begin to be made.

use std::net::Ipv4Addr;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};
use rollcall::api::{AssetRelease, AssetStore};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep};

use crate::figures::{self, Distribution, distribution, row};
use crate::programs::STORE;
use crate::world::{World, create};
use crate::{Channel, Failure, Given, objects};

/// A tarpit's objects are made this long after those of the one before. If all are made at once, the API server is busy with the making itself and
/// with the first passes of 200 new releases, whatever their stores do.
const MADE_EVERY: Duration = Duration::from_millis(100);

const SILENT_PORT: u16 = 9100;
const DRIPPING_PORT: u16 = 9101;

/// Namespaces over which tarpits are spread.
const SPREAD_OVER: usize = 10;

/// What is left of the last arrangement (passes of releases that are gone, their status writes) is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Nothing here takes longer unless something is broken.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What an endpoint does with a connection. Each listens on all loopback addresses, so that each store has an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Kind {
    /// It is the neighbour's own store: for comparison, what as many tenants cost whose stores are well.
    Answering,
    /// It accepts, reads, and never writes.
    Silent,
    /// It writes the head of an answer, and then one byte of the body a second.
    Dripping,
}

impl Kind {
    /// 127.1.0.1 and up: no two tarpits share one.
    fn endpoint(self, number: usize) -> Result<String, Failure> {
        let own = Ipv4Addr::from(0x7f01_0001 + u32::try_from(number)?);
        Ok(match self {
            Self::Answering => STORE.to_owned(),
            Self::Silent => format!("{own}:{SILENT_PORT}"),
            Self::Dripping => format!("{own}:{DRIPPING_PORT}"),
        })
    }

    async fn serve(self, port: u16) -> std::io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        tokio::spawn(async move {
            // A connection that breaks before it is accepted is one tarpit less for a moment.
            loop {
                if let Ok((connection, _)) = listener.accept().await {
                    tokio::spawn(self.hold(connection));
                }
            }
        });
        Ok(())
    }

    /// Until the other end gives up.
    async fn hold(self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut request = [0; 4096];
        if self == Self::Dripping && connection.read(&mut request).await? > 0 {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: 60000\r\n\r\n").await?;
            loop {
                connection.write_all(b"<").await?;
                sleep(Duration::from_secs(1)).await;
            }
        }
        while connection.read(&mut request).await? > 0 {}
        Ok(())
    }
}

/// Tarpits of one arrangement.
#[derive(Debug, Clone, Copy)]
struct Tarpits {
    kind: Kind,
    count: usize,
    namespaces: usize,
}

impl Tarpits {
    fn name(self) -> String {
        let Self { kind, count, namespaces } = self;
        let kind = format!("{kind:?}").to_lowercase();
        if namespaces == 1 { format!("{count} {kind}, one namespace") } else { format!("{count} {kind}, {namespaces} namespaces") }
    }

    /// Every arrangement has namespaces of its own: what the controller has learnt of an endpoint counts for its namespace.
    fn namespace(self, number: usize) -> String {
        let Self { kind, count, namespaces } = self;
        format!("{kind:?}-{count}-{namespaces}-{number}").to_lowercase()
    }

    async fn make(self, client: &Client) -> Result<(), Failure> {
        for number in 0..self.namespaces {
            let name = self.namespace(number);
            create::<Namespace>(&Api::all(client.clone()), objects::namespace(&name)).await?;
            create::<Secret>(&Api::namespaced(client.clone(), &name), objects::secret()).await?;
            create::<Role>(&Api::namespaced(client.clone(), &name), objects::keys_role()).await?;
            create::<RoleBinding>(&Api::namespaced(client.clone(), &name), objects::keys_binding()).await?;
        }
        for number in 0..self.count {
            self.make_one(client, number).await?;
            sleep(MADE_EVERY).await;
        }
        Ok(())
    }

    async fn make_one(self, client: &Client, number: usize) -> Result<(), Failure> {
        let namespace = self.namespace(number % self.namespaces);
        let endpoint = self.kind.endpoint(number)?;
        create::<Deployment>(&Api::namespaced(client.clone(), &namespace), objects::deployment(&format!("shop-{number}"))).await?;
        let stores = Api::<AssetStore>::namespaced(client.clone(), &namespace);
        create(&stores, objects::tarpit_store(number, &endpoint)).await?;
        let releases = Api::<AssetRelease>::namespaced(client.clone(), &namespace);
        create(&releases, objects::tarpit_release(number)).await
    }

    async fn remove(self, client: &Client) -> Result<(), Failure> {
        for number in 0..self.namespaces {
            let releases = Api::<AssetRelease>::namespaced(client.clone(), &self.namespace(number));
            let stores = Api::<AssetStore>::namespaced(client.clone(), &self.namespace(number));
            releases.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
            stores.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
            let begun = Instant::now();
            while !releases.list(&ListParams::default()).await?.items.is_empty() {
                if begun.elapsed() > WAIT_MAX {
                    return Err("the tarpits' releases do not go".into());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        sleep(SETTLED_AFTER).await;
        Ok(())
    }
}

#[derive(Serialize)]
struct Figures {
    what: String,
    pods: usize,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    name: String,
    times: Option<Distribution>,
    milliseconds: Vec<f64>,
}

impl Case {
    fn new(name: &str, milliseconds: Vec<f64>) -> Self {
        Self { name: name.to_owned(), times: distribution(milliseconds.clone()), milliseconds }
    }
}

/// Without tarpits, beside each arrangement of them, and without again.
pub async fn measure(given: &Given, count: usize) -> Result<String, Failure> {
    Kind::Silent.serve(SILENT_PORT).await?;
    Kind::Dripping.serve(DRIPPING_PORT).await?;
    let mut neighbour = Neighbour { world: World::make(given, Channel::Condition).await?, given, released: 0 };
    let mut without = neighbour.release(count).await?;
    let mut cases = Vec::new();
    for kind in [Kind::Silent, Kind::Dripping] {
        for (count_of, namespaces) in [(20, 1), (20, SPREAD_OVER), (200, 1), (200, SPREAD_OVER)] {
            let tarpits = Tarpits { kind, count: count_of, namespaces };
            cases.push(Case::new(&tarpits.name(), neighbour.release_beside(tarpits, count).await?));
        }
    }
    let answering = Tarpits { kind: Kind::Answering, count: 200, namespaces: SPREAD_OVER };
    cases.push(Case::new(&answering.name(), neighbour.release_beside(answering, count).await?));
    without.extend(neighbour.release(count).await?);
    cases.insert(0, Case::new("none", without));
    let what = "new version in the spec -> flipped pointer seen by a third client, beside tarpits".to_owned();
    let figures = Figures { what, pods: given.pods, cases };
    std::fs::write(&given.out, serde_json::to_vec_pretty(&figures)?)?;
    Ok(table(&figures))
}

/// Who has nothing to do with the tarpits.
struct Neighbour<'a> {
    world: World,
    given: &'a Given,
    released: usize,
}

impl Neighbour<'_> {
    /// Releases while the tarpits are being made, and then while they are asked.
    async fn release_beside(&mut self, tarpits: Tarpits, count: usize) -> Result<Vec<f64>, Failure> {
        let client = self.world.client.clone();
        let made = tokio::spawn(async move { tarpits.make(&client).await });
        let times = self.release(count).await?;
        made.await??;
        tarpits.remove(&self.world.client).await?;
        Ok(times)
    }

    /// New versions one after another, each fetched, uploaded, asked for, staged, reported and flipped.
    async fn release(&mut self, count: usize) -> Result<Vec<f64>, Failure> {
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let version = self.new_version()?;
            let flip = self.world.flip(&version, Duration::ZERO).await?;
            times.push((flip.seen - flip.asked).as_secs_f64() * 1000.0);
            // In no step with anything that happens every so often.
            sleep(Duration::from_millis(200 + (number as u64 * 37) % 300)).await;
        }
        Ok(times)
    }

    /// The two builds in turn, so that no version is the build that is active.
    fn new_version(&mut self) -> Result<String, Failure> {
        self.released += 1;
        let (build, version) = (if self.released % 2 == 1 { "v1" } else { "v2" }, format!("n{}", self.released));
        let archive = |name: &str| self.given.builds.join(format!("{name}.tar.gz"));
        std::fs::copy(archive(build), archive(&version))?;
        Ok(version)
    }
}

fn table(figures: &Figures) -> String {
    let without = figures.cases.first().and_then(|case| case.times.as_ref()).map_or(f64::NAN, |times| times.p99);
    let rows = figures.cases.iter().filter_map(|case| {
        let times = case.times.as_ref()?;
        Some(row(&format!("{}, p99 x {:.2}", case.name, times.p99 / without), times))
    });
    format!("{}, {} pods\n\n{}{}", figures.what, figures.pods, figures::HEAD, rows.collect::<String>())
}
