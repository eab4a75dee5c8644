//! Very large objects, in parts: a part that fails is sent again alone, and several are on their way at a time.
//! Never completes what is not, byte for byte, what was promised, never over an object that is there (I3), and never keeps more
//! than a few parts in memory, however many objects are under way.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::classify::{Call, answer};
use super::put::Put;
use super::streamed::changed;
use super::{S3Bucket, connect, description};
use crate::api::ContentHash;
use crate::bucket::{Attributes, BucketError, unreadable};

/// From here on in parts. Below, one request is faster (the store hashes while it receives, and has nothing to put together), and
/// what a retry costs is bearable.
pub(super) const MULTIPART_FROM: u64 = 1024 * 1024 * 1024;

/// One part. S3 takes 10,000 of them: 78 GiB.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Parts on their way at a time, of all objects of a bucket together: 24 MiB of memory.
pub(super) const PARTS_AT_A_TIME: usize = 3;

/// A file on its way.
struct Reading {
    file: File,
    hasher: Sha256,
    number: i32,
}

/// A part in memory.
struct Part {
    number: i32,
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl S3Bucket {
    /// Sends a file in parts. `None` when the store has no such thing.
    pub(super) async fn put_parts(
        &self,
        call: Call<'_>,
        path: &std::path::Path,
        attributes: &Attributes,
    ) -> Result<Option<Put>, BucketError> {
        let file = File::open(path).await.map_err(|error| unreadable(call.operation, call.key, &error))?;
        let Some(upload) = self.begin(call, attributes).await? else { return Ok(None) };
        let ended = match self.send_parts(call, &upload, file, attributes).await {
            Ok(parts) => self.complete(call, &upload, parts).await,
            Err(error) => Err(error),
        };
        if !matches!(ended, Ok(Put::Done)) {
            self.abort(call, &upload).await;
        }
        ended.map(Some)
    }

    /// Sends bytes as an upload of one part, which as the last one may be short: whether the store keeps its condition is tried out so.
    pub(super) async fn put_one_part(&self, call: Call<'_>, bytes: Bytes, attributes: &Attributes) -> Result<Option<Put>, BucketError> {
        let Some(upload) = self.begin(call, attributes).await? else { return Ok(None) };
        let place = self.pace.room_for_a_part().await;
        let ended = match self.send_part(call, &upload, Part { number: 1, bytes, _place: place }).await {
            Ok(part) => self.complete(call, &upload, vec![part]).await,
            Err(error) => Err(error),
        };
        if !matches!(ended, Ok(Put::Done)) {
            self.abort(call, &upload).await;
        }
        ended.map(Some)
    }

    /// What was sent would be billed until somebody removes it. A store that fails here too keeps it until a lifecycle rule does.
    async fn abort(&self, call: Call<'_>, upload: &str) {
        let _ = self.client.abort_multipart_upload().bucket(&self.name).key(call.key).upload_id(upload).send().await;
    }

    async fn begin(&self, call: Call<'_>, attributes: &Attributes) -> Result<Option<String>, BucketError> {
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(call.key)
            .content_type(&attributes.content_type)
            .cache_control(&attributes.cache_control)
            .set_content_encoding(attributes.content_encoding.map(str::to_owned))
            .set_metadata(Some(description::metadata(attributes)));
        match request.send().await {
            Ok(begun) => begun.upload_id.map(Some).ok_or_else(|| call.refused("the store gave the upload no id")),
            Err(error) if answer(&error).is_some_and(|answer| answer.status == 501) => Ok(None),
            Err(error) => Err(call.failed(&error)),
        }
    }

    /// Sends all parts. The bytes are hashed as they are read for sending: a file that changed since it was hashed is noticed.
    async fn send_parts(
        &self,
        call: Call<'_>,
        upload: &str,
        file: File,
        attributes: &Attributes,
    ) -> Result<Vec<CompletedPart>, BucketError> {
        let mut reading = Reading { file, hasher: Sha256::new(), number: 0 };
        let (mut sending, mut sent) = (FuturesUnordered::new(), Vec::new());
        loop {
            // A place first, then the bytes. Whoever holds one is sending, so it comes free.
            let place = tokio::select! {
                place = self.pace.room_for_a_part() => place,
                Some(part) = sending.next() => {
                    sent.push(part?);
                    continue;
                }
            };
            let part = next_part(&mut reading).await.map_err(|error| unreadable(call.operation, call.key, &error))?;
            let Some((number, bytes)) = part else { break };
            sending.push(self.send_part(call, upload, Part { number, bytes, _place: place }));
        }
        while let Some(part) = sending.next().await {
            sent.push(part?);
        }
        sent.sort_by_key(CompletedPart::part_number);
        if ContentHash::from_array(reading.hasher.finalize().into()) == attributes.sha256 { Ok(sent) } else { Err(changed(call)) }
    }

    /// The signature covers the part's bytes, so the store checks them.
    async fn send_part(&self, call: Call<'_>, upload: &str, part: Part) -> Result<CompletedPart, BucketError> {
        let (number, timeouts) = (part.number, connect::timeouts(part.bytes.len() as u64));
        let request = self.client.upload_part().bucket(&self.name).key(call.key).upload_id(upload).part_number(number);
        let request = request.body(ByteStream::from(part.bytes)).customize();
        let sent = request.config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts)).send().await;
        let sent = sent.map_err(|error| call.failed(&error))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
    }

    async fn complete(&self, call: Call<'_>, upload: &str, parts: Vec<CompletedPart>) -> Result<Put, BucketError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.name).key(call.key).upload_id(upload);
        let (name, value) = self.profile.create_only;
        let request = request.multipart_upload(parts).customize().mutate_request(move |request| {
            request.headers_mut().insert(name, value);
        });
        let Err(error) = request.send().await else { return Ok(Put::Done) };
        match answer(&error).map(|answer| (answer.status, answer.code)) {
            Some((status, code)) if self.profile.says_taken(status, code) => Ok(Put::Taken),
            // 404: perhaps our own success, whose answer got lost. 409: the parts are gone. The next try looks, and sends all again.
            Some((404, Some("NoSuchUpload")) | (409, _)) => Ok(Put::Undecided),
            _ => Err(call.failed(&error)),
        }
    }
}

/// The next part of the file; `None` at its end. An empty file has one empty part.
async fn next_part(reading: &mut Reading) -> std::io::Result<Option<(i32, Bytes)>> {
    let mut part = Vec::with_capacity(PART_BYTES);
    (&mut reading.file).take(PART_BYTES as u64).read_to_end(&mut part).await?;
    if part.is_empty() && reading.number > 0 {
        return Ok(None);
    }
    reading.number += 1;
    reading.hasher.update(&part);
    Ok(Some((reading.number, part.into())))
}
