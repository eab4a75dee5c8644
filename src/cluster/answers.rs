//! The API server's answers, which end: in bytes and in time, a watch in bytes of each event.
//! Never trusts that who answers at the API server's address is as careful as the API server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::PollSemaphore;
use tower::{BoxError, Layer, Service};

/// Largest answer that is no watch: a page of 100 pods of 60 KiB each has 6 MB, one of 10 releases of 1.5 MiB each has 15 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Largest event of a watch: etcd holds objects of up to 1.5 MiB, which JSON escapes at most sixfold.
const EVENT_BYTES_MAX: u64 = 10 << 20;

/// Time for an answer that is no watch. Single calls end earlier, at `CALL_TIME_MAX`.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Time for a watch: they are asked for with 60 s, and by default with 295 s.
const WATCH_TIME_MAX: Duration = Duration::from_secs(330);

/// An answer beyond this is a large one: a page of 100 pods of 20 KiB each is none.
const LARGE: u64 = 2 << 20;

/// Large answers that are read at a time. A tenant fills objects with 1.5 MiB each, and names them in twenty listings that are made at
/// once: the others wait, and no small answer does.
const LARGE_AT_ONCE: usize = 2;

/// Why an answer was not taken to its end.
#[derive(Debug, thiserror::Error)]
enum Endless {
    #[error("the API server's answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Answer,
    #[error("an event of a watch is longer than {EVENT_BYTES_MAX} bytes")]
    Event,
    #[error("the API server's answer does not end in time")]
    Time,
}

/// Bounds the answers of a service.
#[derive(Debug, Clone)]
pub(super) struct BoundAnswers {
    large: Arc<Semaphore>,
}

impl Default for BoundAnswers {
    fn default() -> Self {
        Self { large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }
}

impl<S> Layer<S> for BoundAnswers {
    type Service = Bounding<S>;

    fn layer(&self, inner: S) -> Bounding<S> {
        Bounding { inner, large: Arc::clone(&self.large) }
    }
}

/// A service whose answers end.
#[derive(Debug, Clone)]
pub(super) struct Bounding<S> {
    inner: S,
    large: Arc<Semaphore>,
}

impl<S, A, B> Service<Request<A>> for Bounding<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Ending<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let (answer, large) = (self.inner.call(request), Arc::clone(&self.large));
        Box::pin(
            async move { Ok(answer.await?.map(|body| if is_watch { Ending::watch(body, large) } else { Ending::answer(body, large) })) },
        )
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Answer,
    Event,
}

/// A body that ends.
pub(super) struct Ending<B> {
    inner: Pin<Box<B>>,
    of: Of,
    left: u64,
    end: Pin<Box<Sleep>>,
    large: PollSemaphore,
    /// Held by a large answer until it has been read.
    turn: Option<OwnedSemaphorePermit>,
}

impl<B> Ending<B> {
    fn answer(inner: B, large: Arc<Semaphore>) -> Self {
        Self::new(inner, Of::Answer, large)
    }

    fn watch(inner: B, large: Arc<Semaphore>) -> Self {
        Self::new(inner, Of::Event, large)
    }

    fn new(inner: B, of: Of, large: Arc<Semaphore>) -> Self {
        let (left, time_max) = match of {
            Of::Answer => (ANSWER_BYTES_MAX, ANSWER_TIME_MAX),
            Of::Event => (EVENT_BYTES_MAX, WATCH_TIME_MAX),
        };
        let end = Box::pin(sleep_until(Instant::now() + time_max));
        Self { inner: Box::pin(inner), of, left, end, large: PollSemaphore::new(large), turn: None }
    }

    /// A watch keeps nothing of what it brought, and may last for minutes: it takes no turn.
    fn needs_turn(&self) -> bool {
        self.of == Of::Answer && self.turn.is_none() && ANSWER_BYTES_MAX - self.left > LARGE
    }

    fn take(&mut self, piece: &Bytes) -> Result<(), Endless> {
        let counted = match (self.of, piece.iter().rposition(|byte| *byte == b'\n')) {
            (Of::Event, Some(last)) => {
                self.left = EVENT_BYTES_MAX;
                piece.len() - last - 1
            }
            (Of::Event, None) | (Of::Answer, _) => piece.len(),
        };
        let endless = match self.of {
            Of::Answer => Endless::Answer,
            Of::Event => Endless::Event,
        };
        self.left = self.left.checked_sub(counted as u64).ok_or(endless)?;
        Ok(())
    }
}

impl<B> Body for Ending<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Endless::Time.into())));
        }
        if self.needs_turn() {
            self.turn = ready!(self.large.poll_acquire(cx));
        }
        let Some(frame) = ready!(self.inner.as_mut().poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame.map_err(Into::into)?;
        if let Some(piece) = frame.data_ref() {
            let piece = piece.clone();
            self.take(&piece)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Piece = Result<Frame<Bytes>, BoxError>;

    fn turns() -> Arc<Semaphore> {
        BoundAnswers::default().large
    }

    /// How many pieces of this are taken, and how it ends.
    async fn taken(ending: Ending<impl Body<Data = Bytes, Error = BoxError>>) -> (usize, Option<String>) {
        let (mut ending, mut taken) = (std::pin::pin!(ending), 0);
        loop {
            match ending.frame().await {
                None => return (taken, None),
                Some(Err(error)) => return (taken, Some(error.to_string())),
                Some(Ok(_)) => taken += 1,
            }
        }
    }

    fn endless(piece: &'static [u8]) -> impl Body<Data = Bytes, Error = BoxError> {
        StreamBody::new(futures::stream::repeat_with(move || -> Piece { Ok(Frame::data(Bytes::from_static(piece))) }))
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_answer_and_an_endless_event_end() {
        static MIB: [u8; 1 << 20] = [b'x'; 1 << 20];
        let (pieces, error) = taken(Ending::answer(endless(&MIB), turns())).await;
        assert_eq!((pieces, error.as_deref()), (64, Some("the API server's answer is longer than 67108864 bytes")));
        let (pieces, error) = taken(Ending::watch(endless(&MIB), turns())).await;
        assert_eq!((pieces, error.as_deref()), (10, Some("an event of a watch is longer than 10485760 bytes")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_may_bring_any_number_of_events() {
        static LINE: [u8; 1 << 20] = {
            let mut line = [b'x'; 1 << 20];
            line[1 << 19] = b'\n';
            line
        };
        let events = futures::stream::iter((0..100).map(|_| -> Piece { Ok(Frame::data(Bytes::from_static(&LINE))) }));
        assert_eq!(taken(Ending::watch(StreamBody::new(events), turns())).await, (100, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_ends_in_time() {
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))) as Piece, ()))
        });
        let (pieces, error) = taken(Ending::answer(StreamBody::new(drip), turns())).await;
        assert!(pieces <= 60 && error.is_some(), "{pieces} {error:?}");
    }

    /// Each is held in memory until its end: twenty of 60 MiB were more than the controller may have.
    #[tokio::test(start_paused = true)]
    async fn large_answers_wait_for_each_other_and_small_ones_for_nobody() {
        static HALF: [u8; 1 << 19] = [b'x'; 1 << 19];
        let of = |pieces: usize| {
            StreamBody::new(futures::stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(Bytes::from_static(&HALF)))).take(pieces))
        };
        let all = turns();
        let mut open = Vec::new();
        for _ in 0..20 {
            let mut large = Box::pin(Ending::answer(of(20), all.clone()));
            let mut pieces = 0;
            while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(1), large.frame()).await {
                pieces += 1;
            }
            open.push((large, pieces));
        }
        let pieces: Vec<usize> = open.iter().map(|(_, pieces)| *pieces).collect();
        assert_eq!(pieces, [vec![20; 2], vec![5; 18]].concat(), "the others stop behind {LARGE} bytes");
        assert_eq!(taken(Ending::answer(of(4), all)).await, (4, None));
        open.drain(..2);
        for (large, _) in &mut open[..2] {
            assert!(large.frame().await.is_some(), "whose turn it is goes on");
        }
    }
}
