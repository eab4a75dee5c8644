//! The body of an answer, which ends: in bytes, in time without a byte, and in time at all.
//! Never gives out more than its reader asked for, and asks for little unless told otherwise.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// What an answer may have when nobody expects a body of it: an error, a report, the answer to a write.
pub const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// Time for such an answer.
const SMALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Longest time without a byte.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// More bytes than asked for.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The most that were asked for.
        bytes_max: u64,
    },
    /// Too long without a byte, or altogether.
    #[error("the answer stalled")]
    Stalled,
    /// The connection.
    #[error("the answer broke off: {0}")]
    BrokeOff(#[source] hyper::Error),
}

/// A body with an end.
pub struct Bounded {
    inner: Incoming,
    bytes_max: u64,
    left: u64,
    idle: Duration,
    end: Instant,
    timer: Pin<Box<Sleep>>,
    is_waited_for: bool,
}

impl Bounded {
    /// A small answer, until its reader asks for more.
    pub(super) fn small(inner: Incoming) -> Self {
        let end = Instant::now() + SMALL_TIME_MAX;
        let timer = Box::pin(sleep_until(end.min(Instant::now() + IDLE_TIME_MAX)));
        Self { inner, bytes_max: SMALL_BYTES_MAX, left: SMALL_BYTES_MAX, idle: IDLE_TIME_MAX, end, timer, is_waited_for: false }
    }

    /// Takes this many bytes at most, in this time at most from now on.
    #[must_use]
    pub fn at_most(mut self, bytes_max: u64, time_max: Duration) -> Self {
        (self.bytes_max, self.left) = (bytes_max, bytes_max);
        self.end = Instant::now() + time_max;
        self
    }

    /// Waits for the next byte no longer than this.
    #[must_use]
    pub fn never_idle_for(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    fn restart(&mut self) {
        let next = self.end.min(Instant::now() + self.idle);
        self.timer.as_mut().reset(next);
    }

    /// All of it.
    ///
    /// # Errors
    /// When it does not end within its bounds.
    pub async fn whole(mut self) -> Result<Bytes, Broken> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When it does not come within the bounds.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(frame) = self.frame().await {
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("bytes_max", &self.bytes_max).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            // Only while somebody waits: a reader that writes what it read elsewhere may take its time.
            if !std::mem::replace(&mut this.is_waited_for, true) {
                this.restart();
            }
            ready!(this.timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Broken::Stalled)));
        };
        // A drip never lets the timer ring, so the end is looked at with each piece, too.
        if Instant::now() >= this.end {
            return Poll::Ready(Some(Err(Broken::Stalled)));
        }
        this.is_waited_for = false;
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(Broken::BrokeOff(error))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(Broken::TooLong { bytes_max: this.bytes_max })),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
