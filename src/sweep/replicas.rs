//! The same deletion in every replica.
//! Never deletes anything there but the very bytes, by the very writer, that are about to go from the store.

use super::{SweepFailure, Tools};
use crate::bucket::{Attributes, Body, BucketError, Stored};
use crate::manifest::Layout;
use crate::manifest::record::Buried;

/// Deletes in every replica what is about to be deleted in the store, if it has the same bytes there.
pub(super) async fn delete(tools: &Tools, layout: &Layout, object: &Buried) -> Result<(), SweepFailure> {
    if tools.replicas.is_empty() {
        return Ok(());
    }
    let Some(stored) = tools.bucket.head(&object.key).await?.filter(|stored| stored.etag == object.etag) else { return Ok(()) };
    for replica in &tools.replicas {
        let key = replica.layout.key(layout.below(&object.key));
        let there = replica.bucket.head(&key).await?;
        let is_ours = |there: &Stored| (there.size, &there.sha256, &there.writer) == (stored.size, &stored.sha256, &stored.writer);
        if let Some(there) = there.filter(is_ours) {
            // Lost: another object is there by now; it stays.
            replica.bucket.delete(&key, &there.etag).await?;
        }
    }
    Ok(())
}

/// Writes the sign that retention takes a build, in every replica: its record there would say that the build is whole.
pub(super) async fn mark_swept(
    tools: &Tools,
    layout: &Layout,
    sign: &str,
    body: &Body,
    attributes: &Attributes,
) -> Result<(), BucketError> {
    for replica in &tools.replicas {
        let key = replica.layout.key(layout.below(sign));
        replica.bucket.create(&key, body.clone(), attributes).await?;
    }
    Ok(())
}
