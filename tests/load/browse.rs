//! Visitors: each loads one page after the other with everything the page refers to, however deep.
//! It must never leave out a piece: lazy chunks count, since a visitor may want them long after the page came.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rollcall::clock::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::fetch::{Answer, Fetcher};
use crate::judge::{self, Bytes, Flaw};
use crate::references;
use crate::tally::{Failure, PageLoad, Tally};

/// Browsers open at most this many connections to a host.
const CONNECTIONS: usize = 6;

/// A page that refers to more than this is not a page of ours; it bounds a chain of scripts that never ends.
const PIECES_MAX: usize = 2000;

/// What the visitors do.
#[derive(clap::Args, Clone)]
pub struct Settings {
    /// The site, ending in `/`. Nothing else is asked.
    #[arg(long)]
    url: Url,
    /// Pages below it, taken in turn.
    #[arg(long = "page", default_values = ["", "about.html", "cart/"])]
    pages: Vec<String>,
    /// Visitors at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    clients: u64,
    /// Seconds; SIGINT and SIGTERM end it earlier.
    #[arg(long = "for", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Page loads.
    #[arg(long, default_value_t = 100_000)]
    max_loads: u64,
    /// Milliseconds that each visitor waits between two page loads.
    #[arg(long, default_value_t = 50)]
    pause: u64,
    /// Seconds between two lines on standard error that tell how it goes; 0 for none.
    #[arg(long, default_value_t = 0)]
    live: u64,
    /// Response header that names the pod.
    #[arg(long, default_value = "x-pod")]
    pod_header: String,
}

struct Visitors {
    settings: Settings,
    fetcher: Fetcher,
    bytes: Bytes,
    tally: Mutex<Tally>,
    begun: AtomicU64,
    stop: CancellationToken,
}

/// Lets the visitors visit and gives the summary.
pub async fn run(settings: &Settings) -> Result<String, String> {
    if !settings.url.as_str().ends_with('/') {
        return Err(format!("--url {} must end with /", settings.url));
    }
    let fetcher = Fetcher::new(&settings.pod_header)?;
    let (stop, begun) = (CancellationToken::new(), AtomicU64::new(0));
    let visitors =
        Arc::new(Visitors { settings: settings.clone(), fetcher, bytes: Bytes::default(), tally: Mutex::default(), begun, stop });
    let limits = tokio::spawn(stop_in_time(Arc::clone(&visitors)));
    let live = tokio::spawn(tell(Arc::clone(&visitors)));
    let visits: Vec<_> = (0..settings.clients).map(|_| tokio::spawn(visit(Arc::clone(&visitors)))).collect();
    for visit in visits {
        visit.await.map_err(|error| format!("a visitor died: {error}"))?;
    }
    limits.abort();
    live.abort();
    Ok(visitors.tally().summary())
}

async fn stop_in_time(visitors: Arc<Visitors>) -> Result<(), std::io::Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(visitors.settings.seconds)) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    visitors.stop.cancel();
    Ok(())
}

async fn tell(visitors: Arc<Visitors>) {
    if visitors.settings.live == 0 {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_secs(visitors.settings.live)).await;
        let line = visitors.tally().line();
        // The count goes on when nobody reads the lines.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    }
}

async fn visit(visitors: Arc<Visitors>) {
    let pause = Duration::from_millis(visitors.settings.pause);
    while !visitors.stop.is_cancelled() {
        let number = visitors.begun.fetch_add(1, Ordering::Relaxed);
        if number >= visitors.settings.max_loads {
            return;
        }
        let load = visitors.load(number).await;
        visitors.tally().add(load);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = visitors.stop.cancelled() => {}
        }
    }
}

/// A page load that is going on.
struct Progress {
    page: String,
    version: String,
    seen: BTreeSet<Url>,
    queue: VecDeque<Url>,
    requests: u64,
    retries: u64,
    failures: Vec<Failure>,
}

impl Visitors {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds the tally")
    }

    async fn load(&self, number: u64) -> PageLoad {
        let pages = &self.settings.pages;
        let page = &pages[usize::try_from(number).unwrap_or(0) % pages.len()];
        let (started, clock) = (SystemClock.now(), Instant::now());
        let mut progress = Progress::of(page);
        self.page(&mut progress).await;
        self.assets(&mut progress).await;
        let Progress { version, requests, retries, failures, .. } = progress;
        PageLoad { version, started, took: clock.elapsed(), requests, retries, failures }
    }

    async fn page(&self, progress: &mut Progress) {
        let Ok(url) = self.settings.url.join(&progress.page) else {
            return progress.fail(&self.settings.url, None, (Flaw::Elsewhere, "not a path".into()));
        };
        let fetched = self.fetcher.get(&url).await;
        progress.count(fetched.retries);
        let pod = fetched.answer.as_ref().ok().and_then(|answer| answer.pod.clone());
        if let Err(flaw) = judge::page(&fetched.answer) {
            return progress.fail(&url, pod, flaw);
        }
        let html = fetched.answer.map(|answer| answer.body).unwrap_or_default();
        let read = references::of_page(&String::from_utf8_lossy(&html));
        match read.version {
            Some(version) => progress.version = version,
            None => progress.fail(&url, pod, (Flaw::NoVersion, format!("{} bytes", html.len()))),
        }
        self.want(progress, references::resolve(&url, &read.references));
    }

    /// Puts what was not asked for yet into the queue.
    fn want(&self, progress: &mut Progress, urls: Vec<Url>) {
        for url in urls {
            if progress.seen.len() >= PIECES_MAX || !progress.seen.insert(url.clone()) {
                continue;
            }
            if url.as_str().starts_with(self.settings.url.as_str()) {
                progress.queue.push_back(url);
            } else {
                progress.fail(&url, None, (Flaw::Elsewhere, "another host or path than --url".into()));
            }
        }
    }

    async fn assets(&self, progress: &mut Progress) {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < CONNECTIONS
                && let Some(url) = progress.queue.pop_front()
            {
                running.push(async { (self.fetcher.get(&url).await, url) });
            }
            let Some((fetched, url)) = running.next().await else { return };
            progress.count(fetched.retries);
            match judge::asset(&url, &fetched.answer).and_then(|answer| self.same_bytes(progress, &url, answer)) {
                Ok(answer) => self.want(progress, references::of_asset(&url, &answer.content_type, &answer.body)),
                Err(flaw) => progress.fail(&url, fetched.answer.ok().and_then(|answer| answer.pod), flaw),
            }
        }
    }

    fn same_bytes<'a>(&self, progress: &Progress, url: &Url, answer: &'a Answer) -> Result<&'a Answer, (Flaw, String)> {
        self.bytes.judge(&progress.version, url, &answer.body).map(|()| answer)
    }
}

impl Progress {
    fn of(page: &str) -> Self {
        let (seen, queue, failures) = (BTreeSet::new(), VecDeque::new(), Vec::new());
        Self { page: page.to_owned(), version: String::new(), seen, queue, requests: 0, retries: 0, failures }
    }

    fn count(&mut self, retries: u32) {
        self.requests += 1;
        self.retries += u64::from(retries);
    }

    fn fail(&mut self, url: &Url, pod: Option<String>, (flaw, seen): (Flaw, String)) {
        let (at, page, version) = (SystemClock.now(), format!("/{}", self.page), self.version.clone());
        self.failures.push(Failure { at, url: url.to_string(), page, version, flaw, seen, pod });
    }
}

#[cfg(test)]
mod tests;
