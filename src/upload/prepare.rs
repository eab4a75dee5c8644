//! Before anything is written: take the build, make its manifest, and see that nothing in it refers to what it lacks.
//! Never writes to the bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::documents::{self, Lasts};
use super::{Publish, PublishFailure};
use crate::api::foreign::shown;
use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::{Attributes, Body, Bucket, Making};
use crate::manifest::build::{self, Assembled};
use crate::manifest::closure::{Closure, External, Gaps, TEXT_BYTES_MAX, Verdict};
use crate::manifest::evidence::{Declared, Vouchers};
use crate::manifest::readers::{self, BuildNames, Reading};
use crate::manifest::{Encoded, Layout, Manifest, ManifestFile};
use crate::source::bucket::Pin;
use crate::source::{self, Build, Refusal, SourceError};
use reading::Lie;

mod looked_at;
mod reading;
mod recorded;
mod unused;

/// References that only warn and are written into the log of the controller; `rollcall publish` says them all.
const WARNINGS_MAX: usize = 10;

/// Longest warning in the log, in characters.
const WARNING_CHARS_MAX: usize = 400;

/// S3's limit for a key.
const KEY_BYTES_MAX: usize = 1024;

/// A build with its manifest. It may be published once [`Prepared::check_closure`] has let it pass.
pub struct Prepared {
    /// Where the bytes lie.
    pub bytes: source::Bytes,
    /// What is published.
    pub manifest: Arc<Manifest>,
    /// How the build was read.
    pub reading: Reading,
    /// Length of the manifest as it is stored. Its bytes are made again while they are sent: 38 MB at 200,000 files are never held.
    pub(super) stored_size: u64,
    /// The manifest's digest: the identity of the build.
    pub digest: ManifestDigest,
    /// Files of the build that today's rules leave out: an older program may have published them.
    pub(super) left_out: Vec<(String, ContentHash)>,
}

pub(super) async fn fetched(
    bucket: &dyn Bucket,
    request: &Publish,
    build: impl Future<Output = Result<Build, SourceError>>,
) -> Result<Prepared, PublishFailure> {
    let hide = |failure: PublishFailure| match &request.pin {
        Some(pin) => untold(failure, pin),
        None => failure,
    };
    let build = build.await.map_err(|error| hide(error.into()))?;
    // Before anything that today's rules could refuse: what is recorded was in order when it was published.
    if let Some(recorded) = Prepared::recorded(bucket, request, &build).await?
        && request.pin.as_ref().is_none_or(|pin| pin.check(&recorded.digest).is_ok())
    {
        return Ok(recorded);
    }
    let (prepared, names) = Prepared::read(request, build).await.map_err(hide)?;
    if let Some(pin) = &request.pin {
        pin.check(&prepared.digest).map_err(SourceError::from)?;
    }
    let verdict = prepared.check_closure(request, &names).await?;
    for warning in verdict.warnings().take(WARNINGS_MAX) {
        tracing::warn!(
            release = request.release,
            version = request.version,
            "{}",
            shown(&format!("{}: {}", warning.referrer, warning.finding()), WARNING_CHARS_MAX)
        );
    }
    Ok(prepared)
}

/// Until the digest is known to be the one that the release asks for, names and contents of the folder are told to nobody: whoever may
/// write a release may name any folder that its keys can read, but not read it.
fn untold(failure: PublishFailure, pin: &Pin) -> PublishFailure {
    let nameless = |reason: &'static str| {
        let place = &pin.place;
        let message = format!(
            "the build in {place} cannot be published, and its faults are shown only when its digest is the one that the release asks for; `rollcall digest DIR` shows them"
        );
        PublishFailure::InvalidBuild { reason, message }
    };
    match failure {
        PublishFailure::InvalidBuild { reason, .. } => nameless(reason),
        // How many there are names none.
        PublishFailure::Source(SourceError::Refused(Refusal::TooManyEntries { .. } | Refusal::BuildTooLarge { .. } | Refusal::Empty)) => {
            failure
        }
        PublishFailure::Source(SourceError::Refused(refusal)) => nameless(refusal.reason()),
        PublishFailure::Source(SourceError::Changed { place, .. }) => SourceError::Changed { place, path: "a file".to_owned() }.into(),
        PublishFailure::Source(SourceError::Bucket { place, error }) => {
            SourceError::Bucket { place, error: error.of_key("an object of the build") }.into()
        }
        failure => failure,
    }
}

impl Prepared {
    /// Reads what the build tool says of a build and makes its manifest. Nothing is asked of the bucket.
    ///
    /// # Errors
    /// When the build cannot be published as it is, or a file of it not be read.
    pub async fn read(request: &Publish, build: Build) -> Result<(Self, BuildNames), PublishFailure> {
        let (names, build) = build_names(request, build).await?;
        let mut vouchers = Vouchers::new(&names, &request.declared).map_err(|error| invalid(error.reason(), &error))?;
        let types = looked_at::look(&build, &mut vouchers).await?;
        let Build { files, bytes } = build;
        let left_out = files.iter().filter(|file| build::leaves_out(&names, &file.path));
        let left_out = left_out.map(|file| (file.path.clone(), file.sha256.clone())).collect();
        let Assembled { manifest, stored_size, digest } =
            build::assemble_with(files, &names, &vouchers, &types).map_err(|error| invalid(error.reason(), &error))?;
        drop(vouchers);
        check_keys(&request.layout, &manifest)?;
        check_excluded(&request.layout, &manifest)?;
        Ok((Self { bytes, manifest: Arc::new(manifest), reading: names.reading.clone(), stored_size, digest, left_out }, names))
    }

    /// Sees that no file lies in a part of the prefix that belongs to others.
    ///
    /// # Errors
    /// When one does.
    pub fn check_excluded(&self, layout: &Layout) -> Result<(), PublishFailure> {
        check_excluded(layout, &self.manifest)
    }

    /// The manifest as it is stored.
    pub(super) fn stored_manifest(&self) -> (Body, Attributes) {
        let making = StoredManifest { manifest: Arc::clone(&self.manifest), size: self.stored_size };
        (Body::Made(Arc::new(making)), documents::attributes(self.digest.hash(), Lasts::ForEver))
    }

    /// Sees that nothing in the build refers to what it lacks; answers what only warns, and where the build lies.
    ///
    /// # Errors
    /// When something does, or a text cannot be read.
    pub async fn check_closure(&self, request: &Publish, names: &BuildNames) -> Result<Verdict, PublishFailure> {
        let mut gaps = Gaps::default();
        gaps.look_at_names(names);
        let mut texts = Vec::new();
        for (at, file) in self.manifest.files.iter().enumerate().filter(|(_, file)| Closure::looks_at(&file.path)) {
            if file.size <= TEXT_BYTES_MAX || Closure::must_look_at(&file.path) {
                texts.push((at, self.body_of_text(file).await?));
            }
        }
        let (manifest, place) = (Arc::clone(&self.manifest), Place::of(request, names)?);
        let lie = Lie::of(texts.iter().map(|(_, body)| body));
        let verdict = reading::aside(lie, move |reading| {
            let closure = place.closure(&manifest);
            for (at, body) in texts {
                let file = &manifest.files[at];
                let turn = reading.turn()?;
                gaps.look(&closure, &file.path, &String::from_utf8_lossy(&reading::content(&turn, &body)?));
            }
            let mut verdict = gaps.finish(&closure);
            verdict.unused.extend(unused::patterns(&place.declared, &manifest));
            Ok(verdict)
        })
        .await?;
        if verdict.is_error() { Err(invalid("MissingReference", &verdict.message())) } else { Ok(verdict) }
    }

    /// The bytes of a text of the build.
    ///
    /// # Errors
    /// When it is longer than [`TEXT_BYTES_MAX`], or cannot be read.
    pub async fn text(&self, file: &ManifestFile) -> Result<bytes::Bytes, PublishFailure> {
        content(&self.body_of_text(file).await?).await
    }

    async fn body_of_text(&self, file: &ManifestFile) -> Result<Body, PublishFailure> {
        if file.size > TEXT_BYTES_MAX {
            let (path, size) = (&file.path, file.size);
            let message = format!("{path:?} has {size} bytes, more than {TEXT_BYTES_MAX}, the most that is read for references");
            return Err(invalid("TextTooLarge", &message));
        }
        Ok(self.bytes.body(&file.path, &file.sha256, file.size).await?)
    }
}

/// The references of a build, resolved from every place at which it may lie.
///
/// # Errors
/// When a pattern of what others serve is none.
pub fn closure_of<'m>(manifest: &'m Manifest, request: &Publish, names: &BuildNames) -> Result<Closure<'m>, PublishFailure> {
    Ok(Place::of(request, names)?.closure(manifest))
}

/// What is known of where a build will lie and of what lies beside it.
struct Place {
    external: External,
    base_urls: Vec<String>,
    public_path: Option<String>,
    prefix: String,
    declared: Declared,
}

impl Place {
    fn of(request: &Publish, names: &BuildNames) -> Result<Self, PublishFailure> {
        Ok(Self {
            external: External::new(&request.external).map_err(|error| invalid("InvalidExternal", &error))?,
            base_urls: request.base_urls.clone(),
            public_path: names.names.public_path.clone(),
            prefix: request.layout.prefix().to_owned(),
            declared: request.declared.clone(),
        })
    }

    fn closure<'m>(&self, manifest: &'m Manifest) -> Closure<'m> {
        let paths = manifest.files.iter().map(|file| file.path.as_str());
        Closure::new(paths, &self.base_urls).built_at(self.public_path.as_deref()).below(&self.prefix).without(&self.external)
    }
}

fn invalid(reason: &'static str, message: &dyn ToString) -> PublishFailure {
    PublishFailure::InvalidBuild { reason, message: message.to_string() }
}

/// What the build tool says of its build, with the build.
async fn build_names(request: &Publish, build: Build) -> Result<(BuildNames, Build), PublishFailure> {
    let mut bodies = Vec::new();
    for path in readers::wanted(&request.names, &build.files) {
        if let Some(file) = build.files.iter().find(|file| file.path == path) {
            bodies.push((path, build.bytes.body(&file.path, &file.sha256, file.size).await?));
        }
    }
    let wish = request.names.clone();
    let lie = Lie::of(bodies.iter().map(|(_, body)| body));
    reading::aside(lie, move |reading| {
        let turn = reading.turn()?;
        let texts = bodies.into_iter().map(|(path, body)| Ok((path, reading::content(&turn, &body)?)));
        let texts = texts.collect::<Result<BTreeMap<_, _>, PublishFailure>>()?;
        let names = readers::read(&wish, &build.files, &texts).map_err(|error| invalid(error.reason(), &error))?;
        Ok((names, build))
    })
    .await
}

fn check_keys(layout: &Layout, manifest: &Manifest) -> Result<(), PublishFailure> {
    let length = |below: &str| layout.prefix().len() + below.len();
    match manifest.files.iter().find(|file| length(&file.path).max(length(&file.key())) > KEY_BYTES_MAX) {
        Some(file) => {
            let key = layout.key(&file.path);
            let message = format!("{key:?} has {} bytes, more than {KEY_BYTES_MAX}: give the file a shorter path", key.len());
            Err(invalid("KeyTooLong", &message))
        }
        None => Ok(()),
    }
}

fn check_excluded(layout: &Layout, manifest: &Manifest) -> Result<(), PublishFailure> {
    let Some(file) = manifest.files.iter().find(|file| layout.excludes(&layout.key(&file.path))) else { return Ok(()) };
    let message = format!(
        "{:?} lies in a part of the prefix that is excluded (spec.excludedPrefixes, --exclude-prefix): it belongs to another release; take the file out of the build",
        layout.key(&file.path)
    );
    Err(invalid("ExcludedPath", &message))
}

/// A manifest on its way into the bucket.
struct StoredManifest {
    manifest: Arc<Manifest>,
    size: u64,
}

/// Without its files: there may be 200,000.
impl fmt::Debug for StoredManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredManifest({} files, {} bytes)", self.manifest.files.len(), self.size)
    }
}

impl Making for StoredManifest {
    fn size(&self) -> u64 {
        self.size
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = bytes::Bytes> + Send + Sync> {
        Box::new(Encoded::new(Arc::clone(&self.manifest)).map(bytes::Bytes::from))
    }
}

/// The whole body in memory.
pub(super) async fn content(body: &Body) -> Result<bytes::Bytes, PublishFailure> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::Made(making) => Ok(making.whole()),
        Body::File { path, .. } => match tokio::fs::read(path).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(SourceError::Workspace { folder: path.clone(), cause: error.to_string() }.into()),
        },
    }
}
