//! Attributes <-> headers and metadata of an S3 object.
//! Never trusts a checksum that covers parts instead of the whole.

use std::collections::HashMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::Object;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::api::ContentHash;
use crate::bucket::{Attributes, Listed, Stored};
use crate::manifest::Writer;

const SHA256: &str = "rollcall-sha256";
const RELEASE: &str = "rollcall-release";
const VERSION: &str = "rollcall-version";
const DIGEST: &str = "rollcall-digest";
const SEQUENCE: &str = "rollcall-sequence";

type Metadata = HashMap<String, String>;

/// Most lines of a page, as S3 has it.
const LINES_MAX: usize = 1000;

/// Longest key, in bytes, as S3 has it.
const KEY_BYTES_MAX: usize = 1024;

/// Sees that a page of a listing leads on: a store that repeats itself would be listed for ever.
pub(super) fn goes_on(objects: &[Listed], prefix: &str, after: Option<&str>) -> Result<(), &'static str> {
    if objects.len() > LINES_MAX {
        return Err("the store's listing has more than 1,000 lines a page");
    }
    let mut before = after;
    for Listed { key, .. } in objects {
        if !key.starts_with(prefix) || key.len() > KEY_BYTES_MAX {
            return Err("the store's listing has a key that was not asked for");
        }
        if before.is_some_and(|before| before >= key.as_str()) {
            return Err("the store's listing does not go on in byte order of the keys");
        }
        before = Some(key);
    }
    Ok(())
}

/// Our own metadata of an object to be written.
pub(super) fn metadata(attributes: &Attributes) -> Metadata {
    let mut metadata = Metadata::from([(SHA256.to_owned(), attributes.sha256.to_string())]);
    if let Some(writer) = &attributes.writer {
        metadata.insert(RELEASE.to_owned(), writer.release.clone());
        metadata.insert(VERSION.to_owned(), writer.version.clone());
        metadata.insert(DIGEST.to_owned(), writer.digest.to_string());
    }
    if let Some(sequence) = attributes.sequence {
        metadata.insert(SEQUENCE.to_owned(), sequence.to_string());
    }
    metadata
}

/// The value of `x-amz-checksum-sha256`.
pub(super) fn checksum(sha256: &ContentHash) -> String {
    STANDARD.encode(sha256.to_array())
}

/// What a HEAD says; `None` when it lacks what a conditional write needs.
pub(super) fn stored(head: &HeadObjectOutput) -> Option<Stored> {
    let none = Metadata::new();
    let metadata = head.metadata().unwrap_or(&none);
    let computed = head.checksum_sha256().and_then(hash);
    Some(Stored {
        size: u64::try_from(head.content_length()?).ok()?,
        etag: quoted(head.e_tag()?),
        sha256: computed.clone().or_else(|| metadata.get(SHA256)?.parse().ok()),
        computed,
        content_type: head.content_type().map(str::to_owned),
        cache_control: head.cache_control().map(str::to_owned),
        content_encoding: head.content_encoding().filter(|encoding| !encoding.is_empty()).map(str::to_owned),
        writer: writer(metadata),
        sequence: metadata.get(SEQUENCE).and_then(|number| number.parse().ok()),
        last_modified: timestamp(head.last_modified()?)?,
    })
}

/// One line of a listing; `None` when it lacks what a conditional delete needs.
pub(super) fn listed(object: &Object) -> Option<Listed> {
    Some(Listed {
        key: object.key()?.to_owned(),
        size: u64::try_from(object.size()?).ok()?,
        etag: quoted(object.e_tag()?),
        last_modified: timestamp(object.last_modified()?)?,
    })
}

/// A token as conditions name it. Some stores leave the quotes out in listings (`rclone serve s3` does), and in headers have them.
fn quoted(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// The hash in a checksum header. A composite one (`…-3`) covers hashes of parts and is not a hash of the bytes.
fn hash(checksum: &str) -> Option<ContentHash> {
    let raw = STANDARD.decode(checksum).ok()?;
    Some(ContentHash::from_array(raw.try_into().ok()?))
}

fn writer(metadata: &Metadata) -> Option<Writer> {
    Some(Writer {
        release: metadata.get(RELEASE)?.clone(),
        version: metadata.get(VERSION)?.clone(),
        digest: metadata.get(DIGEST)?.parse().ok()?,
    })
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    // Below a second, so at most 999,999,999.
    let nanoseconds = i32::try_from(time.subsec_nanos()).ok()?;
    Timestamp::new(time.secs(), nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ManifestDigest;

    fn head(metadata: Metadata, checksum: Option<&str>) -> HeadObjectOutput {
        HeadObjectOutput::builder()
            .content_length(1)
            .e_tag("\"t\"")
            .last_modified(DateTime::from_secs_and_nanos(1_700_000_000, 500_000_000))
            .set_metadata(Some(metadata))
            .set_checksum_sha256(checksum.map(str::to_owned))
            .build()
    }

    #[test]
    fn metadata_says_who_wrote_it_and_comes_back() {
        let writer = Writer { release: "shop/web".to_owned(), version: "v1".to_owned(), digest: ManifestDigest::of(b"m") };
        let sha256 = ContentHash::of(b"x");
        let attributes = Attributes {
            content_type: "text/html".to_owned(),
            cache_control: "no-cache".to_owned(),
            content_encoding: None,
            sha256: sha256.clone(),
            writer: Some(writer.clone()),
            sequence: Some(7),
        };
        let found = stored(&head(metadata(&attributes), None)).unwrap();
        assert_eq!((found.sha256, found.writer, found.sequence), (Some(sha256), Some(writer), Some(7)));
        assert_eq!(found.last_modified, "2023-11-14T22:13:20.5Z".parse().unwrap());
    }

    #[test]
    fn a_verified_checksum_goes_before_metadata_and_a_composite_one_is_none() {
        let (verified, claimed) = (ContentHash::of(b"verified"), ContentHash::of(b"claimed"));
        let metadata = || Metadata::from([(SHA256.to_owned(), claimed.to_string())]);
        let whole = checksum(&verified);
        let found = stored(&head(metadata(), Some(&whole))).unwrap();
        assert_eq!((found.sha256, found.computed), (Some(verified.clone()), Some(verified)));
        let found = stored(&head(metadata(), Some(&format!("{whole}-3")))).unwrap();
        assert_eq!((found.sha256, found.computed), (Some(claimed.clone()), None));
        assert_eq!(stored(&head(Metadata::new(), Some(&format!("{whole}-3")))).unwrap().sha256, None);
    }

    #[test]
    fn without_a_token_there_is_no_description() {
        assert_eq!(stored(&HeadObjectOutput::builder().content_length(1).build()), None);
        assert_eq!(listed(&Object::builder().key("a").size(1).build()), None);
    }
}
