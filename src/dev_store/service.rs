//! S3's operations on a [`Folder`]: the ones that Rollcall uses, and those that make common tools work.
//! Never takes a precondition and ignores it: what is not implemented is refused.

use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use s3s::dto::{
    Bucket, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, CreateBucketInput, CreateBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListObjectsV2Input, ListObjectsV2Output, MetadataDirective, Object, PutObjectInput, PutObjectOutput, StreamingBlob,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::folder::{Change, Expectation, Folder, Shelf};
use super::record::{Description, Headers};
use super::upload::{Upload, unusable};
use crate::clock::Clock;

/// S3's page size.
const PAGE: i32 = 1000;

/// Read from a file at once.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// S3's operations.
pub(super) struct Operations {
    pub folder: Arc<Folder>,
    pub clock: Arc<dyn Clock>,
}

impl Operations {
    fn shelf(&self, bucket: &str) -> S3Result<Arc<Shelf>> {
        self.folder.shelf(bucket).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    /// Deletes one object; what is not there is deleted.
    fn delete(&self, bucket: &str, key: &str, expected: &Expectation) -> S3Result<()> {
        match self.shelf(bucket)?.delete(key, expected).map_err(unusable)? {
            Change::Done | Change::Missing => Ok(()),
            Change::Unexpected => Err(s3_error!(PreconditionFailed, "the object is another one by now")),
        }
    }
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request { mut input, trailing_headers, .. } = request;
        let bucket = self.shelf(&input.bucket)?;
        let expected = expectation(input.if_match.take(), input.if_none_match.take())?;
        let upload = Upload::receive(&self.folder, &mut input, trailing_headers).await?;
        let description = description(input, &upload, self.clock.now());
        let (etag, checksum_sha256) = (Some(ETag::Strong(description.etag())), checksum(&description));
        let file = upload.finish(&description.footer()).await.map_err(unusable)?;
        match bucket.put(file, description, &expected).map_err(unusable)? {
            Change::Done => Ok(S3Response::new(PutObjectOutput { e_tag: etag, checksum_sha256, ..PutObjectOutput::default() })),
            Change::Unexpected => Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")),
            Change::Missing => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        }
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let S3Request { input, headers, .. } = request;
        let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "a copy is of an object in a bucket of this store, by its key"));
        };
        if input.copy_source_if_modified_since.is_some() || input.copy_source_if_unmodified_since.is_some() {
            return Err(s3_error!(NotImplemented, "a copy knows no dates as conditions"));
        }
        let expected = expectation_of_copy(&headers)?;
        let found = self.shelf(bucket)?.read(key).map_err(unusable)?;
        let (file, original) = found.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
        check_conditions(&original, input.copy_source_if_match.as_ref(), None)?;
        if input.copy_source_if_none_match.as_ref().is_some_and(|condition| is(condition, &original)) {
            return Err(s3_error!(PreconditionFailed));
        }
        let bucket = self.shelf(&input.bucket)?;
        let description = copied(input, original, self.clock.now());
        let (etag, last_modified) = (ETag::Strong(description.etag()), time(description.last_modified));
        let upload = self.folder.duplicate(file, &description).map_err(unusable)?;
        match bucket.put(upload, description, &expected).map_err(unusable)? {
            Change::Done => {}
            Change::Unexpected => {
                return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
            }
            Change::Missing => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        }
        let result = CopyObjectResult { e_tag: Some(etag), last_modified: Some(last_modified), ..CopyObjectResult::default() };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let bucket = self.shelf(&input.bucket)?;
        let found = bucket.read(&input.key).map_err(unusable)?;
        let (mut file, object) = found.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let whole = 0..object.size;
        let range = input.range.map_or(Ok(whole), |range| range.check(object.size)).map_err(|_| s3_error!(InvalidRange))?;
        let content_range = input.range.map(|_| format!("bytes {}-{}/{}", range.start, range.end - 1, object.size));
        file.seek(SeekFrom::Start(range.start)).map_err(unusable)?;
        let length = range.end - range.start;
        let body = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), READ_BUFFER_BYTES);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            accept_ranges: Some("bytes".to_owned()),
            checksum_sha256: input.checksum_mode.filter(|_| content_range.is_none()).and_then(|_| checksum(&object)),
            content_length: Some(length.cast_signed()),
            content_range,
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(time(object.last_modified)),
            metadata: Some(object.metadata.into_iter().collect()),
            content_type: object.headers.content_type,
            cache_control: object.headers.cache_control,
            content_encoding: object.headers.content_encoding,
            content_disposition: object.headers.content_disposition,
            content_language: object.headers.content_language,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.shelf(&input.bucket)?.describe(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = object.headers.clone();
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            checksum_sha256: input.checksum_mode.and_then(|_| checksum(&object)),
            content_length: Some(object.size.cast_signed()),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(time(object.last_modified)),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            content_type: headers.content_type,
            cache_control: headers.cache_control,
            content_encoding: headers.content_encoding,
            content_disposition: headers.content_disposition,
            content_language: headers.content_language,
            ..HeadObjectOutput::default()
        }))
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(s3_error!(NotImplemented, "listings are not grouped by a delimiter here"));
        }
        let bucket = self.shelf(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let token = input.continuation_token.as_deref().map(key_of_token).transpose()?;
        let after = token.max(input.start_after.clone()).unwrap_or_default();
        let count = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE);
        let (objects, more) = bucket.list(&prefix, &after, usize::try_from(count).expect("clamped to 0 and more"));
        let next = objects.last().filter(|_| more).map(|object| STANDARD.encode(&object.key));
        let contents: Vec<Object> = objects.iter().map(|object| line(object)).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            max_keys: Some(count),
            key_count: i32::try_from(contents.len()).ok(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() || input.version_id.is_some() {
            return Err(s3_error!(NotImplemented, "a delete knows If-Match only"));
        }
        let expected = expectation(input.if_match, None)?;
        self.delete(&input.bucket, &input.key, &expected)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        self.shelf(&input.bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let expected = object.e_tag.map_or(Expectation::Anything, |etag| Expectation::ETag(etag.into_value()));
            match self.delete(&input.bucket, &object.key, &expected) {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        if input.delete.quiet == Some(true) {
            deleted.clear();
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() }))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if self.folder.make(&request.input.bucket).map_err(unusable)? {
            Ok(S3Response::new(CreateBucketOutput::default()))
        } else {
            Err(s3_error!(BucketAlreadyOwnedByYou))
        }
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.shelf(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |name| Bucket { name: Some(name), ..Bucket::default() };
        let buckets = self.folder.names().into_iter().map(bucket).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() }))
    }
}

fn expectation(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<Expectation> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Expectation::Anything),
        (None, Some(ETagCondition::Any)) => Ok(Expectation::Absent),
        (Some(ETagCondition::Any), None) => Ok(Expectation::Present),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Expectation::ETag(etag.into_value())),
        (_, Some(_)) => Err(s3_error!(NotImplemented, "a write knows If-Match or If-None-Match: *, not both, and no other")),
    }
}

/// Newer than the library's own list of what a copy may say.
fn expectation_of_copy(headers: &http::HeaderMap) -> S3Result<Expectation> {
    let (if_match, if_none_match) = (headers.get(http::header::IF_MATCH), headers.get(http::header::IF_NONE_MATCH));
    match (if_match, if_none_match.map(http::HeaderValue::as_bytes)) {
        (None, None) => Ok(Expectation::Anything),
        (None, Some(b"*")) => Ok(Expectation::Absent),
        _ => Err(s3_error!(NotImplemented, "a copy knows If-None-Match: * only")),
    }
}

fn check_conditions(object: &Description, if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<()> {
    if if_match.is_some_and(|condition| !is(condition, object)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(|condition| is(condition, object)) {
        let mut unchanged = S3Error::new(S3ErrorCode::NotModified);
        let etag = format!("\"{}\"", object.etag()).parse().expect("a quoted hash is a header value");
        unchanged.set_headers([(http::header::ETAG, etag)].into_iter().collect());
        return Err(unchanged);
    }
    Ok(())
}

fn is(condition: &ETagCondition, object: &Description) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag(),
    }
}

/// The description of a copy: with the headers of the request when it says `REPLACE`, else with the original's.
fn copied(input: CopyObjectInput, original: Description, now: Timestamp) -> Description {
    let replaces = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let headers = Headers {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_encoding: input.content_encoding,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
    };
    Description {
        key: input.key,
        checksum_given: original.checksum_given || input.checksum_algorithm.is_some_and(|algorithm| algorithm.as_str() == "SHA256"),
        last_modified: Timestamp::from_second(now.as_second()).expect("now is a time"),
        headers: if replaces { headers } else { original.headers },
        metadata: if replaces { input.metadata.unwrap_or_default().into_iter().collect() } else { original.metadata },
        size: original.size,
        sha256: original.sha256,
    }
}

fn description(input: PutObjectInput, upload: &Upload, now: Timestamp) -> Description {
    Description {
        key: input.key,
        size: upload.size,
        sha256: upload.sha256.clone(),
        checksum_given: input.checksum_sha256.is_some(),
        last_modified: Timestamp::from_second(now.as_second()).expect("now is a time"),
        headers: Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
        },
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
    }
}

fn line(object: &Description) -> Object {
    Object {
        key: Some(object.key.clone()),
        size: Some(object.size.cast_signed()),
        e_tag: Some(ETag::Strong(object.etag())),
        last_modified: Some(time(object.last_modified)),
        ..Object::default()
    }
}

fn checksum(object: &Description) -> Option<String> {
    object.checksum_given.then(|| STANDARD.encode(object.sha256.to_array()))
}

fn key_of_token(token: &str) -> S3Result<String> {
    let key = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of ours"))
}

fn time(timestamp: Timestamp) -> s3s::dto::Timestamp {
    std::time::SystemTime::from(timestamp).into()
}
