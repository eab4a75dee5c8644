//! Multipart uploads that nobody will finish: they cost storage and no listing of objects shows them.
//! Never gives up one that is younger than it was told, nor one outside of the prefix.

use jiff::Timestamp;

use super::S3Bucket;
use super::classify::{Answer, Call, answer};
use super::description::timestamp;
use crate::bucket::BucketError;

/// Uploads that are given up at a time: they are as many as publishers that died, and lines that are held here.
const UPLOADS_MAX: usize = 10_000;

/// A store that does not know multipart uploads has none; `rclone serve s3` says so of a bucket without any, as if of one upload.
fn has_none(answer: Answer<'_>) -> bool {
    answer.status == 501 || (answer.status, answer.code) == (404, Some("NoSuchUpload"))
}

/// One upload.
struct Begun {
    key: String,
    id: String,
}

impl S3Bucket {
    pub(super) async fn give_up_begun(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        let call = self.call("list uploads of", prefix);
        let mut given_up = 0;
        for upload in self.begun(call, prefix, before).await? {
            let request = self.client.abort_multipart_upload().bucket(&self.name).key(&upload.key).upload_id(&upload.id);
            match request.send().await {
                Ok(_) => given_up += 1,
                // Finished or given up meanwhile.
                Err(error) if answer(&error).is_some_and(|answer| answer.status == 404) => {}
                Err(error) => return Err(self.call("give up the upload of", &upload.key).failed(&error)),
            }
        }
        Ok(given_up)
    }

    async fn begun(&self, call: Call<'_>, prefix: &str, before: Timestamp) -> Result<Vec<Begun>, BucketError> {
        let mut begun = Vec::new();
        let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
        loop {
            let last = (key.clone(), id.clone());
            let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix);
            let page = match request.set_key_marker(key).set_upload_id_marker(id).send().await {
                Ok(page) => page,
                Err(error) if answer(&error).is_some_and(has_none) => return Ok(begun),
                Err(error) => return Err(call.failed(&error)),
            };
            for upload in page.uploads() {
                let (Some(key), Some(id), Some(at)) = (upload.key(), upload.upload_id(), upload.initiated().and_then(timestamp)) else {
                    continue;
                };
                if at < before && key.starts_with(prefix) {
                    begun.push(Begun { key: key.to_owned(), id: id.to_owned() });
                }
            }
            (key, id) = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
            // The rest is for the next time.
            if !page.is_truncated().unwrap_or(false) || key.is_none() || begun.len() >= UPLOADS_MAX {
                return Ok(begun);
            }
            // By key and, of one key, by time: the ids have no order, but are never the same again.
            if key < last.0 || (&key, &id) == (&last.0, &last.1) {
                return Err(call.refused("the store's listing of uploads does not go on in order of the keys"));
            }
        }
    }
}
