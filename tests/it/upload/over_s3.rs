//! The whole way once for real: an archive over HTTP, its files on disk, S3's protocol, a store on disk.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rollcall::api::{BuildManifestSpec, ContentHash, ManifestDigest};
use rollcall::bucket::Bucket;
use rollcall::bucket::s3::S3Bucket;
use rollcall::clock::SystemClock;
use rollcall::egress::Egress;
use rollcall::manifest::{Declared, Layout, Writer};
use rollcall::source::{HttpFetcher, HttpSettings, Source as _, Wanted, Workspace};
use rollcall::upload::{Progress, Publish, Published, Publisher, Tools, entries_confirmed, publish, publish_entries, verify};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shop;
use crate::dev_store::Running;

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, &content[..]).unwrap();
    }
    let mut encoder = builder.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// Serves the archives by name; ends with the test.
async fn serve(archives: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = archives.into_iter().fold(Router::new(), |router, (name, archive)| {
        let archive = axum::body::Bytes::from(archive);
        router.route(&format!("/{name}"), get(move || async move { archive }))
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/")
}

fn fetcher() -> HttpFetcher {
    HttpFetcher::new(HttpSettings { egress: Egress::public_and(vec!["127.0.0.0/8".parse().unwrap()]), ..HttpSettings::default() })
}

async fn published(bucket: Arc<dyn Bucket>, workspace: &Path, version: &str, source: Wanted) -> Published {
    let tools = Tools { bucket, clock: Arc::new(SystemClock), parallel: 8 };
    let request = Publish {
        layout: Layout::new("", "shop/"),
        release: "web/shop".into(),
        version: version.into(),
        publisher: Publisher::Anybody,
        names: BuildManifestSpec::default(),
        declared: Declared { immutable: vec!["assets/**".into()], unversioned: Vec::new() },
        external: Vec::new(),
        base_urls: Vec::new(),
        pin: None,
    };
    let (fetcher, space) = (fetcher(), Workspace::new(workspace, 1 << 30).of("web"));
    publish(&tools, &request, fetcher.fetch(&source, &space), &watch::Sender::new(Progress::default()), &CancellationToken::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn two_versions_of_the_shop_go_from_their_archives_into_a_real_store() {
    // I1, I3, I10
    let (folder, workspace) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = Running::start(folder.path(), "web").await;
    let bucket: Arc<dyn Bucket> = Arc::new(S3Bucket::connect(&store.server().settings("web")).unwrap());
    let mut first = shop::files("v1");
    // Too large to be sent from memory.
    first.push(("assets/film-BEcQUh0e.mp4".into(), (0..600_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()));
    let archives = [packed(&first), packed(&shop::files("v2"))];
    let hashes = archives.clone().map(|archive| ContentHash::of(&archive));
    let [one, two] = archives;
    let base = serve(vec![("v1", one), ("v2", two)]).await;
    let layout = Layout::new("", "shop/");
    let mut sent = Vec::new();
    for ((version, sha256), sequence) in ["v1", "v2"].into_iter().zip(hashes).zip(1..) {
        let wanted = Wanted { url: format!("{base}{version}"), sha256 };
        let published = published(bucket.clone(), workspace.path(), version, wanted).await;
        sent.push(published.progress.objects_sent);
        let digest: &ManifestDigest = &published.record.digest;
        assert!(verify(&*bucket, &layout, digest).await.unwrap().is_complete());
        let writer = Writer { release: "web/shop".into(), version: version.into(), digest: digest.clone() };
        publish_entries(&*bucket, &layout, &published.manifest, sequence, &writer).await.unwrap();
        assert!(entries_confirmed(&*bucket, &layout, &published.manifest).await.unwrap().is_complete());
    }
    assert!(sent[1] < sent[0] * 2 / 3, "{sent:?}");
    let page = bucket.get("shop/index.html", 1 << 20).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&page).contains(r#"content="v2""#));
    assert_eq!(bucket.head("shop/assets/film-BEcQUh0e.mp4").await.unwrap().unwrap().size, 600_000);
    assert_eq!(bucket.list("shop/.rollcall/intents/", None).await.unwrap().objects, []);
    assert!(std::fs::read_dir(workspace.path()).unwrap().next().is_none(), "nothing is left in the workspace");
}

#[tokio::test]
async fn a_fetch_that_is_dropped_while_it_unpacks_leaves_nothing_behind() {
    let files: Vec<(String, Vec<u8>)> = (0..20_000).map(|n| (format!("assets/{n:08x}.js"), n.to_string().into_bytes())).collect();
    let archive = packed(&files);
    let wanted = Wanted { sha256: ContentHash::of(&archive), url: format!("{}a", serve(vec![("a", archive)]).await) };
    let workspace = TempDir::new().unwrap();
    let unpacking = async {
        let begun = || glob(workspace.path()).is_some_and(|folder| folder.join("files").is_dir());
        while !begun() {
            tokio::task::yield_now().await;
        }
    };
    let (fetcher, held) = (fetcher(), Workspace::new(workspace.path(), 1 << 30));
    let space = held.of("web");
    tokio::select! {
        build = fetcher.fetch(&wanted, &space) => panic!("it should take longer than to be noticed: {build:?}"),
        () = unpacking => {}
    }
    let gone = async {
        while glob(workspace.path()).is_some() || held.held() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

fn glob(workspace: &Path) -> Option<std::path::PathBuf> {
    std::fs::read_dir(workspace).unwrap().next().map(|entry| entry.unwrap().path())
}
