//! Visitors: each loads one page after the other with everything the page refers to, however deep.
//! It must never leave out a piece: lazy chunks count, since a visitor may want them long after the page came.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
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

use crate::fetch::{Answer, Connections, Fetched, Fetcher, Idle};
use crate::judge::{self, Bodies, Flaw};
use crate::references::Library;
use crate::tally::{Failure, PageLoad, Tally};

/// Browsers open at most this many connections to a host.
const CONNECTIONS: usize = 6;

/// Connections that a visitor keeps: enough for a page and its assets to come from different pods.
const KEPT: usize = 2;

/// Failed pieces that are written down one by one; the tally counts all.
const FAILURES_MAX: u64 = 50_000;

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
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=512))]
    clients: u64,
    /// Seconds; SIGINT and SIGTERM end it earlier.
    #[arg(long = "for", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=21_600))]
    seconds: u64,
    /// Page loads.
    #[arg(long, default_value_t = 100_000)]
    max_loads: u64,
    /// Milliseconds that each visitor waits between two page loads.
    #[arg(long, default_value_t = 50)]
    pause: u64,
    /// Page loads a second that all of them together aim at: who is late goes on at once. 0: no aim.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    rate: u64,
    /// Seconds between two lines on standard error that tell how it goes; 0 for none.
    #[arg(long, default_value_t = 0)]
    live: u64,
    /// Response header that names the pod.
    #[arg(long, default_value = "x-pod")]
    pod_header: String,
    /// Whether connections are kept.
    #[arg(long, value_enum, default_value_t = Connections::New)]
    connections: Connections,
    /// A folder with one folder for each version, as it was built: every page and asset must have exactly these bytes.
    #[arg(long)]
    builds: Option<PathBuf>,
    /// Where each failed piece is written, a line of JSON each.
    #[arg(long)]
    failures: Option<PathBuf>,
}

struct Visitors {
    settings: Settings,
    fetcher: Fetcher,
    pages: Vec<(String, Url)>,
    bodies: Bodies,
    library: Library,
    failures: Option<Mutex<File>>,
    written: AtomicU64,
    tally: Mutex<Tally>,
    begun: AtomicU64,
    since: Instant,
    stop: CancellationToken,
}

/// Lets the visitors visit and gives the summary.
pub async fn run(settings: &Settings) -> Result<String, String> {
    if !settings.url.as_str().ends_with('/') {
        return Err(format!("--url {} must end with /", settings.url));
    }
    let visitors = Arc::new(Visitors::of(settings).await?);
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
    let idle = (visitors.settings.connections == Connections::Kept).then(Idle::default);
    while !visitors.stop.is_cancelled() {
        let number = visitors.begun.fetch_add(1, Ordering::Relaxed);
        if number >= visitors.settings.max_loads {
            return;
        }
        if !visitors.turn(number).await {
            return;
        }
        let load = visitors.load(number, idle.as_ref()).await;
        visitors.write(&load.failures);
        visitors.tally().add(load);
        if pause.is_zero() {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = visitors.stop.cancelled() => {}
        }
    }
}

/// A page load that is going on.
struct Progress {
    number: u64,
    page: String,
    version: String,
    seen: BTreeSet<Url>,
    queue: VecDeque<Url>,
    requests: u64,
    connect_retries: u64,
    kept_retries: u64,
    failures: Vec<Failure>,
}

impl Visitors {
    async fn of(settings: &Settings) -> Result<Self, String> {
        let fetcher = Fetcher::new(&settings.url, &settings.pod_header).await?;
        let url = |page: &String| settings.url.join(page).map_err(|error| format!("--page {page}: {error}"));
        let pages = settings.pages.iter().map(|page| Ok((page.clone(), url(page)?))).collect::<Result<Vec<_>, String>>()?;
        let bodies = settings.builds.as_deref().map_or_else(|| Ok(Bodies::default()), Bodies::known)?;
        let create = |path: &PathBuf| File::create(path).map(Mutex::new).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Self {
            settings: settings.clone(),
            fetcher,
            pages,
            bodies,
            library: Library::default(),
            failures: settings.failures.as_ref().map(create).transpose()?,
            written: AtomicU64::new(0),
            tally: Mutex::default(),
            begun: AtomicU64::new(0),
            since: Instant::now(),
            stop: CancellationToken::new(),
        })
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds the tally")
    }

    fn write(&self, failures: &[Failure]) {
        let Some(file) = &self.failures else { return };
        for failure in failures {
            if self.written.fetch_add(1, Ordering::Relaxed) < FAILURES_MAX
                && let Ok(line) = serde_json::to_string(failure)
            {
                // What is missing there is missed by whoever compares with the tally's count.
                let _ = writeln!(file.lock().expect("nothing panics while it writes"), "{line}");
            }
        }
    }

    /// Waits until it is time for this page load; false when the visit is over before that.
    async fn turn(&self, number: u64) -> bool {
        let Some(micros) = number.saturating_mul(1_000_000).checked_div(self.settings.rate) else { return true };
        tokio::select! {
            () = tokio::time::sleep_until(self.since + Duration::from_micros(micros)) => true,
            () = self.stop.cancelled() => false,
        }
    }

    async fn load(&self, number: u64, idle: Option<&Idle>) -> PageLoad {
        let (page, url) = &self.pages[usize::try_from(number).unwrap_or(0) % self.pages.len()];
        let (started, clock) = (SystemClock.now(), Instant::now());
        let mut progress = Progress::of(number, page);
        self.page(&mut progress, url, idle).await;
        self.assets(&mut progress, idle).await;
        let Progress { version, requests, connect_retries, kept_retries, failures, .. } = progress;
        PageLoad { version, started, took: clock.elapsed(), requests, connect_retries, kept_retries, failures }
    }

    async fn page(&self, progress: &mut Progress, url: &Url, idle: Option<&Idle>) {
        let fetched = self.fetcher.get(idle, url).await;
        progress.count(&fetched);
        if let Err(flaw) = judge::page(&fetched.answer) {
            return progress.fail(url, pod_of(fetched), flaw);
        }
        let Ok(answer) = fetched.answer else { return };
        let read = self.library.page(url, &answer.body);
        match &read.version {
            Some(version) => progress.version.clone_from(version),
            None => progress.fail(url, answer.pod.clone(), (Flaw::NoVersion, format!("{} bytes", answer.body.len()))),
        }
        if self.bodies.knows_pages()
            && let Err(flaw) = self.bodies.judge(&progress.version, &file_of(&progress.page), &answer.body)
        {
            progress.fail(url, answer.pod, flaw);
        }
        self.want(progress, &read.needs);
    }

    /// Puts what was not asked for yet into the queue.
    fn want(&self, progress: &mut Progress, urls: &[Url]) {
        for url in urls {
            if progress.seen.len() >= PIECES_MAX || !progress.seen.insert(url.clone()) {
                continue;
            }
            if url.as_str().starts_with(self.settings.url.as_str()) {
                progress.queue.push_back(url.clone());
            } else {
                progress.fail(url, None, (Flaw::Elsewhere, "another host or path than --url".into()));
            }
        }
    }

    async fn assets(&self, progress: &mut Progress, idle: Option<&Idle>) {
        let at_a_time = if idle.is_some() { KEPT } else { CONNECTIONS };
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < at_a_time
                && let Some(url) = progress.queue.pop_front()
            {
                running.push(async { (self.fetcher.get(idle, &url).await, url) });
            }
            let Some((fetched, url)) = running.next().await else { return };
            progress.count(&fetched);
            match judge::asset(url.path(), &fetched.answer).and_then(|answer| self.same_bytes(progress, &url, answer)) {
                Ok(answer) => self.want(progress, &self.library.asset(&url, &answer.content_type, &answer.body).needs),
                Err(flaw) => progress.fail(&url, pod_of(fetched), flaw),
            }
        }
    }

    fn same_bytes<'a>(&self, progress: &Progress, url: &Url, answer: &'a Answer) -> Result<&'a Answer, (Flaw, String)> {
        let path = &url.path()[self.settings.url.path().len()..];
        self.bodies.judge(&progress.version, path, &answer.body).map(|()| answer)
    }
}

fn pod_of(fetched: Fetched) -> Option<String> {
    match fetched.answer {
        Ok(answer) => answer.pod,
        Err(none) => none.pod,
    }
}

/// The file of a page, as static hosts find it.
fn file_of(page: &str) -> String {
    if page.is_empty() || page.ends_with('/') { format!("{page}index.html") } else { page.to_owned() }
}

impl Progress {
    fn of(number: u64, page: &str) -> Self {
        Self {
            number,
            page: page.to_owned(),
            version: String::new(),
            seen: BTreeSet::new(),
            queue: VecDeque::new(),
            requests: 0,
            connect_retries: 0,
            kept_retries: 0,
            failures: Vec::new(),
        }
    }

    fn count(&mut self, fetched: &Fetched) {
        self.requests += 1;
        self.connect_retries += u64::from(fetched.connect_retries);
        self.kept_retries += u64::from(fetched.kept_retries);
    }

    fn fail(&mut self, url: &Url, pod: Option<String>, (flaw, seen): (Flaw, String)) {
        let (at, page, version) = (SystemClock.now(), format!("/{}", self.page), self.version.clone());
        self.failures.push(Failure { load: self.number, at, url: url.to_string(), page, version, flaw, seen, pod });
    }
}

#[cfg(test)]
mod tests;
