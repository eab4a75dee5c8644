//! One question to an endpoint of a tenant: admitted by the endpoint's breaker, asked in a place of its own, its end noted.
//! Never asks within a pass, and never counts the time that was waited for a place as the endpoint's.

use crate::rollout::observed::BucketFault;

use super::breakers::End;
use super::context::Context;
use super::places::{Places, Whose};

/// Asks, unless the endpoint has been silent lately.
///
/// # Errors
/// The question's own; and that of an endpoint that is silent, asked or not.
pub(super) async fn ask<T>(
    cx: &Context,
    whose: Whose,
    places: &Places,
    question: impl Future<Output = Result<T, BucketFault>>,
) -> Result<T, BucketFault> {
    let clock = &cx.outside.clock;
    let admitted = cx.breakers.admit(&whose, clock.now()).map_err(|open| open.fault)?;
    let _place = places.take(whose).await;
    let admitted = admitted.begun(clock.now());
    let answer = question.await;
    let end = End::of(answer.as_ref().err().map(|fault| fault.reason));
    admitted.ended(end, clock.now()).map_or(answer, Err)
}
