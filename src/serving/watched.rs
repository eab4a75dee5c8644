//! A connection's bytes as they pass, so that its place says what it is doing. Never looks at what the bytes are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Held;
use super::limits::Limits;
use super::places::{Phase, millis};

/// How far a peer is behind the slowest pace that is allowed.
#[derive(Debug, Default)]
struct Pace {
    lag: u64,
}

impl Pace {
    /// The peer is waited for from now on.
    fn wait(&self, deadline: &AtomicU64, now: u64, limits: &Limits) {
        if deadline.load(Relaxed) == 0 {
            deadline.store((now + millis(limits.stall)).saturating_sub(self.lag).max(1), Relaxed);
        }
    }

    /// The peer took or sent this many bytes.
    fn moved(&mut self, deadline: &AtomicU64, now: impl FnOnce() -> u64, bytes: usize, limits: &Limits) {
        let until = deadline.load(Relaxed);
        if until != 0 {
            deadline.store(0, Relaxed);
            self.lag = (now() + millis(limits.stall)).saturating_sub(until);
        }
        if self.lag > 0 {
            let credit = (bytes as u64).saturating_mul(1000) / limits.bytes_per_second_min.max(1);
            self.lag = self.lag.saturating_sub(credit);
        }
    }
}

/// The socket under hyper.
pub(super) struct Watched {
    inner: TokioIo<TcpStream>,
    held: Held,
    pace: Pace,
    /// A read waits until the peer takes what is written.
    read_put_off: bool,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, held: Held) -> Self {
        Self { inner: TokioIo::new(stream), held, pace: Pace::default(), read_put_off: false }
    }

    fn wrote(&mut self, cx: &Context<'_>, written: &Poll<io::Result<usize>>) {
        let (held, limits) = (&self.held, self.held.limits());
        match written {
            Poll::Pending => self.pace.wait(&held.slot().write_deadline, held.now(), limits),
            Poll::Ready(Ok(bytes)) => {
                self.pace.moved(&held.slot().write_deadline, || held.now(), *bytes, limits);
                if std::mem::take(&mut self.read_put_off) {
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Read for Watched {
    /// Nothing is read while the peer does not take its answers: hyper would go on answering requests that came at once, into memory.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.held.slot().write_deadline.load(Relaxed) != 0 {
            self.read_put_off = true;
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() && self.held.slot().phase() == Phase::Idle {
            self.held.slot().set(Phase::Head, self.held.now());
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, &written);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(cx, &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A request's body, whose sender must get on.
pub(super) struct Received {
    body: Incoming,
    held: Held,
    pace: Pace,
}

impl Received {
    pub(super) fn new(body: Incoming, held: Held) -> Self {
        Self { body, held, pace: Pace::default() }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, held, pace } = &mut *self;
        let frame = Pin::new(body).poll_frame(cx);
        let deadline = &held.slot().read_deadline;
        match &frame {
            Poll::Pending => pace.wait(deadline, held.now(), held.limits()),
            Poll::Ready(Some(Ok(frame))) => {
                pace.moved(deadline, || held.now(), frame.data_ref().map_or(0, Bytes::len), held.limits());
            }
            Poll::Ready(None | Some(Err(_))) => deadline.store(0, Relaxed),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.held.slot().read_deadline.store(0, Relaxed);
    }
}

/// An answer's body. Hyper drops it when it has taken all of it: from then on the connection is idle.
pub(super) struct Sent {
    body: Body,
    held: Held,
}

impl Sent {
    pub(super) fn new(body: Body, held: Held) -> Self {
        Self { body, held }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.held.slot().set(Phase::Idle, self.held.now());
    }
}
