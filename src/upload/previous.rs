//! What was published before, and what of a build its visitors have already. Only reads.

use std::sync::Arc;

use super::documents::{ReadFailure, read};
use super::known::had;
use super::objects::Objects;
use super::records::list_records;
use crate::bucket::Bucket;
use crate::manifest::classify::is_beside_a_script;
use crate::manifest::{Class, Layout, Manifest, VersionRecord};

/// The version published before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its label.
    pub version: String,
    /// Bytes of the new build's assets that somebody who has all of its assets must load nevertheless.
    pub load_again: u64,
}

impl Before {
    /// `had`: for each place whether it has that object.
    pub(super) fn new(version: String, objects: &Objects, had: &[bool]) -> Self {
        let new = objects.all().filter(|at| !had[*at]).map(|at| objects.file(at));
        // A browser loads one of a file and its variants, and one of a script for new browsers and the same for old ones.
        let has_modern = objects.all().any(|at| is_script(&objects.file(at).path) && !is_legacy(&objects.file(at).path));
        let is_loaded = |path: &str| !(is_beside_a_script(path) || (has_modern && is_legacy(path)));
        let loaded = new.filter(|file| file.class != Class::Entry && file.encoding().is_none() && is_loaded(&file.path));
        Self { version, load_again: loaded.map(|file| file.size).sum() }
    }
}

fn is_script(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "js" | "mjs"))
}

/// Scripts that only browsers without modules load: `index-legacy-BEcQUh0e.js` (Vite, Vue CLI), `polyfills-es5.3a4f5b6c.js` (Angular),
/// `polyfills-….js` of Next.js, which its pages load with `nomodule`.
fn is_legacy(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let is_of_next = path.contains("_next/static/chunks/") && name.starts_with("polyfills-");
    let has_mark = ["-legacy-", "-legacy.", "-es5.", "-es5-"].iter().any(|mark| name.contains(mark));
    is_script(path) && (is_of_next || has_mark)
}

/// The newest recorded version with another name.
///
/// # Errors
/// When the bucket fails or the record is damaged.
pub async fn newest_other(bucket: &dyn Bucket, layout: &Layout, version: &str) -> Result<Option<VersionRecord>, ReadFailure> {
    let ours = layout.version(version);
    match list_records(bucket, layout).await?.iter().find(|listed| listed.key != ours) {
        Some(newest) => read(bucket, &newest.key).await,
        None => Ok(None),
    }
}

/// What was published before a version with this manifest.
///
/// # Errors
/// When the bucket fails, or the record or the manifest of what was before is gone or damaged.
pub async fn before(bucket: &dyn Bucket, layout: &Layout, version: &str, manifest: &Arc<Manifest>) -> Result<Option<Before>, ReadFailure> {
    let Some(record) = newest_other(bucket, layout, version).await? else { return Ok(None) };
    let objects = Objects::new(layout, manifest);
    let had = had(bucket, layout, &record.digest, &objects).await?;
    Ok(Some(Before::new(record.version, &objects, &had)))
}
