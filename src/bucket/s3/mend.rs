//! Gives an object other headers, by a copy of the store onto itself: S3 has no other way.
//! Never on its own account: only where somebody asked for it. Never changes bytes (I3): the store copies exactly the object that was
//! seen, or nothing.

use super::S3Bucket;
use super::classify::{Call, answer};
use super::copy::{COPY_BYTES_MAX, patience};
use crate::bucket::{Attributes, BucketError, Original, Stored};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// The object has these headers, and the bytes that it had.
    Done,
    /// Another object was there by then: nothing was changed.
    Changed,
    /// The store does not do it, with what it said.
    Unable(String),
}

impl S3Bucket {
    /// Gives the object that was `found` at a key the headers and the metadata of `attributes`; its storage class stays. The caller has
    /// seen that its bytes have `attributes.sha256`. Three requests.
    ///
    /// # Errors
    /// When the bucket fails, or when what is there afterwards is not what was there before.
    pub async fn mend_headers(&self, key: &str, found: &Stored, attributes: &Attributes) -> Result<Mended, BucketError> {
        let call = self.call("correct the headers of", key);
        if found.size > COPY_BYTES_MAX {
            return Ok(Mended::Unable(format!("it has {} bytes, more than the {COPY_BYTES_MAX} that one request copies", found.size)));
        }
        let head = self.client.head_object().bucket(&self.name).key(key).if_match(&found.etag).send().await;
        let storage_class = match head {
            Ok(head) => head.storage_class,
            Err(error) if answer(&error).is_some_and(|said| matches!(said.status, 404 | 412)) => return Ok(Mended::Changed),
            Err(error) => return Err(call.failed(&error)),
        };
        let itself = Original { bucket: self.name.clone(), key: key.to_owned(), etag: found.etag.clone(), size: found.size };
        // No checksum is asked for: the one that the object has stays, and versitygw 1.8 writes that of no bytes when it copies an
        // object onto itself.
        let request = self.copy_request(key, &itself, attributes).set_storage_class(storage_class);
        let Err(error) = request.customize().config_override(patience(found.size)).send().await else {
            return self.confirm_mended(call, found, attributes).await;
        };
        let Some(said) = answer(&error) else { return Err(call.failed(&error)) };
        match (said.status, call.answered(said)) {
            (404 | 409 | 412, _) => Ok(Mended::Changed),
            (_, BucketError::Denied { cause, .. } | BucketError::Refused { cause, .. }) => Ok(Mended::Unable(cause)),
            (_, error) => Err(error),
        }
    }

    async fn confirm_mended(&self, call: Call<'_>, before: &Stored, attributes: &Attributes) -> Result<Mended, BucketError> {
        let Some(now) = self.look(call).await? else { return Err(call.unavailable("after the copy onto itself the object is gone")) };
        let is_right = now.size == before.size
            && now.sha256.as_ref() == Some(&attributes.sha256)
            && now.content_type.as_deref() == Some(&attributes.content_type)
            && now.cache_control.as_deref() == Some(&attributes.cache_control)
            && now.content_encoding.as_deref() == attributes.content_encoding;
        Ok(if is_right {
            Mended::Done
        } else {
            Mended::Unable("the store copied the object onto itself, and what is there now is not what was asked for".to_owned())
        })
    }
}
