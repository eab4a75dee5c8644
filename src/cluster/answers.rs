//! The API server's answers, which end: in bytes and in time, a watch in bytes of each event.
//! Never trusts that who answers at the API server's address is as careful as the API server.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{BoxError, Layer, Service};

/// Largest answer that is no watch: a page of 100 pods of 60 KiB each has 6 MB, a namespace's EndpointSlices of 100,000 endpoints have
/// 30 MB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Largest event of a watch: etcd holds objects of up to 1.5 MiB, which JSON escapes at most sixfold.
const EVENT_BYTES_MAX: u64 = 10 << 20;

/// Time for an answer that is no watch. Single calls end earlier, at `CALL_TIME_MAX`.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Time for a watch: they are asked for with 60 s, and by default with 295 s.
const WATCH_TIME_MAX: Duration = Duration::from_secs(330);

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
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundAnswers;

impl<S> Layer<S> for BoundAnswers {
    type Service = Bounding<S>;

    fn layer(&self, inner: S) -> Bounding<S> {
        Bounding(inner)
    }
}

/// A service whose answers end.
#[derive(Debug, Clone)]
pub(super) struct Bounding<S>(S);

impl<S, A, B> Service<Request<A>> for Bounding<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Ending<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let answer = self.0.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| if is_watch { Ending::watch(body) } else { Ending::answer(body) })) })
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
}

impl<B> Ending<B> {
    fn answer(inner: B) -> Self {
        Self::new(inner, Of::Answer, ANSWER_BYTES_MAX, ANSWER_TIME_MAX)
    }

    fn watch(inner: B) -> Self {
        Self::new(inner, Of::Event, EVENT_BYTES_MAX, WATCH_TIME_MAX)
    }

    fn new(inner: B, of: Of, left: u64, time_max: Duration) -> Self {
        Self { inner: Box::pin(inner), of, left, end: Box::pin(sleep_until(Instant::now() + time_max)) }
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
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Piece = Result<Frame<Bytes>, BoxError>;

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
        let (pieces, error) = taken(Ending::answer(endless(&MIB))).await;
        assert_eq!((pieces, error.as_deref()), (64, Some("the API server's answer is longer than 67108864 bytes")));
        let (pieces, error) = taken(Ending::watch(endless(&MIB))).await;
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
        assert_eq!(taken(Ending::watch(StreamBody::new(events))).await, (100, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_ends_in_time() {
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))) as Piece, ()))
        });
        let (pieces, error) = taken(Ending::answer(StreamBody::new(drip))).await;
        assert!(pieces <= 60 && error.is_some(), "{pieces} {error:?}");
    }
}
