//! A slow network in front of one address: passes bytes on, each half of the delay late in each direction. The delay is a file's content,
//! read again and again, so that a test can change it while connections are open.
//! It must never change, drop or reorder a byte.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// No delay is longer.
const MILLIS_MAX: u64 = 10_000;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// Pieces of up to 16 KiB on their way in one direction.
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 16 * 1024;

/// Where from, where to, how late.
#[derive(clap::Args, Clone)]
pub struct Settings {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the bytes go.
    #[arg(long)]
    to: SocketAddr,
    /// A file with milliseconds; none, or anything else in it, is no delay.
    #[arg(long)]
    file: PathBuf,
    /// Seconds; then it ends.
    #[arg(long = "for", value_parser = clap::value_parser!(u64).range(1..=21_600))]
    seconds: u64,
}

/// Passes bytes on until the time is over.
pub async fn run(settings: &Settings) -> Result<String, String> {
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| format!("{}: {error}", settings.listen))?;
    let millis = Arc::new(AtomicU64::new(0));
    let looking = tokio::spawn(look(settings.file.clone(), Arc::clone(&millis)));
    let ended = timeout(Duration::from_secs(settings.seconds), accept(listener, settings.to, millis)).await;
    looking.abort();
    ended.unwrap_or(Ok(())).map_err(|error| error.to_string()).map(|()| "{}".into())
}

async fn look(file: PathBuf, millis: Arc<AtomicU64>) {
    loop {
        millis.store(read(&file), Ordering::Relaxed);
        sleep(LOOK_EVERY).await;
    }
}

fn read(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.trim().parse::<u64>().unwrap_or(0).min(MILLIS_MAX)
}

async fn accept(listener: TcpListener, to: SocketAddr, millis: Arc<AtomicU64>) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let (near, _) = listener.accept().await?;
        let millis = Arc::clone(&millis);
        tokio::spawn(async move {
            let _place = place;
            // An address that refuses is a connection that ends at once, as without this proxy.
            if let Ok(far) = TcpStream::connect(to).await {
                pass(near, far, &millis).await;
            }
        });
    }
}

/// Until one side ends: then the other is closed, too, as when there was no proxy.
async fn pass(near: TcpStream, far: TcpStream, millis: &AtomicU64) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = one_way(near_in, far_out, millis) => {}
        () = one_way(far_in, near_out, millis) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, millis: &AtomicU64) {
    let (send, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let Ok(count @ 1..) = from.read(&mut piece).await else { return };
            piece.truncate(count);
            let due = Instant::now() + Duration::from_millis(millis.load(Ordering::Relaxed) / 2);
            if send.send((due, piece)).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    futures::future::join(reading, writing).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends back whatever comes.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        address
    }

    async fn through(millis: u64, text: &[u8]) -> (Vec<u8>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = tokio::spawn(accept(listener, echo().await, Arc::new(AtomicU64::new(millis))));
        let (mut stream, began) = (TcpStream::connect(address).await.unwrap(), Instant::now());
        stream.write_all(text).await.unwrap();
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await.unwrap();
        proxy.abort();
        (answer, began.elapsed())
    }

    #[tokio::test]
    async fn bytes_come_back_unchanged_and_late_by_the_whole_delay() {
        let text: Vec<u8> = (0..100_000u32).map(|number| number.to_le_bytes()[0]).collect();
        let (answer, took) = through(120, &text).await;
        assert!(answer == text);
        assert!(took >= Duration::from_millis(120), "{took:?}");
    }

    #[test]
    fn a_file_that_has_no_number_is_no_delay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("delay");
        assert_eq!(read(&file), 0);
        for (text, millis) in [("300\n", 300), ("soon", 0), ("99999999", MILLIS_MAX)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file), millis, "{text:?}");
        }
    }
}
