//! Creates objects: paced, the short way when they fit into memory, tried again within a budget.
//! Never sends a body that is known to be there, and never gives up on an answer that can be cleared up by looking.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::classify::Call;
use super::express::Answer;
use super::put::Put;
use super::streamed::in_memory;
use super::{BLIND_BYTES_MAX, S3Bucket, UNDECIDED_PAUSES};
use crate::bucket::{Attributes, Body, BucketError, Created, Expected};

/// Memory that a streamed body holds: its read buffer and what the connection has not sent yet.
const STREAM_BYTES: u64 = 512 * 1024;

/// How one try ended.
enum Try {
    /// The store has spoken.
    Ended(Created),
    /// Nothing is decided; another try costs a token.
    Again,
}

impl S3Bucket {
    pub(super) async fn create_paced(&self, call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Created, BucketError> {
        for pause in UNDECIDED_PAUSES {
            match self.try_create(call, body, attributes).await? {
                Try::Ended(created) => return Ok(created),
                Try::Again if self.budget.spend() => tokio::time::sleep(spread(pause, attributes)).await,
                Try::Again => return Err(call.unavailable("the store turns too many requests away")),
            }
        }
        self.last_word(call, body, attributes).await
    }

    /// The SDK's own tries, and its words for what is wrong.
    async fn last_word(&self, call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Created, BucketError> {
        match self.put(call, body, attributes, &Expected::Absent).await? {
            Put::Done => Ok(Created::New),
            Put::Taken => match self.look(call).await? {
                Some(found) => self.compare(call, found, body.size(), attributes).await,
                None => Err(Self::undecided(call)),
            },
            Put::Undecided => Err(Self::undecided(call)),
        }
    }

    async fn try_create(&self, call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Try, BucketError> {
        let size = body.size();
        let permit = self.pace.enter(if size <= BLIND_BYTES_MAX { size } else { STREAM_BYTES }).await;
        if size > BLIND_BYTES_MAX
            && let Some(found) = self.look(call).await?
        {
            return self.compare(call, found, body.size(), attributes).await.map(Try::Ended);
        }
        let put = match self.by_express(call, body, attributes).await? {
            Answer::Done => Put::Done,
            Answer::Taken => Put::Taken,
            Answer::TooMuch => {
                permit.too_much();
                Put::Undecided
            }
            Answer::Unclear => {
                let put = self.put_large(call, body, attributes).await?;
                if put == Put::Done && size <= BLIND_BYTES_MAX {
                    self.express.outdone();
                }
                put
            }
        };
        match put {
            Put::Done => {
                permit.taken(size);
                self.budget.earn();
                Ok(Try::Ended(Created::New))
            }
            Put::Taken => {
                drop(permit);
                match self.look(call).await? {
                    Some(found) => self.compare(call, found, body.size(), attributes).await.map(Try::Ended),
                    // Deleted between our PUT and our HEAD.
                    None => Ok(Try::Again),
                }
            }
            Put::Undecided => Ok(Try::Again),
        }
    }

    /// By the SDK: in parts from a certain length on, where the store has that.
    async fn put_large(&self, call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Put, BucketError> {
        if let Body::File { path, size } = body
            && *size >= self.multipart_from
            && self.may_send_parts()
            && let Some(put) = self.put_parts(call, path, attributes).await?
        {
            return Ok(put);
        }
        self.put(call, body, attributes, &Expected::Absent).await
    }

    async fn by_express(&self, call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Answer, BucketError> {
        if body.size() > BLIND_BYTES_MAX {
            return Ok(Answer::Unclear);
        }
        let bytes = in_memory(call, body, attributes)?;
        Ok(self.express.create(&self.client, &self.name, call.key, bytes, attributes).await)
    }
}

/// A pause between half and one and a half of what it is, by the object: those that were turned away together do not come back together.
fn spread(pause: Duration, attributes: &Attributes) -> Duration {
    pause / 2 + pause * u32::from(attributes.sha256.to_array()[0]) / 256
}

/// Tries beyond the first, for all creates of a bucket together: one in ten, and a hundred to begin with. A store that is down is
/// not asked six times for each of ten thousand objects.
pub(super) struct Budget(AtomicI64);

/// What one more try costs; each create that ends well brings one.
const TRY_COSTS: i64 = 10;

const FULL: i64 = 100 * TRY_COSTS;

impl Budget {
    pub(super) fn full() -> Self {
        Self(AtomicI64::new(FULL))
    }

    fn earn(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| (tokens < FULL).then_some(tokens + 1));
    }

    fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| (tokens >= TRY_COSTS).then_some(tokens - TRY_COSTS)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_beyond_the_first_are_one_in_ten_in_the_long_run() {
        let budget = Budget::full();
        let spent = (0..1000).filter(|_| budget.spend()).count();
        assert_eq!(spent, 100);
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend() && !budget.spend());
    }
}
