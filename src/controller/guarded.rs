//! What kube's `Controller` does not do for a reconciler: catch its panics (one would end the whole controller), bound its
//! time, and count how often it failed in a row.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use super::retry::Failure;

/// Longest time that one pass may take: a dozen calls one after the other, of at most 10 s each.
pub(super) const PASS_TIME_MAX: Duration = Duration::from_secs(120);

/// Runs a pass; a panic and a pass without end are failures like others.
pub(super) async fn guarded<T>(pass: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PASS_TIME_MAX, AssertUnwindSafe(pass).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Failure::Panicked(panic_text(panic.as_ref()))),
        Err(_) => Err(Failure::TooLong(PASS_TIME_MAX)),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F4: a panic unwinds through kube's runner and would end every release's loop.
    #[tokio::test]
    async fn a_panic_becomes_a_failure() {
        let failure = guarded::<()>(async { panic!("out of cheese") }).await.unwrap_err();
        assert_eq!(failure, Failure::Panicked("out of cheese".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_without_end_becomes_a_failure() {
        let failure = guarded::<()>(std::future::pending()).await.unwrap_err();
        assert_eq!(failure, Failure::TooLong(PASS_TIME_MAX));
    }
}
