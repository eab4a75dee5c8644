//! What lies in the folder of a build, by its listing: names and lengths are checked before a byte is read.
//! Never gives back more than the limits allow, nor a key that an archive could not have.

use super::super::path::{BuildPath, Collisions};
use super::super::{PathProblem, Refusal, SourceError};
use super::BuildFolder;
use crate::bucket::Listed;

/// One object of the build. Its key is the folder and the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lying {
    pub(super) path: String,
    /// The token under which it was listed.
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The objects, sorted by path.
pub(super) async fn objects(from: &BuildFolder) -> Result<Vec<Lying>, SourceError> {
    let (folder, limits) = (from.place.folder.as_str(), &from.limits);
    let (mut objects, mut collisions, mut after) = (Vec::new(), Collisions::default(), None);
    let (mut lines, mut bytes) = (0, 0_u64);
    loop {
        let page = from.bucket.list(folder, after.as_deref()).await.map_err(|error| from.failed(error))?;
        lines += page.objects.len() as u64;
        if lines > limits.entries {
            return Err(Refusal::TooManyEntries { max: limits.entries }.into());
        }
        for listed in page.objects.iter().filter(|listed| !is_marker(listed)) {
            let path = path_of(listed, folder)?;
            if listed.size > limits.file_bytes {
                return Err(Refusal::FileTooLarge { entry: path.as_str().into(), bytes_max: limits.file_bytes }.into());
            }
            bytes = bytes.saturating_add(listed.size);
            collisions.add(&path)?;
            objects.push(Lying { path: path.into_string(), etag: listed.etag.clone(), size: listed.size });
        }
        if bytes > limits.total_bytes {
            return Err(Refusal::BuildTooLarge { bytes_max: limits.total_bytes }.into());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    collisions.finish()?;
    if objects.is_empty() {
        return Err(SourceError::NoBuild { place: from.place.to_string() });
    }
    // As a listing comes; a store that sorts otherwise must not spoil the search by path.
    objects.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(objects)
}

/// What consoles leave behind for a folder that was made by hand.
fn is_marker(listed: &Listed) -> bool {
    listed.size == 0 && listed.key.ends_with('/')
}

fn path_of(listed: &Listed, folder: &str) -> Result<BuildPath, SourceError> {
    let below = listed.key.strip_prefix(folder).unwrap_or_default();
    let refused = |problem| Refusal::UnsafePath { entry: below.into(), problem };
    let path = BuildPath::parse(below.as_bytes()).map_err(refused)?;
    // An archive's `./a` and `a` are one file, keys of a bucket are two.
    if path.as_str() == below { Ok(path) } else { Err(refused(PathProblem::EmptyPart).into()) }
}
