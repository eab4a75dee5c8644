//! The naive order, for comparison: a web server for a built site that switches by itself as soon as it hears of a new version.
//! A test program, never a mode of the product. It holds one build at a time, as an image with its build in it does: nothing
//! is staged, nobody is asked. With `--hold` it also holds what it was asked to hold before, so that a script can list the pods, ask each,
//! and then flip. Without `--follow` it serves one folder for ever: the site before Rollcall came, or archives.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Serves a built site from a folder.
#[derive(Parser, Clone)]
#[command(version)]
struct Settings {
    /// The folder; with --follow the folder that has one folder for each version.
    #[arg(long)]
    root: PathBuf,
    /// A file (a mounted ConfigMap's key) that names the version to serve. It is read for every request.
    #[arg(long)]
    follow: Option<PathBuf>,
    /// Assets of earlier versions stay, and `/hold/VERSION` adds those of another one.
    #[arg(long, requires = "follow")]
    hold: bool,
    /// Where to listen.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Name of the pod, for the answer's header `x-pod`.
    #[arg(long, env = "HOSTNAME", default_value = "")]
    pod: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let settings = Settings::parse();
    let listener = tokio::net::TcpListener::bind(settings.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let app = Router::new().fallback(serve).with_state(Arc::new(Site { settings, held: Mutex::default() }));
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served,
        _ = terminate.recv() => Ok(()),
    }
}

/// A pod's site.
struct Site {
    settings: Settings,
    /// Versions whose assets stay, with `--hold`.
    held: Mutex<BTreeSet<String>>,
}

async fn serve(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let mut response = match uri.path().strip_prefix("/hold/").filter(|_| site.settings.hold) {
        Some(version) => hold(&site, version).await,
        None => answer(&site, uri.path()).await,
    };
    if let Ok(pod) = HeaderValue::from_str(&site.settings.pod) {
        response.headers_mut().insert("x-pod", pod);
    }
    response
}

async fn hold(site: &Site, version: &str) -> Response {
    if !version.bytes().all(|byte| byte.is_ascii_alphanumeric()) || !is_folder(&site.settings.root.join(version)).await {
        return StatusCode::NOT_FOUND.into_response();
    }
    site.held.lock().expect("nothing panics while it holds the versions").insert(version.to_owned());
    StatusCode::NO_CONTENT.into_response()
}

async fn answer(site: &Site, path: &str) -> Response {
    let folders = folders(site).await;
    let Some(folder) = folders.first() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no version yet\n").into_response();
    };
    if path.split('/').any(|part| part == "..") || path.contains('\\') {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let name = path.trim_start_matches('/');
    for file in candidates(name) {
        // Pages are of the version that is served; assets of any that is held.
        let among = if content_type(Path::new(&file)).starts_with("text/html") { &folders[..1] } else { &folders[..] };
        for folder in among {
            if let Ok(body) = tokio::fs::read(folder.join(&file)).await {
                return ([(header::CONTENT_TYPE, content_type(Path::new(&file)))], body).into_response();
            }
        }
    }
    if !name.ends_with('/') && tokio::fs::metadata(folder.join(name).join("index.html")).await.is_ok() {
        return Redirect::permanent(&format!("/{name}/")).into_response();
    }
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

/// What the pod holds now, the served version first: nothing of any other version is found.
async fn folders(site: &Site) -> Vec<PathBuf> {
    let settings = &site.settings;
    let Some(file) = &settings.follow else { return vec![settings.root.clone()] };
    let Ok(version) = tokio::fs::read_to_string(file).await else { return Vec::new() };
    let version = version.trim().to_owned();
    let served = settings.root.join(&version);
    if !is_folder(&served).await {
        return Vec::new();
    }
    let mut folders = vec![served];
    if settings.hold {
        let mut held = site.held.lock().expect("nothing panics while it holds the versions");
        held.insert(version);
        folders.extend(held.iter().map(|version| settings.root.join(version)));
    }
    folders
}

async fn is_folder(path: &Path) -> bool {
    tokio::fs::metadata(path).await.is_ok_and(|found| found.is_dir())
}

/// A folder's page, or the file, or the page without its ending.
fn candidates(name: &str) -> Vec<String> {
    if name.is_empty() || name.ends_with('/') {
        return vec![format!("{name}index.html")];
    }
    vec![name.to_owned(), format!("{name}.html")]
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript",
        "css" => "text/css",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(root: &Path) -> Site {
        let (listen, pod) = ("127.0.0.1:0".parse().unwrap(), "p".into());
        let settings = Settings { root: root.into(), follow: Some(root.join("version")), hold: false, listen, pod };
        Site { settings, held: Mutex::default() }
    }

    fn versions(root: &Path) {
        for version in ["v1", "v2"] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::fs::write(root.join(version).join(format!("{version}.js")), version).unwrap();
            std::fs::write(root.join(version).join(format!("{version}.html")), version).unwrap();
        }
    }

    #[tokio::test]
    async fn with_hold_assets_that_it_was_asked_for_or_had_before_stay_but_no_pages() {
        let root = tempfile::tempdir().unwrap();
        versions(root.path());
        let mut site = naive(root.path());
        site.settings.hold = true;
        std::fs::write(root.path().join("version"), "v1").unwrap();
        assert_eq!(answer(&site, "/v1.js").await.status(), 200);
        assert_eq!(answer(&site, "/v2.js").await.status(), 404);
        assert_eq!(hold(&site, "v3").await.status(), 404);
        assert_eq!(hold(&site, "..").await.status(), 404);
        assert_eq!(hold(&site, "v2").await.status(), 204);
        assert_eq!(answer(&site, "/v2.js").await.status(), 200);
        assert_eq!(answer(&site, "/v2.html").await.status(), 404);
        std::fs::write(root.path().join("version"), "v2").unwrap();
        assert_eq!(answer(&site, "/v2.html").await.status(), 200);
        assert_eq!(answer(&site, "/v1.js").await.status(), 200);
    }

    #[tokio::test]
    async fn it_holds_the_version_it_is_told_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        versions(root.path());
        let settings = naive(root.path());
        assert_eq!(answer(&settings, "/v1.js").await.status(), 503);
        std::fs::write(root.path().join("version"), "v1\n").unwrap();
        assert_eq!(answer(&settings, "/v1.js").await.status(), 200);
        assert_eq!(answer(&settings, "/v2.js").await.status(), 404);
        std::fs::write(root.path().join("version"), "v2").unwrap();
        assert_eq!(answer(&settings, "/v1.js").await.status(), 404);
        assert_eq!(answer(&settings, "/v2.js").await.status(), 200);
        assert_eq!(answer(&settings, "/../version").await.status(), 400);
    }

    #[tokio::test]
    async fn a_folder_has_a_page_and_a_page_needs_no_ending() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("cart")).unwrap();
        std::fs::write(root.path().join("cart/index.html"), "").unwrap();
        std::fs::write(root.path().join("about.html"), "").unwrap();
        let mut settings = naive(root.path());
        settings.settings.follow = None;
        assert_eq!(answer(&settings, "/cart/").await.status(), 200);
        assert_eq!(answer(&settings, "/cart").await.status(), 308);
        assert_eq!(answer(&settings, "/about").await.status(), 200);
        assert_eq!(answer(&settings, "/other").await.status(), 404);
    }
}
