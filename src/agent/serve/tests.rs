//! The servers' answers, asked in-process.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Method, Request, Response, header};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tower::ServiceExt as _;

use super::*;
use crate::agent::catalogue::Known;
use crate::agent::core::{Publication, Rendered};
use crate::agent::fetch::{Fetch, FetchError, FetchedManifest, Pieces};
use crate::agent::mirror::Memory;
use crate::agent::testing::{asset, entry, pointed, unversioned};
use crate::api::pointer::PROTOCOL;
use crate::api::{ContentHash, ManifestDigest, PointedVersion, Report};
use crate::manifest::{Manifest, ManifestFile};

const BASE: &str = "http://store/shop/";

/// A store that counts, and answers after a moment, so that requests meet.
#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Bytes>>,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Fetch for Store {
    async fn get(&self, url: &str) -> Result<Pieces, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let bytes = self.objects.lock().unwrap().get(url).cloned();
        let bytes = bytes.ok_or_else(|| FetchError::Missing { url: url.into(), status: 404 })?;
        Ok(futures::stream::iter([Ok(bytes)]).boxed())
    }
}

struct World {
    store: Arc<Store>,
    mirror: Arc<Memory>,
    known: Vec<Known>,
    catalogue: watch::Sender<Arc<Catalogue>>,
    publications: watch::Sender<Option<Publication>>,
    draining: watch::Sender<bool>,
    inbox: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
}

impl World {
    fn new(base_path: &str, burst: u32) -> Self {
        let (store, mirror) = (Arc::new(Store::default()), Arc::new(Memory::default()));
        let (catalogue, publications) = (watch::Sender::new(Arc::default()), watch::Sender::new(None));
        let draining = watch::Sender::new(false);
        let (events, inbox) = mpsc::channel(8);
        let shared = Shared {
            catalogue: catalogue.subscribe(),
            publications: publications.subscribe(),
            served: watch::Sender::new(0),
            draining: draining.subscribe(),
            events,
            base_path: base_path.into(),
            unknown_hash: UnknownHash::Redirect,
            mirror: mirror.clone(),
            misses: Misses::new(store.clone(), mirror.clone(), 1, burst),
            metrics: Metrics::new(Default::default()),
        };
        Self { store, mirror, known: Vec::new(), catalogue, publications, draining, inbox, shared: Arc::new(shared) }
    }

    /// A world that serves `v2` of a shop with several pages and still holds `v1`.
    async fn shop() -> Self {
        let mut world = Self::new("", 2);
        let old = [("assets/app-1.js", "old"), ("index.html", "home 1")];
        let new = [
            ("assets/app-2.js", "0123456789"),
            ("index.html", "home 2"),
            ("about.html", "about"),
            ("cart/index.html", "cart"),
            ("404.html", "own"),
            ("robots.txt", "robots"),
        ];
        world.hold("v1", &old).await;
        let active = world.hold("v2", &new).await;
        world.serve(Some(&active));
        world
    }

    fn know(&mut self, version: &str, files: &[(&str, &str)]) -> (PointedVersion, FetchedManifest) {
        let files = files.iter().map(|(path, bytes)| {
            let file = match path.split_once('/') {
                Some(("assets", _)) => asset(path, bytes.as_bytes()),
                Some(("img", _)) => unversioned(path, bytes.as_bytes()),
                _ => entry(path, bytes.as_bytes()),
            };
            self.store.objects.lock().unwrap().insert(format!("{BASE}{}", file.key()), Bytes::copy_from_slice(bytes.as_bytes()));
            file
        });
        let manifest = Arc::new(Manifest::new(files.collect::<Vec<ManifestFile>>()));
        let pointed = pointed(version, &manifest, BASE);
        self.known.insert(0, Known { pointed: pointed.clone(), manifest: manifest.clone(), complete: false });
        (pointed, FetchedManifest { stored: manifest.to_bytes().into(), manifest })
    }

    async fn hold(&mut self, version: &str, files: &[(&str, &str)]) -> PointedVersion {
        let (pointed, fetched) = self.know(version, files);
        self.mirror.load(&pointed, &fetched, &*self.store).await.unwrap();
        self.known[0].complete = true;
        self.store.asked.store(0, Ordering::SeqCst);
        pointed
    }

    fn serve(&self, active: Option<&PointedVersion>) {
        self.catalogue.send_replace(Arc::new(Catalogue::new(self.known.clone(), active)));
    }

    fn asked(&self) -> usize {
        self.store.asked.swap(0, Ordering::SeqCst)
    }

    async fn request(&self, method: Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        Answer::of(site(&self.shared).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    async fn ask_pod(&self, method: Method, path: &str, from: &str, body: &str) -> Answer {
        let peer = SocketAddr::new(from.parse::<IpAddr>().unwrap(), 1);
        let router = pod(&self.shared).layer(MockConnectInfo(peer));
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        Answer::of(router.oneshot(request).await.unwrap()).await
    }

    fn publish(&self, revision: u64, stage: i64, settled: bool) {
        let report = Report {
            protocol: PROTOCOL,
            pointer: None,
            pod_uid: "p".into(),
            instance: "i".into(),
            joining: false,
            stage,
            sequence: 1,
            available: vec![],
            serving: None,
            serving_sequence: None,
            problem: None,
        };
        self.publications.send_replace(Some(Publication { revision, report, ready: true, reason: "Available", settled, map_sequence: 1 }));
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Self { status, headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn is(&self, status: u16, body: &str) -> bool {
        self.status == status && self.body == body
    }
}

#[tokio::test]
async fn assets_of_every_held_version_are_served_for_ever_and_to_other_hosts() {
    let world = World::shop().await;
    for (path, bytes) in [("/assets/app-1.js", "old"), ("/assets/app-2.js", "0123456789")] {
        let answer = world.get(path).await;
        assert!(answer.is(200, bytes), "{answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(answer.header(header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert_eq!(answer.header(header::ETAG), format!("\"{}\"", ContentHash::of(bytes.as_bytes())));
    }
}

#[tokio::test]
async fn what_was_compressed_beforehand_goes_to_who_accepts_it() {
    let mut world = World::new("", 2);
    let files = [
        ("assets/app-1.js", "0123456789"),
        ("assets/app-1.js.br", "BR"),
        ("assets/app-1.js.gz", "GZIP"),
        ("assets/lone-1.js", "alone"),
        ("about.html", "a long page"),
        ("about.html.gz", "PAGE"),
    ];
    let active = world.hold("v1", &files).await;
    world.serve(Some(&active));
    let tag = |bytes: &str| format!("\"{}\"", ContentHash::of(bytes.as_bytes()));
    for (path, accepts, body, encoding, kind) in [
        ("/assets/app-1.js", "gzip, deflate, br", "BR", "br", "text/javascript; charset=utf-8"),
        ("/assets/app-1.js", "gzip", "GZIP", "gzip", "text/javascript; charset=utf-8"),
        ("/assets/app-1.js", "br;q=0", "0123456789", "", "text/javascript; charset=utf-8"),
        ("/about", "br, gzip", "PAGE", "gzip", "text/html; charset=utf-8"),
    ] {
        let answer = world.request(Method::GET, path, &[(header::ACCEPT_ENCODING, accepts)]).await;
        assert!(answer.is(200, body), "{path} {accepts}: {answer:?}");
        assert_eq!((answer.header(header::CONTENT_ENCODING), answer.header(header::CONTENT_TYPE)), (encoding, kind), "{path} {accepts}");
        assert_eq!((answer.header(header::VARY), answer.header(header::ETAG)), ("accept-encoding", &*tag(body)), "{path} {accepts}");
        assert_eq!(answer.header(header::ACCEPT_RANGES), if encoding.is_empty() { "bytes" } else { "none" });
    }
    let accepts = (header::ACCEPT_ENCODING, "br");
    let ranged = world.request(Method::GET, "/assets/app-1.js", &[accepts.clone(), (header::RANGE, "bytes=0-3")]).await;
    assert!(ranged.is(206, "0123") && ranged.header(header::CONTENT_ENCODING).is_empty(), "{ranged:?}");
    let known = world.request(Method::GET, "/assets/app-1.js", &[accepts.clone(), (header::IF_NONE_MATCH, &tag("BR"))]).await;
    assert!(known.is(304, "") && known.header(header::VARY) == "accept-encoding", "{known:?}");
    let stale = world.request(Method::GET, "/assets/app-1.js", &[accepts.clone(), (header::IF_NONE_MATCH, &tag("0123456789"))]).await;
    assert!(stale.is(200, "BR"), "another form is another entity: {stale:?}");
    let lone = world.request(Method::GET, "/assets/lone-1.js", &[accepts]).await;
    assert!(lone.is(200, "alone") && lone.header(header::VARY).is_empty(), "{lone:?}");
    let itself = world.get("/assets/app-1.js.br").await;
    assert!(itself.is(200, "BR") && itself.header(header::CONTENT_ENCODING) == "br", "{itself:?}");
}

/// I11: pages are those of the served version and of no other.
#[tokio::test]
async fn pages_are_those_of_the_served_version_under_clean_urls() {
    let world = World::shop().await;
    for (path, page) in [
        ("/", "home 2"),
        ("/index.html", "home 2"),
        ("/?utm=1", "home 2"),
        ("/about", "about"),
        ("/about.html", "about"),
        ("/cart/", "cart"),
        ("/robots.txt", "robots"),
    ] {
        let answer = world.get(path).await;
        assert!(answer.is(200, page), "{path}: {answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache");
    }
}

/// Relative references of a page lead elsewhere under another path, as on the host that the site had before.
#[tokio::test]
async fn a_page_has_one_path_and_others_lead_to_it_with_their_query() {
    let world = World::shop().await;
    for (path, location) in [
        ("/cart", "./cart/"),
        ("/cart?utm=1&x=%20", "./cart/?utm=1&x=%20"),
        ("/c%61rt", "./c%61rt/"),
        ("/about/", "../about"),
        ("/about/?utm=1", "../about?utm=1"),
        ("/about%2F", "./about"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = world.request(method, path, &[]).await;
            assert!(answer.is(301, ""), "{path}: {answer:?}");
            assert_eq!((answer.header(header::LOCATION), answer.header(header::CACHE_CONTROL)), (location, "no-cache"), "{path}");
        }
    }
    for path in ["//evil.example.com", "//evil.example.com/cart", "/\\evil.example.com/cart", "/cart/index.html/"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_base_itself_leads_to_the_folder_of_the_first_page() {
    let mut world = World::new("/shop", 2);
    let active = world.hold("v1", &[("index.html", "home")]).await;
    world.serve(Some(&active));
    let answer = world.get("/shop?a=b").await;
    assert_eq!((answer.status, answer.header(header::LOCATION)), (301, "./shop/?a=b"));
    assert!(world.get("/shop/").await.is(200, "home"));
}

/// Seed systems make `a-rfgt45jfsg.js` of `a.js` where a page is served, and the next version knows only the plain name.
#[tokio::test]
async fn an_unknown_hash_in_a_name_leads_to_the_plain_name_for_once() {
    let mut world = World::new("", 2);
    let files = [("index.html", "home"), ("img/a.js", "plain"), ("img/b c.js", "plain"), ("assets/x.js", "asset")];
    let active = world.hold("v1", &files).await;
    world.serve(Some(&active));
    for (path, location) in
        [("/img/a-rfgt45jfsg.js?v=1", "./a.js?v=1"), ("/img/a.3a4f5b6c.js", "./a.js"), ("/img/b%20c-3a4f5b6c.js", "./b%20c.js")]
    {
        let answer = world.get(path).await;
        assert!(answer.is(302, ""), "{path}: {answer:?}");
        assert_eq!((answer.header(header::LOCATION), answer.header(header::CACHE_CONTROL)), (location, "no-store"), "{path}");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{path}");
    }
    for path in ["/img%2Fa-rfgt45jfsg.js", "/img/c-rfgt45jfsg.js", "/img/a-checkout.js", "/assets/x-3a4f5b6c.js", "/index-3a4f5b6c.html"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
    let shared = Shared { unknown_hash: UnknownHash::NotFound, ..Arc::into_inner(world.shared).expect("nothing else holds it") };
    world.shared = Arc::new(shared);
    assert_eq!(world.get("/img/a-rfgt45jfsg.js").await.status, 404, "unless it is asked for");
}

#[tokio::test]
async fn a_single_page_application_answers_its_paths_and_assets_stay_a_404() {
    let mut world = World::new("", 2);
    let files = [("index.html", "app"), ("200.html", "usual"), ("404.html", "own"), ("assets/app-1.js", "x")];
    let active = world.hold("v1", &files).await;
    let named = PointedVersion { fallback: Some("index.html".into()), ..active.clone() };
    let gone = PointedVersion { fallback: Some("gone.html".into()), ..active.clone() };
    let html = [(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")];
    for (serving, page) in [(&named, "app"), (&active, "usual")] {
        world.serve(Some(serving));
        for path in ["/users/7", "/users/", "/a.html", "/users/john.doe"] {
            let answer = world.request(Method::GET, path, &html).await;
            assert!(answer.is(200, page), "{path}: {answer:?}");
            assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache", "{path}");
            assert_eq!(answer.header(header::VARY), if path.ends_with("doe") { "accept" } else { "" }, "{path}");
        }
        for path in ["/assets/gone.js", "/assets/none", "/gone.js", "/gone.css", "/logo.png"] {
            let answer = world.request(Method::GET, path, &html).await;
            assert!(answer.is(404, "not found\n"), "a page cached under a script's name breaks the site: {path}: {answer:?}");
            assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{path}");
        }
        assert!(world.request(Method::GET, "/users/john.doe", &[(header::ACCEPT, "*/*")]).await.is(404, "not found\n"));
    }
    world.serve(Some(&gone));
    assert!(world.get("/users/7").await.is(404, "own"), "a page that the build lacks answers nothing");
    assert!(world.request(Method::GET, "/users/john.doe", &html).await.is(404, "own"), "a person gets the site's own page");
}

/// Routes of the application may be called as folders of pictures are, or lie around a folder of assets.
#[tokio::test]
async fn a_route_beside_pictures_or_around_assets_is_a_page_and_what_programs_ask_for_is_none() {
    let mut world = World::new("", 2);
    let files = [("app/index.html", "app"), ("img/a.jpg", "picture"), ("assets/app-1.js", "x"), ("assets/fonts/deep/a-1.woff2", "x")];
    let active = world.hold("v1", &files).await;
    let active = PointedVersion { fallback: Some("app/index.html".into()), ..active };
    world.serve(Some(&active));
    for path in ["/app/users/7", "/img/7", "/app/"] {
        assert!(world.get(path).await.is(200, "app"), "{path}");
    }
    for path in ["/assets/7", "/assets/fonts/7", "/.well-known/change-password", "/.well-known/apple-app-site-association"] {
        assert!(world.get(path).await.is(404, "not found\n"), "{path}");
    }
}

/// An old tab keeps its picture, and never gets a page or a service worker of another version.
#[tokio::test]
async fn what_is_no_page_and_the_served_version_lacks_comes_from_another_known_version() {
    let mut world = World::new("", 2);
    let old = [
        ("img/hero.jpg", "hero 1"),
        ("img/gone.jpg", "gone"),
        ("data.json", "{}"),
        ("index.html", "home 1"),
        ("old.html", "old"),
        ("sw.js", "worker"),
    ];
    world.hold("v1", &old).await;
    world.know("v0", &[("img/older.jpg", "older")]);
    let active = world.hold("v2", &[("img/hero.jpg", "hero 2"), ("index.html", "home 2"), ("404.html", "own")]).await;
    world.serve(None);
    assert!(world.get("/img/gone.jpg").await.is(503, "no version is active yet\n"), "nothing is served before a version is");
    world.serve(Some(&active));
    for (path, bytes) in [("/img/hero.jpg", "hero 2"), ("/img/gone.jpg", "gone"), ("/img/older.jpg", "older"), ("/data.json", "{}")] {
        let answer = world.get(path).await;
        assert!(answer.is(200, bytes), "{path}: {answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache", "{path}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
    }
    assert_eq!(world.get("/img/gone.jpg").await.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    for (path, status, body) in [("/sw.js", 404, "not found\n"), ("/old", 404, "own"), ("/old.html", 404, "own"), ("/img/none", 404, "own")]
    {
        let answer = world.get(path).await;
        assert!(answer.is(status, body), "{path}: {answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_never_cached_and_an_assets_path_never_gets_html() {
    let world = World::shop().await;
    for path in ["/assets/app-9.js", "/assets/none", "/fonts/x.woff2", "/sw.js", "/.rollcall/owner.json", "/assets/../index.html"] {
        let answer = world.get(path).await;
        assert!(answer.is(404, "not found\n"), "{path}: {answer:?}");
        assert_eq!((answer.header(header::CACHE_CONTROL), answer.header(header::ETAG)), ("no-store", ""));
        assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    }
    for path in ["/nowhere", "/nowhere/deep/", "/nowhere.html"] {
        let answer = world.get(path).await;
        assert!(answer.is(404, "own"), "{path}: {answer:?}");
        assert_eq!((answer.header(header::CACHE_CONTROL), answer.header(header::ETAG)), ("no-store", ""));
        assert_eq!(answer.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    }
    assert_eq!(world.asked(), 0, "no manifest has these names");
}

#[tokio::test]
async fn before_the_first_version_the_site_asks_to_come_again() {
    let mut world = World::new("", 1);
    assert_eq!(world.get("/").await.status, 503);
    assert_eq!(world.get("/assets/app-1.js").await.status, 503, "other pods may have it");
    let candidate = world.hold("v1", &[("assets/app-1.js", "old"), ("index.html", "home")]).await;
    world.serve(None);
    assert_eq!(world.get("/").await.status, 503, "a candidate's pages are not served");
    assert!(world.get("/assets/app-1.js").await.is(200, "old"), "its assets are");
    world.serve(Some(&candidate));
    assert!(world.get("/").await.is(200, "home"));
}

#[tokio::test]
async fn ranges_heads_and_conditional_requests_are_answered_by_the_book() {
    let world = World::shop().await;
    let path = "/assets/app-2.js";
    let part = world.request(Method::GET, path, &[(header::RANGE, "bytes=2-4")]).await;
    assert!(part.is(206, "234"), "{part:?}");
    assert_eq!((part.header(header::CONTENT_RANGE), part.header(header::CONTENT_LENGTH)), ("bytes 2-4/10", "3"));
    let beyond = world.request(Method::GET, path, &[(header::RANGE, "bytes=20-")]).await;
    assert_eq!(
        (beyond.status, beyond.header(header::CONTENT_RANGE), beyond.header(header::CACHE_CONTROL)),
        (416, "bytes */10", "no-store")
    );
    let head = world.request(Method::HEAD, path, &[]).await;
    assert!(head.is(200, ""), "{head:?}");
    assert_eq!(head.header(header::CONTENT_LENGTH), "10");
    let tag = head.header(header::ETAG).to_owned();
    let unchanged = world.request(Method::GET, path, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert!(unchanged.is(304, ""), "{unchanged:?}");
    assert_eq!(unchanged.header(header::ETAG), tag);
    let posted = world.request(Method::POST, "/", &[]).await;
    assert_eq!((posted.status, posted.header(header::ALLOW)), (405, "GET, HEAD"));
}

#[tokio::test]
async fn a_site_below_a_path_answers_only_there() {
    let mut world = World::new("/shop", 1);
    let version = world.hold("v1", &[("assets/app-1.js", "old"), ("index.html", "home")]).await;
    world.serve(Some(&version));
    for (path, status) in [("/shop", 301), ("/shop/", 200), ("/shop/assets/app-1.js", 200), ("/", 404), ("/shopping", 404)] {
        assert_eq!(world.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_miss_for_a_known_name_is_fetched_once_verified_and_served() {
    let mut world = World::shop().await;
    world.know("v0", &[("assets/gone-0.js", "gone")]);
    world.serve(None);
    let answers = futures::future::join_all((0..20).map(|_| world.get("/assets/gone-0.js"))).await;
    assert!(answers.iter().all(|answer| answer.is(200, "gone")), "{answers:?}");
    assert_eq!(world.asked(), 1);
    assert!(world.get("/assets/gone-0.js").await.is(200, "gone"));
    assert_eq!(world.asked(), 0, "it stays for a while");
}

#[tokio::test]
async fn wrong_bytes_from_the_store_are_not_served() {
    let mut world = World::shop().await;
    world.know("v0", &[("assets/gone-0.js", "gone")]);
    world.serve(None);
    world.store.objects.lock().unwrap().insert(format!("{BASE}assets/gone-0.js"), Bytes::from_static(b"evil"));
    let answer = world.get("/assets/gone-0.js").await;
    assert_eq!((answer.status, answer.header(header::CACHE_CONTROL)), (503, "no-store"));
    world.store.objects.lock().unwrap().clear();
    assert_eq!(world.get("/assets/gone-0.js").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn misses_do_not_ask_the_store_faster_than_the_rate() {
    let mut world = World::shop().await;
    world.know("v0", &[("assets/a-0.js", "a"), ("assets/b-0.js", "b"), ("assets/c-0.js", "c")]);
    world.serve(None);
    assert_eq!(world.get("/assets/a-0.js").await.status, 200);
    assert_eq!(world.get("/assets/b-0.js").await.status, 200);
    let busy = world.get("/assets/c-0.js").await;
    assert_eq!((busy.status, busy.header(header::RETRY_AFTER), busy.header(header::CACHE_CONTROL)), (503, "1", "no-store"));
    assert_eq!(world.asked(), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(world.get("/assets/c-0.js").await.is(200, "c"));
}

#[tokio::test]
async fn a_file_that_vanished_is_fetched_and_the_loop_told() {
    let mut world = World::shop().await;
    world.mirror.lose(&ContentHash::of(b"0123456789"));
    assert!(world.get("/assets/app-2.js").await.is(200, "0123456789"));
    assert_eq!(world.inbox.try_recv().unwrap(), Event::Lost { digest: world.known[0].pointed.digest.clone() });
}

#[tokio::test]
async fn a_pod_that_drains_is_not_ready_but_serves_and_ends_its_connections() {
    let world = World::shop().await;
    assert_eq!(world.ask_pod(Method::GET, "/readyz", "10.0.0.9", "").await.status, 503, "no report yet");
    world.publish(1, 1, true);
    assert_eq!(world.ask_pod(Method::GET, "/readyz", "10.0.0.9", "").await.status, 200);
    world.draining.send_replace(true);
    assert_eq!(world.ask_pod(Method::GET, "/readyz", "10.0.0.9", "").await.status, 503);
    let answer = world.get("/").await;
    assert!(answer.is(200, "home 2"));
    assert_eq!(answer.header(header::CONNECTION), "close");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_an_answer_to_its_stage() {
    let world = World::shop().await;
    world.publish(1, 1, true);
    let at_once = world.ask_pod(Method::GET, "/v1/availability", "10.0.0.9", "").await;
    assert_eq!(Report::parse(&at_once.body).unwrap().stage, 1);
    let (answer, ()) = tokio::join!(world.ask_pod(Method::GET, "/v1/availability?wait=30s&stage=2", "10.0.0.9", ""), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.publish(2, 2, false);
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.publish(3, 2, true);
    });
    assert_eq!(answer.header(header::ETAG), "\"i-3\"", "not while it is loading");
    assert_eq!(*world.shared.served.borrow(), 3);
    let waited = world.ask_pod(Method::GET, "/v1/availability?wait=30s&stage=3", "10.0.0.9", "").await;
    assert_eq!(Report::parse(&waited.body).unwrap().stage, 2, "after the wait the report as it is");
}

#[tokio::test]
async fn the_name_map_is_that_of_the_served_version() {
    let world = World::shop().await;
    let answer = world.ask_pod(Method::GET, "/v1/manifest", "10.0.0.9", "").await;
    assert!(answer.is(200, r#"{"assets/app-2.js":"https://cdn.example.com/shop/assets/app-2.js"}"#), "{answer:?}");
    assert_eq!(answer.headers["rollcall-digest"], world.known[0].pointed.digest.as_str());
    assert_eq!(answer.header(header::ETAG), format!("\"{}\"", ContentHash::of(answer.body.as_bytes())));
    assert_eq!(answer.headers["rollcall-sequence"], "0", "nothing is published yet");
    world.publish(1, 1, true);
    let answer = world.ask_pod(Method::GET, "/v1/manifest", "10.0.0.9", "").await;
    assert_eq!(answer.headers["rollcall-sequence"], "1");
}

/// I11: a wrong confirmation could let the next flip pass too early.
#[tokio::test]
async fn only_the_pod_itself_confirms_what_it_renders_with() {
    let mut world = World::shop().await;
    let digest = world.known[1].pointed.digest.clone();
    let other = ManifestDigest::of(b"other");
    let by_digest = |digest: &ManifestDigest| format!(r#"{{"digest":"{digest}"}}"#);
    for (from, body, status) in [
        ("10.0.0.9", by_digest(&digest), 403),
        ("127.0.0.1", by_digest(&digest), 204),
        ("::1", by_digest(&other), 204),
        ("::ffff:127.0.0.1", r#"{"version":"v1"}"#.into(), 204),
        ("127.0.0.1", r#"{"version":"v9"}"#.into(), 404),
        ("127.0.0.1", r#"{"digest":"v9"}"#.into(), 400),
        ("127.0.0.1", format!(r#"{{"digest":"{digest}","sequence":7,"more":true}}"#), 204),
        ("127.0.0.1", r#"{"version":"v1","sequence":8}"#.into(), 204),
        ("127.0.0.1", format!(r#"{{"digest":"{digest}","sequence":-1}}"#), 400),
        ("127.0.0.1", format!(r#"{{"digest":"{digest}","version":"v1"}}"#), 400),
        ("127.0.0.1", r#"{"sequence":8}"#.into(), 400),
    ] {
        let answer = world.ask_pod(Method::PUT, "/v1/serving", from, &body).await;
        assert_eq!(answer.status, status, "{from} {body}: {}", answer.body);
    }
    let told: Vec<Event> = std::iter::from_fn(|| world.inbox.try_recv().ok()).collect();
    let with = |digest: &ManifestDigest, sequence| Event::Confirmed { rendered: Some(Rendered { digest: digest.clone(), sequence }) };
    let confirmed = |digest: &ManifestDigest| with(digest, None);
    let numbered = [with(&digest, Some(7)), with(&digest, Some(8))];
    assert_eq!(told, [vec![confirmed(&digest), confirmed(&other), confirmed(&digest)], numbered.to_vec()].concat());
}

#[tokio::test]
async fn metrics_show_readiness_versions_and_answers() {
    let world = World::shop().await;
    world.publish(1, 7, true);
    world.get("/").await;
    let text = world.ask_pod(Method::GET, "/metrics", "10.0.0.9", "").await.body;
    for line in ["rollcall_agent_ready 1", "rollcall_agent_stage 7", "rollcall_agent_answers_total{code=\"200\"} 1"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(world.ask_pod(Method::GET, "/healthz", "10.0.0.9", "").await.status, 200);
}
