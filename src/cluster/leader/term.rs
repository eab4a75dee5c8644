//! Until when this process may write: held by the elector, asked by everything that writes.
//! Never asks the network: a process that was stopped and goes on knows by its own clock that its time is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// What a process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayWrite {
    /// Without an election: always.
    Always,
    /// It leads, until the renew deadline.
    Until(Instant),
    /// It stands by.
    NotYet,
    /// It led, and does not any more.
    NoMore(String),
}

/// Why a write is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLeading {
    /// The deadline has passed without a renewal.
    #[error("this controller's renew deadline passed {} ms ago: another one may lead by now, so nothing is written", .0.as_millis())]
    PastDeadline(Duration),
    /// It stands by.
    #[error("this controller stands by: another one leads, so nothing is written")]
    StandsBy,
    /// It was deposed.
    #[error("this controller does not lead any more ({0}), so nothing is written")]
    Deposed(String),
}

/// The term of one process; clones are the same term.
#[derive(Debug, Clone)]
pub struct Term(Arc<Mutex<MayWrite>>);

impl Term {
    /// Of a process that stands for no election.
    #[must_use]
    pub fn unelected() -> Self {
        Self(Arc::new(Mutex::new(MayWrite::Always)))
    }

    /// Of a candidate.
    #[must_use]
    pub fn standby() -> Self {
        Self(Arc::new(Mutex::new(MayWrite::NotYet)))
    }

    fn state(&self) -> MutexGuard<'_, MayWrite> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, state: MayWrite) {
        *self.state() = state;
    }

    /// Whether a write may begin now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_write(&self) -> Result<(), NotLeading> {
        match &*self.state() {
            MayWrite::Always => Ok(()),
            MayWrite::Until(deadline) => match Instant::now().checked_duration_since(*deadline) {
                Some(past) => Err(NotLeading::PastDeadline(past)),
                None => Ok(()),
            },
            MayWrite::NotYet => Err(NotLeading::StandsBy),
            MayWrite::NoMore(why) => Err(NotLeading::Deposed(why.clone())),
        }
    }
}

/// Refuses every request that could change something, when the term does not allow it. Reads pass.
#[derive(Debug, Clone)]
pub struct OnlyWhileLeading(pub Term);

impl<S> Layer<S> for OnlyWhileLeading {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, term: self.0.clone() }
    }
}

/// A service whose writes are guarded.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    term: Term,
}

impl<S, A> Service<Request<A>> for Guarded<S>
where
    S: Service<Request<A>>,
    S::Error: Into<BoxError>,
    S::Future: Send,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<futures::future::ErrInto<S::Future, BoxError>, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        use futures::TryFutureExt as _;
        let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        match self.term.may_write() {
            Err(refusal) if !is_read => Either::Right(ready(Err(refusal.into()))),
            Ok(()) | Err(_) => Either::Left(self.inner.call(request).err_into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(term: &Term, method: Method) -> Result<(), String> {
        let service = OnlyWhileLeading(term.clone()).layer(tower::service_fn(|_: Request<()>| async { Ok::<_, BoxError>(()) }));
        let request = Request::builder().method(method).uri("/api").body(()).unwrap();
        service.oneshot(request).await.map_err(|error| error.to_string())
    }

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    #[tokio::test(start_paused = true)]
    async fn a_process_that_wakes_up_past_its_deadline_reads_and_writes_nothing() {
        let term = Term::standby();
        term.set(MayWrite::Until(Instant::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        for method in WRITES {
            assert_eq!(answer(&term, method).await, Ok(()));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for method in WRITES {
            let refusal = answer(&term, method).await.unwrap_err();
            assert!(refusal.contains("renew deadline passed 59999 ms ago"), "{refusal}");
        }
        assert_eq!(answer(&term, Method::GET).await, Ok(()));
    }

    #[tokio::test]
    async fn a_candidate_and_a_deposed_leader_write_nothing_and_say_why() {
        let term = Term::standby();
        assert!(answer(&term, Method::PATCH).await.unwrap_err().contains("stands by"));
        term.set(MayWrite::NoMore("the lease is held by \"b\"".into()));
        assert!(answer(&term, Method::PATCH).await.unwrap_err().contains("held by \"b\""));
        assert_eq!(answer(&Term::unelected(), Method::DELETE).await, Ok(()));
    }
}
