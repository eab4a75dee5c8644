//! A bucket of an S3-compatible store, on the AWS SDK.
//! Never writes or deletes without a condition, never sends an ACL or a tag, never takes a 403 for "missing".

mod classify;
mod connect;
mod copy;
mod create;
mod description;
mod express;
mod mend;
mod multipart;
mod pace;
mod probe;
mod profile;
mod put;
mod settings;
mod slower;
mod streamed;
mod transport;
mod uploads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

pub use self::classify::UNANSWERED;
use self::classify::{Call, answer};
use self::create::Budget;
use self::express::Express;
pub use self::mend::Mended;
use self::multipart::MULTIPART_FROM;
use self::pace::Pace;
pub(crate) use self::probe::fresh;
use self::profile::Profile;
use self::put::Put;
pub use self::settings::{Credentials, S3Settings};
use self::slower::Slower;
use self::streamed::Checks;
use super::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Original, Page, Pieces, Stored, Swapped, longer_than};
use crate::api::ContentHash;
use crate::egress::{Egress, Told};

/// Up to here a body is sent without looking first: a round trip costs more than the bytes. Beyond, a HEAD saves sending what is there.
const BLIND_BYTES_MAX: u64 = 256 * 1024;

/// Pauses before a write that the store left undecided is tried again: 3.1 s in all, then the caller's own backoff goes on.
const UNDECIDED_PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// S3's own page size.
const PAGE: i32 = 1000;

/// One bucket, with its own connections and its own budget of retries. Share it, do not make a second one.
pub struct S3Bucket {
    client: Client,
    express: Express,
    pace: Arc<Pace>,
    checks: Arc<Checks>,
    budget: Budget,
    multipart_from: u64,
    /// The store was seen not to keep the condition of an upload in parts.
    only_whole: AtomicBool,
    repeated: Arc<AtomicU64>,
    name: String,
    profile: Profile,
    told: Told,
}

impl S3Bucket {
    /// Prepares a client for a person's own command, which may call what that person may call; sends nothing yet. Ambient credentials are
    /// looked for at the first call.
    ///
    /// # Errors
    /// [`BucketError::Refused`] when the endpoint is not one.
    pub fn connect(settings: &S3Settings) -> Result<Self, BucketError> {
        Self::connect_through(&Egress::unrestricted(), settings)
    }

    /// The same for settings that somebody else chose: it calls only what `egress` lets it call, and tells failures accordingly.
    ///
    /// # Errors
    /// [`BucketError::Refused`] when the endpoint is not one.
    pub fn connect_through(egress: &Egress, settings: &S3Settings) -> Result<Self, BucketError> {
        Self::connect_as(egress, settings, settings.endpoint.as_deref())
    }

    /// The same, and speaks to it as to the vendor whose endpoint is `vendor`, wherever it is: for tests of what is sent.
    ///
    /// # Errors
    /// [`BucketError::Refused`] when the endpoint is not one.
    pub fn connect_to_vendor(settings: &S3Settings, vendor: Option<&str>) -> Result<Self, BucketError> {
        Self::connect_as(&Egress::unrestricted(), settings, vendor)
    }

    fn connect_as(egress: &Egress, settings: &S3Settings, vendor: Option<&str>) -> Result<Self, BucketError> {
        settings.check()?;
        let profile = Profile::of(vendor);
        let (pace, repeated) = (Arc::new(Pace::new()), Arc::new(AtomicU64::new(0)));
        let connection = connect::connection(settings, egress, Slower { pace: Arc::clone(&pace), repeated: Arc::clone(&repeated) });
        let checks = Arc::new(Checks::default());
        let express = Express::new(&connection, &settings.region, profile, Arc::clone(&checks), Arc::clone(&repeated));
        Ok(Self {
            client: connection.client,
            express,
            pace,
            checks,
            budget: Budget::full(),
            multipart_from: MULTIPART_FROM,
            only_whole: AtomicBool::new(false),
            repeated,
            name: settings.bucket.clone(),
            profile,
            told: egress.told(),
        })
    }

    /// Sends files of this many bytes and more in parts, instead of those of 1 GiB and more.
    #[must_use]
    pub fn with_parts_from(self, bytes: u64) -> Self {
        Self { multipart_from: bytes, ..self }
    }

    fn may_send_parts(&self) -> bool {
        !self.only_whole.load(Ordering::Relaxed)
    }

    fn call<'a>(&'a self, operation: &'static str, key: &'a str) -> Call<'a> {
        Call { operation, bucket: &self.name, key, told: self.told }
    }

    /// HEAD; `None` for any 404, be it the object's or the bucket's (a HEAD has no body that could tell).
    async fn look(&self, call: Call<'_>) -> Result<Option<Stored>, BucketError> {
        let request = self.client.head_object().bucket(&self.name).key(call.key).checksum_mode(ChecksumMode::Enabled);
        match request.send().await {
            Ok(head) => match description::stored(&head) {
                Some(stored) => Ok(Some(stored)),
                None => Err(call.refused("the store's description has no ETag, length or date")),
            },
            Err(error) if answer(&error).is_some_and(|answer| answer.is_silent_404()) => Ok(None),
            Err(error) => Err(call.failed(&error)),
        }
    }

    /// Tells a missing object from a missing bucket. A listing, as its error answer has a body that says which.
    async fn bucket_is_there(&self, call: Call<'_>) -> Result<(), BucketError> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(call.key).max_keys(1);
        request.send().await.map(drop).map_err(|error| call.failed(&error))
    }

    /// Something is there already: is it ours? A lost answer to our own PUT ends here too.
    async fn compare(&self, call: Call<'_>, found: Stored, size: u64, attributes: &Attributes) -> Result<Created, BucketError> {
        if found.size != size {
            return Ok(Created::Other(Box::new(found)));
        }
        let sha256 = match &found.sha256 {
            Some(sha256) => sha256.clone(),
            // Somebody else's tool wrote it, and said no hash: the bytes decide, as they are as many as ours.
            None => self.hash(call, &found).await?,
        };
        if sha256 == attributes.sha256 { Ok(Created::Same) } else { Ok(Created::Other(Box::new(Stored { sha256: Some(sha256), ..found }))) }
    }

    /// Reads what `found` describes, in bounded memory.
    async fn hash(&self, call: Call<'_>, found: &Stored) -> Result<ContentHash, BucketError> {
        let request = self.client.get_object().bucket(&self.name).key(call.key).if_match(&found.etag);
        let mut object = request.send().await.map_err(|error| call.failed(&error))?;
        let mut hasher = Sha256::new();
        self.take(call, &mut object, found.size, |chunk| hasher.update(chunk)).await?;
        Ok(ContentHash::from_array(hasher.finalize().into()))
    }

    /// Reads a body of at most `bytes_max`.
    async fn take(
        &self,
        call: Call<'_>,
        object: &mut GetObjectOutput,
        bytes_max: u64,
        mut each: impl FnMut(&Bytes) + Send,
    ) -> Result<(), BucketError> {
        let reading = async {
            let mut left = bytes_max;
            while let Some(chunk) = object.body.next().await {
                let chunk = chunk.map_err(|error| call.unanswered(&format!("the body broke off: {error}")))?;
                left = left.checked_sub(chunk.len() as u64).ok_or_else(|| longer_than(call.key, bytes_max))?;
                each(&chunk);
            }
            Ok(())
        };
        tokio::time::timeout(connect::patience(bytes_max), reading).await.unwrap_or_else(|_| Err(call.unanswered("the body stalled")))
    }

    fn undecided(call: Call<'_>) -> BucketError {
        call.unavailable("other writers are at the same key and the store decides for none of them")
    }
}

#[async_trait]
impl Bucket for S3Bucket {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.create_paced(self.call("create", key), &body, attributes).await
    }

    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        self.copy_within(self.call("copy", key), original, attributes).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        let call = self.call("replace", key);
        for pause in UNDECIDED_PAUSES {
            match self.put(call, &body, attributes, expected).await? {
                Put::Done => return Ok(Swapped::Done),
                Put::Taken => return Ok(Swapped::Lost),
                Put::Undecided => tokio::time::sleep(pause).await,
            }
        }
        Err(Self::undecided(call))
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        let call = self.call("get", key);
        let mut object = match self.client.get_object().bucket(&self.name).key(key).send().await {
            Ok(object) => object,
            Err(error) if answer(&error).is_some_and(|answer| answer.is_missing()) => return Ok(None),
            Err(error) => return Err(call.failed(&error)),
        };
        let length = object.content_length().and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > bytes_max) {
            return Err(longer_than(key, bytes_max));
        }
        // At once: growing would hold a manifest of 38 MB twice.
        let mut bytes = BytesMut::with_capacity(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
        self.take(call, &mut object, bytes_max, |chunk| bytes.extend_from_slice(chunk)).await?;
        Ok(Some(bytes.freeze()))
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.read_pieces(self.call("read", key), etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        let call = self.call("head", key);
        let found = self.look(call).await?;
        if found.is_none() {
            self.bucket_is_there(call).await?;
        }
        Ok(found)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let call = self.call("list", prefix);
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix).max_keys(PAGE);
        let page = request.set_start_after(after.map(str::to_owned)).send().await.map_err(|error| call.failed(&error))?;
        let objects: Option<Vec<_>> = page.contents().iter().map(description::listed).collect();
        let objects = objects.ok_or_else(|| call.refused("a line of the store's listing has no key, ETag, length or date"))?;
        description::goes_on(&objects, prefix, after).map_err(|fault| call.refused(fault))?;
        match (page.is_truncated().unwrap_or(false), objects.last()) {
            (false, _) => Ok(Page { objects, next: None }),
            (true, Some(last)) => Ok(Page { next: Some(last.key.clone()), objects }),
            (true, None) => Err(call.refused("the store's listing says that there is more, and has no lines")),
        }
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.give_up_begun(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        let call = self.call("delete", key);
        let Err(error) = self.client.delete_object().bucket(&self.name).key(key).if_match(etag).send().await else {
            return Ok(Swapped::Done);
        };
        match answer(&error) {
            Some(answer) if answer.is_missing() => Ok(Swapped::Done),
            // Some stores say so for an object that is gone, too.
            Some(answer) if answer.status == 412 => Ok(if self.look(call).await?.is_none() { Swapped::Done } else { Swapped::Lost }),
            _ => Err(call.failed(&error)),
        }
    }

    fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }
}
