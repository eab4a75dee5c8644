//! Any bucket with faults put in front of it or behind it, by plan, for tests.
//! Never fails by chance: the same plan and the same calls give the same faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::manifest::object::OWN_FOLDER;

use super::probe::Deletes;
use super::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Original, Page, Pieces, Stored, Swapped};

/// One method of [`Bucket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Bucket::create`]
    Create,
    /// [`Bucket::copy`]
    Copy,
    /// [`Bucket::replace`]
    Replace,
    /// [`Bucket::get`]
    Get,
    /// [`Bucket::read`]
    Read,
    /// [`Bucket::head`]
    Head,
    /// [`Bucket::list`]
    List,
    /// [`Bucket::delete`]
    Delete,
    /// [`Bucket::give_up_uploads`]
    GiveUpUploads,
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// [`BucketError::Unavailable`]
    Unavailable,
    /// [`BucketError::Denied`]
    Denied,
    /// [`BucketError::NoSuchBucket`]
    NoSuchBucket,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call never reaches the bucket.
    Before(Failure),
    /// The bucket does it, and the answer gets lost.
    After(Failure),
    /// Two writers met and the store decided for neither, time and again: nothing is done.
    Undecided,
}

/// A bucket whose calls fail as planned.
pub struct FaultyBucket {
    inner: Arc<dyn Bucket>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<Operation, u64>,
    planned: BTreeMap<(Operation, u64), Fault>,
    outage: Option<Failure>,
    delay: Duration,
    chance: Option<Chance>,
}

/// Faults strewn over the calls by a seed.
#[derive(Debug, Clone, Copy)]
struct Chance {
    seed: u64,
    one_in: u64,
}

impl FaultyBucket {
    /// The bucket as it is, until a fault is planned.
    #[must_use]
    pub fn new(inner: Arc<dyn Bucket>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Plans a fault for the `nth` call from now (1 is the next one) of an operation.
    pub fn fail_nth(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut state = self.state();
        let number = state.calls.get(&operation).copied().unwrap_or(0) + nth;
        state.planned.insert((operation, number), fault);
    }

    /// Every call fails from now on: store down, credentials wrong, bucket missing.
    pub fn break_off(&self, failure: Failure) {
        self.state().outage = Some(failure);
    }

    /// Ends what [`Self::break_off`] and [`Self::scatter`] began. Planned single faults stay.
    pub fn mend(&self) {
        let mut state = self.state();
        state.outage = None;
        state.chance = None;
    }

    /// About one call in `one_in` (at least 1) is unavailable, before or after it is done, as the seed has it.
    /// And about one listing in as many is cut short after its first line, or (of objects) lacks its last one, as if it were old.
    pub fn scatter(&self, seed: u64, one_in: u64) {
        self.state().chance = Some(Chance { seed, one_in: one_in.max(1) });
    }

    /// Every call takes this much longer, by tokio's clock; zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state().calls.get(&operation).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    async fn around<T>(
        &self,
        operation: Operation,
        key: &str,
        call: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, BucketError> {
        let (fault, delay) = self.state().next(operation);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => call.await,
            Some(Fault::Before(failure)) => Err(failure.error(operation, key, "planned, before it was done")),
            Some(Fault::Undecided) => Err(Failure::Unavailable.error(operation, key, "planned, an undecided race")),
            Some(Fault::After(failure)) => {
                call.await?;
                Err(failure.error(operation, key, "planned, after it was done"))
            }
        }
    }
}

impl State {
    fn next(&mut self, operation: Operation) -> (Option<Fault>, Duration) {
        let number = self.calls.entry(operation).or_default();
        *number += 1;
        let planned = self.planned.remove(&(operation, *number));
        let total = self.calls.values().sum();
        let fault = self.outage.map(Fault::Before).or(planned).or_else(|| self.chance.and_then(|chance| chance.fault(total)));
        (fault, self.delay)
    }
}

impl Chance {
    fn fault(self, call: u64) -> Option<Fault> {
        let drawn = mix(self.seed ^ mix(call));
        // The low bits decide whether, the highest bit where: independent of each other.
        let hit = drawn.is_multiple_of(self.one_in);
        let fault = if drawn >> 63 == 0 { Fault::Before(Failure::Unavailable) } else { Fault::After(Failure::Unavailable) };
        hit.then_some(fault)
    }

    fn spoil(self, call: u64) -> Option<fn(&mut Page)> {
        let drawn = mix(!self.seed ^ mix(call));
        let spoil: fn(&mut Page) = if drawn >> 63 == 0 { cut_short } else { lag_behind };
        drawn.is_multiple_of(self.one_in).then_some(spoil)
    }
}

/// A page may end anywhere, as long as it says where.
fn cut_short(page: &mut Page) {
    if page.objects.len() > 1 {
        page.objects.truncate(1);
        page.next = page.objects.last().map(|last| last.key.clone());
    }
}

/// What was written last is not seen yet: no store that the trait allows, but nothing breaks where one does so with objects. With
/// Rollcall's own documents it would: who deletes must see every intent that was written before.
fn lag_behind(page: &mut Page) {
    if page.next.is_none() && page.objects.iter().all(|object| !object.key.contains(OWN_FOLDER)) {
        page.objects.pop();
    }
}

/// One step of splitmix64: every bit of the input moves about half the bits of the output.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Copy => "copy",
            Self::Replace => "replace",
            Self::Get => "get",
            Self::Read => "read",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::GiveUpUploads => "give up uploads of",
        }
    }
}

impl Failure {
    fn error(self, operation: Operation, key: &str, cause: &str) -> BucketError {
        let (operation, key, cause) = (operation.name(), key.to_owned(), cause.to_owned());
        match self {
            Self::Unavailable => BucketError::Unavailable { operation, key, cause },
            Self::Denied => BucketError::Denied { operation, key, cause },
            Self::NoSuchBucket => BucketError::NoSuchBucket { bucket: "faulty".to_owned() },
        }
    }
}

#[async_trait]
impl Bucket for FaultyBucket {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.around(Operation::Create, key, self.inner.create(key, body, attributes)).await
    }

    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        self.around(Operation::Copy, key, self.inner.copy(key, original, attributes)).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.around(Operation::Replace, key, self.inner.replace(key, body, attributes, expected)).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.around(Operation::Get, key, self.inner.get(key, bytes_max)).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.around(Operation::Read, key, self.inner.read(key, etag)).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.around(Operation::Head, key, self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let mut page = self.around(Operation::List, prefix, self.inner.list(prefix, after)).await?;
        let (chance, calls) = {
            let state = self.state();
            (state.chance, state.calls.values().sum::<u64>())
        };
        if let Some(spoil) = chance.and_then(|chance| chance.spoil(calls)) {
            spoil(&mut page);
        }
        Ok(page)
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.around(Operation::GiveUpUploads, prefix, self.inner.give_up_uploads(prefix, before)).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.around(Operation::Delete, key, self.inner.delete(key, etag)).await
    }

    async fn deletes(&self) -> Result<Deletes, BucketError> {
        self.inner.deletes().await
    }

    fn repeated(&self) -> u64 {
        self.inner.repeated()
    }
}
