//! Objects whose bytes are right and whose headers are not: somebody edited them or sent the file again with another tool, or an
//! older Rollcall had another table of types. Browsers then cache for too short, or take a script for text.
//! Never changes anything: a listing does not show headers, so this is one HEAD for each object that is looked at.

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::send::object_attributes;
use crate::api::ContentHash;
use crate::bucket::{Attributes, Bucket, BucketError, Stored, hash_of};
use crate::manifest::{Layout, Manifest, ManifestFile};

/// Looks in flight.
const PARALLEL: usize = 64;

/// Which objects are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them: as many requests as objects.
    All,
    /// So many, spread evenly over the build; another turn looks at others.
    Sample {
        /// How many at most.
        count: usize,
        /// Which ones.
        turn: usize,
    },
}

/// What was seen of a version's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadersSeen {
    /// Objects that were looked at.
    pub looked: usize,
    /// Objects with other headers, by key.
    pub drifted: Vec<Drifted>,
    /// Keys where nothing is; sorted. The listing before a stage finds all of them.
    pub missing: Vec<String>,
    /// Keys where the store says that other bytes are; sorted. Publishing the version again names who wrote them.
    pub other_bytes: Vec<String>,
}

/// An object with other headers than it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// The key of the bucket.
    pub key: String,
    /// What is there.
    pub found: Stored,
    /// What it should be stored with.
    pub expected: Attributes,
    /// Where the two differ.
    pub differences: Vec<Difference>,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub header: &'static str,
    /// What it should be; nothing when it should not be there.
    pub expected: Option<String>,
    /// What it is; nothing when it is not there.
    pub found: Option<String>,
}

/// Looks at the headers of a version's objects.
///
/// # Errors
/// When the bucket fails. Drift is no error but the answer.
pub async fn headers_of(bucket: &dyn Bucket, layout: &Layout, manifest: &Manifest, extent: Extent) -> Result<HeadersSeen, BucketError> {
    // Owned files: a closure over borrowed ones has no future that is known to be `Send`, and this runs as a task.
    let files: Vec<ManifestFile> = chosen(manifest.files.len(), extent).map(|at| manifest.files[at].clone()).collect();
    let looked = files.len();
    let looks = futures::stream::iter(files).map(|file| async move {
        let key = layout.key(&file.key());
        Ok::<_, BucketError>((bucket.head(&key).await?, key, file))
    });
    let looks: Vec<_> = looks.buffer_unordered(PARALLEL).try_collect().await?;
    let mut seen = HeadersSeen { looked, ..HeadersSeen::default() };
    for (found, key, file) in looks {
        seen.note(key, found, &file);
    }
    seen.drifted.sort_by(|a, b| a.key.cmp(&b.key));
    // Entry files with the same bytes share an object.
    seen.drifted.dedup_by(|a, b| a.key == b.key);
    for keys in [&mut seen.missing, &mut seen.other_bytes] {
        keys.sort();
        keys.dedup();
    }
    Ok(seen)
}

impl HeadersSeen {
    fn note(&mut self, key: String, found: Option<Stored>, file: &ManifestFile) {
        let Some(found) = found else { return self.missing.push(key) };
        let has_other_bytes = found.size != file.size || found.sha256.as_ref().is_some_and(|sha256| *sha256 != file.sha256);
        if has_other_bytes {
            return self.other_bytes.push(key);
        }
        let expected = object_attributes(file, found.writer.clone());
        let differences = differences(&found, &expected);
        if !differences.is_empty() {
            self.drifted.push(Drifted { key, found, expected, differences });
        }
    }

    /// One sentence for people about what drifted; nothing when nothing did.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let first = self.drifted.first()?;
        let difference = first.differences.first()?;
        let shown = |value: &Option<String>| value.as_ref().map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
        Some(format!(
            "{} of {} objects looked at have other headers than Rollcall stores them with: {:?} has {} {} instead of {}",
            self.drifted.len(),
            self.looked,
            first.key,
            difference.header,
            shown(&difference.found),
            shown(&difference.expected),
        ))
    }
}

fn chosen(files: usize, extent: Extent) -> impl Iterator<Item = usize> {
    let (count, turn) = match extent {
        Extent::All => (files, 0),
        Extent::Sample { count, turn } => (count.min(files), turn),
    };
    // The turn moves all of them on by one, up to where the next one began.
    (0..count).map(move |number| (number * files / count + turn % files.div_ceil(count)).min(files - 1))
}

fn differences(found: &Stored, expected: &Attributes) -> Vec<Difference> {
    let hash = |sha256: &ContentHash| sha256.to_string();
    let headers = [
        ("content-type", Some(expected.content_type.clone()), found.content_type.clone()),
        ("cache-control", Some(expected.cache_control.clone()), found.cache_control.clone()),
        ("content-encoding", expected.content_encoding.map(str::to_owned), found.content_encoding.clone()),
        // Without it a publish has to read the bytes to know them.
        ("x-amz-meta-rollcall-sha256", Some(hash(&expected.sha256)), found.sha256.as_ref().map(hash)),
    ];
    let differ = headers.into_iter().filter(|(_, expected, found)| expected != found);
    differ.map(|(header, expected, found)| Difference { header, expected, found }).collect()
}

/// Whether what is there has the bytes that it should have. Read, in bounded memory, where the store knows no hash of them.
///
/// # Errors
/// When the bucket fails.
pub async fn has_right_bytes(bucket: &dyn Bucket, drifted: &Drifted) -> Result<bool, BucketError> {
    if let Some(sha256) = &drifted.found.sha256 {
        return Ok(*sha256 == drifted.expected.sha256);
    }
    let Some(pieces) = bucket.read(&drifted.key, &drifted.found.etag).await? else { return Ok(false) };
    Ok(hash_of(pieces).await? == drifted.expected.sha256)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::ManifestDigest;
    use crate::bucket::memory::MemoryBucket;
    use crate::bucket::{Body, Created};
    use crate::clock::TokioClock;
    use crate::manifest::Writer;
    use crate::manifest::build::{NewFile, assemble};
    use crate::manifest::readers::{BuildNames, Decided};

    fn manifest(paths: &[&str]) -> Manifest {
        let new = |path: &&str| NewFile { path: (*path).to_owned(), size: path.len() as u64, sha256: ContentHash::of(path.as_bytes()) };
        assemble(paths.iter().map(new).collect(), &BuildNames::none(Decided::NothingFound)).unwrap().manifest
    }

    /// A bucket that has every file of a build; a file's bytes are its path.
    async fn filled(manifest: &Manifest) -> MemoryBucket {
        let bucket = MemoryBucket::new(Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap())));
        let writer = Writer { release: "web/shop".to_owned(), version: "v1".to_owned(), digest: ManifestDigest::of(b"m") };
        for file in &manifest.files {
            let bytes = file.path.clone().into_bytes();
            let attributes = object_attributes(file, Some(writer.clone()));
            let created = bucket.create(&format!("shop/{}", file.key()), Body::Bytes(bytes.into()), &attributes).await;
            assert_eq!(created, Ok(Created::New));
        }
        bucket
    }

    #[tokio::test]
    async fn headers_that_are_ours_are_right_and_others_are_told_by_name() {
        let manifest = manifest(&[
            "_astro/a-BEcQUh0e.js",
            "_astro/a-BEcQUh0e.js.br",
            "_astro/b-BEcQUh0e.css",
            "_astro/c-BEcQUh0e.css",
            "_astro/d-BEcQUh0e.css",
            "index.html",
        ]);
        let (bucket, layout) = (filled(&manifest).await, Layout::new("", "shop/"));
        let seen = headers_of(&bucket, &layout, &manifest, Extent::All).await.unwrap();
        assert_eq!(seen, HeadersSeen { looked: 6, ..HeadersSeen::default() });
        bucket.overwrite("shop/_astro/b-BEcQUh0e.css", "_astro/b-BEcQUh0e.css");
        bucket.overwrite("shop/_astro/c-BEcQUh0e.css", "_astro/C-BEcQUh0e.css");
        bucket.overwrite("shop/_astro/a-BEcQUh0e.js", "longer than it was");
        bucket.remove("shop/_astro/d-BEcQUh0e.css");
        let seen = headers_of(&bucket, &layout, &manifest, Extent::All).await.unwrap();
        let brief: Vec<_> = seen.drifted.iter().map(|one| (one.key.as_str(), one.differences.len())).collect();
        assert_eq!(brief, [("shop/_astro/b-BEcQUh0e.css", 3), ("shop/_astro/c-BEcQUh0e.css", 3)]);
        assert_eq!(
            (&seen.missing[..], &seen.other_bytes[..]),
            (&["shop/_astro/d-BEcQUh0e.css".to_owned()][..], &["shop/_astro/a-BEcQUh0e.js".to_owned()][..])
        );
        assert_eq!(
            seen.sentence().unwrap(),
            r#"2 of 6 objects looked at have other headers than Rollcall stores them with: "shop/_astro/b-BEcQUh0e.css" has content-type none instead of "text/css; charset=utf-8""#
        );
        assert!(has_right_bytes(&bucket, &seen.drifted[0]).await.unwrap());
        assert!(!has_right_bytes(&bucket, &seen.drifted[1]).await.unwrap(), "as many bytes, and others");
    }

    #[test]
    fn samples_of_all_turns_together_are_everything() {
        for (files, count) in [(100, 16), (16, 16), (5, 16), (33, 16), (1, 1)] {
            let mut all = std::collections::BTreeSet::new();
            for turn in 0..files {
                let sample: Vec<_> = chosen(files, Extent::Sample { count, turn }).collect();
                assert!(sample.len() <= count && sample.iter().all(|at| *at < files), "{sample:?}");
                all.extend(sample);
            }
            assert_eq!(all.len(), files, "by {count}");
        }
        assert_eq!(chosen(3, Extent::All).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(chosen(0, Extent::Sample { count: 16, turn: 3 }).count(), 0);
    }
}
