//! One sample of every way in which a job or the bucket can fail, and what to do about it, for the page of blockers.
//! Never a failure that nothing raises: each sample is a value of the type that is raised.

use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::BucketError;
use crate::controller::{FALLBACK_MISSING, no_fallback_message};
use crate::egress::{Kind, NotAllowed};
use crate::manifest::build::InvalidBuild;
use crate::manifest::readers::UnreadableNames;
use crate::manifest::{Evidence, Writer};
use crate::source::{NoRoom, PathProblem, Refusal, SourceError};
use crate::upload::{EntriesFailure, FailureClass, PublishFailure};

/// What people read about one reason.
pub(super) struct Entry {
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Whether nothing more happens until somebody changes something.
    pub(super) stalls: bool,
    pub(super) advice: &'static str,
}

const BUILD: &str = "Correct the build (a new archive has a new `sha256`); nothing of it was published.";

/// The bucket, whoever asked it.
pub(super) fn of_the_bucket() -> Vec<Entry> {
    let (key, cause) = (|| "shop/assets/main-BEcQUh0e.js".to_owned(), |text: &str| text.to_owned());
    let errors = [
        BucketError::Unavailable { operation: "create", key: key(), cause: cause("no answer within 30 s") },
        BucketError::Locked {
            key: "shop/.rollcall/lock.json".into(),
            cause: cause(
                "rollcall publish on host 3f2a91bc writes below this prefix, until 2026-11-20T16:05:50Z at least; should it be gone, others may from 2026-11-20T16:22:50Z",
            ),
        },
        BucketError::Denied { operation: "create", key: key(), cause: cause("AccessDenied") },
        BucketError::NoSuchBucket { bucket: "web-assets".into() },
        BucketError::NotAllowed { cause: not_allowed().to_string() },
        BucketError::Refused { operation: "create", key: key(), cause: cause("BadDigest") },
    ];
    errors.into_iter().map(|error| published(&PublishFailure::Bucket(error))).collect()
}

/// Publishing a version.
pub(super) fn of_a_publish() -> Vec<Entry> {
    let key = || "shop/assets/main-BEcQUh0e.js".to_owned();
    let writer =
        |version: &str| Writer { release: "shop/shop".into(), version: version.into(), digest: ManifestDigest::of(version.as_bytes()) };
    let conflict = PublishFailure::Conflict {
        key: key(),
        ours: Box::new(writer("v2")),
        our_hash: ContentHash::of(b"v2"),
        theirs: Some(Box::new(writer("v1"))),
        their_hash: Some(ContentHash::of(b"v1")),
        evidence: Some(Evidence::ToolManifest),
    };
    let taken = PublishFailure::VersionTaken {
        version: "v2".into(),
        recorded: ManifestDigest::of(b"v2"),
        release: "shop/shop".into(),
        ours: ManifestDigest::of(b"another v2"),
    };
    let failures = vec![
        PublishFailure::Source(SourceError::Unavailable {
            url: "https://ci.example.com/v2.zip".into(),
            cause: "connection refused".into(),
        }),
        PublishFailure::Source(SourceError::Workspace { folder: "/var/lib/rollcall".into(), cause: "no space left on device".into() }),
        PublishFailure::Source(SourceError::NoRoom { why: NoRoom::Full }),
        in_a_bucket(BucketError::Denied { operation: "list", key: "shop/v2/".into(), cause: "AccessDenied".into() }),
        in_a_bucket(BucketError::NoSuchBucket { bucket: "ci-builds".into() }),
        in_a_bucket(BucketError::Refused { operation: "list", key: "shop/v2/".into(), cause: "InvalidRequest".into() }),
        PublishFailure::Source(SourceError::NoBuild { place: place() }),
        PublishFailure::Source(SourceError::Changed { place: place(), path: "assets/main-BEcQUh0e.js".into() }),
        conflict,
        taken,
        PublishFailure::Damaged { key: "shop/.rollcall/versions/v2.json".into(), cause: "not JSON".into() },
        PublishFailure::Reclaiming { key: key(), until: jiff::Timestamp::UNIX_EPOCH },
        PublishFailure::KeyInUse { key: key(), by: writer("v1") },
        PublishFailure::LeftoverStays {
            key: key(),
            theirs: Some(Box::new(writer("v1"))),
            seen: "a delete that named another version was done".into(),
        },
        PublishFailure::Vanishing { missing: 3, first: key() },
        PublishFailure::Cancelled,
    ];
    failures.iter().map(published).chain([panicked(), deleted(), no_fallback()]).collect()
}

fn place() -> String {
    r#"folder "shop/v2/" of bucket "ci-builds""#.to_owned()
}

fn in_a_bucket(error: BucketError) -> PublishFailure {
    PublishFailure::Source(SourceError::Bucket { place: place(), error })
}

/// Builds that are refused.
pub(super) fn of_a_build() -> Vec<Entry> {
    let assembled = [InvalidBuild::NoFiles, InvalidBuild::TooManyFiles { bytes: 1 << 27 }, too_large()];
    let assembled = assembled.map(|invalid| (invalid.reason(), invalid.to_string()));
    let prepared = [
        ("MissingReference", r#"the build lacks files that it refers to: index.html refers to "assets/main-BEcQUh0e.js""#),
        ("KeyTooLong", r#""shop/…" has 1040 bytes, more than 1024: give the file a shorter path"#),
        (
            "ExcludedPath",
            r#""shop/admin/main-BEcQUh0e.js" lies in a part of the prefix that is excluded (spec.excludedPrefixes, --exclude-prefix): it belongs to another release; take the file out of the build"#,
        ),
        (
            "PathOfAnotherRelease",
            r#""shop/admin/main-BEcQUh0e.js" belongs to shop/admin: the prefix "shop/admin/" is claimed; take the file out of the build"#,
        ),
        (
            "InvalidPattern",
            r#""assets/[" is not a pattern of paths: unclosed character class; missing ']'; correct spec.build.immutable or spec.build.unversioned (--immutable, --unversioned)"#,
        ),
        (
            "InvalidExternal",
            r#""env/[a" is not a pattern of paths: unclosed character class; missing ']'; correct it in spec.build.external (--external)"#,
        ),
        ("TextTooLarge", r#""report.html" has 90000000 bytes, more than 33554432, the most that is read for references"#),
    ];
    let prepared = prepared.map(|(reason, message)| (reason, message.to_owned()));
    let names = UnreadableNames::samples().into_iter().map(|error| (error.reason(), error.to_string()));
    assembled
        .into_iter()
        .chain(prepared)
        .chain(names)
        .map(|(reason, message)| published(&PublishFailure::InvalidBuild { reason, message }))
        .collect()
}

fn too_large() -> InvalidBuild {
    InvalidBuild::EntryTooLarge { path: "film.mp4".into(), size: 1 << 30 }
}

/// Sources that are refused.
pub(super) fn of_a_source() -> Vec<Entry> {
    refusals().into_iter().chain(refusals_of_an_archive()).map(|refusal| published(&SourceError::Refused(refusal).into())).collect()
}

fn not_allowed() -> NotAllowed {
    NotAllowed { host: "10.0.0.7".into(), kind: Kind::Private }
}

fn refusals() -> Vec<Refusal> {
    let url = || "https://ci.example.com/v2.zip".to_owned();
    vec![
        Refusal::InvalidDigest { given: "9F86".into() },
        Refusal::UnsupportedUrl { url: "ftp://ci.example.com/v2.zip".into() },
        Refusal::HostNotAllowed { url: url(), refused: not_allowed() },
        Refusal::TooManyRedirects { url: url(), max: 5 },
        Refusal::HttpStatus { url: url(), status: 404 },
        Refusal::WrongDigest { url: url(), expected: ContentHash::of(b"one") },
        Refusal::OtherBuild { place: place(), expected: ManifestDigest::of(b"one") },
        Refusal::ArchiveTooLarge { url: url(), bytes_max: 1 << 30 },
    ]
}

fn refusals_of_an_archive() -> Vec<Refusal> {
    let entry = || "assets/main.js".to_owned();
    vec![
        Refusal::UnknownFormat { magic: "3c21646f63".into() },
        Refusal::Malformed { entry: Some(entry().into()), cause: "unexpected end of file".into() },
        Refusal::UnsafePath { entry: "../main.js".into(), problem: PathProblem::Parent },
        Refusal::Link { entry: entry().into(), kind: "symbolic link" },
        Refusal::SpecialFile { entry: entry().into(), kind: "character device".into() },
        Refusal::Unreadable { entry: entry().into(), how: "encrypted".into() },
        Refusal::ContradictoryLength { entry: entry().into(), one: 10, other: 20 },
        Refusal::DuplicatePath { path: entry() },
        Refusal::CollidingPaths { one: entry(), other: "assets/Main.js".into() },
        Refusal::FileIsFolder { file: "assets".into(), below: entry() },
        Refusal::TooManyEntries { max: 200_000 },
        Refusal::FileTooLarge { entry: entry().into(), bytes_max: 1 << 30 },
        Refusal::BuildTooLarge { bytes_max: 4 << 30 },
        Refusal::DecompressionBomb { ratio: 100 },
        Refusal::ExceedsWorkspace { bytes_max: 7 << 28 },
        Refusal::Empty,
    ]
}

/// Entry files at their public keys, with `entries.publish: Bucket`.
pub(super) fn of_entry_files() -> Vec<Entry> {
    let (key, path) = (|| "shop/index.html".to_owned(), || "index.html".to_owned());
    let failures = [
        EntriesFailure::Superseded { key: key(), theirs: 9, ours: 8 },
        EntriesFailure::Foreign {
            key: "shop/admin/index.html".into(),
            release: "shop/admin".into(),
            because: r#"that release wrote it, for version "v1""#.into(),
        },
        EntriesFailure::Contended { key: key() },
        EntriesFailure::Immutable { key: key() },
        EntriesFailure::BytesMissing { path: path(), key: "shop/.rollcall/entries/5f3a…".into() },
        EntriesFailure::BytesDamaged { path: path(), key: "shop/.rollcall/entries/5f3a…".into(), actual: ContentHash::of(b"other") },
    ];
    failures.iter().map(in_its_place).collect()
}

fn in_its_place(failure: &EntriesFailure) -> Entry {
    let advice = match failure {
        EntriesFailure::Bucket(error) => of_bucket(error),
        EntriesFailure::Superseded { .. } => {
            "Another controller flipped later. If there is none, an old copy of the pointer was restored; its sequence number must exceed the one that is named."
        }
        EntriesFailure::Foreign { .. } => {
            "Two releases have prefixes within each other. See `PrefixOverlaps`. If the release that is named was renamed or is gone for good, and its prefix was this very one: hand the prefix over as `docs/operations.md` says."
        }
        EntriesFailure::OwnerUnreadable { .. } => "Restore the document that is named from the bucket's versions.",
        EntriesFailure::Immutable { .. } => {
            "Publish the build with another name for the file. Nothing skips this: caches may keep the old bytes for a year."
        }
        EntriesFailure::Contended { .. } => "Find out what else writes below the prefix (often an older deploy job) and stop it.",
        EntriesFailure::BytesMissing { .. } => "Put the object back, or publish the version again from `spec.source` under another name.",
        EntriesFailure::BytesDamaged { .. } => {
            "Another program wrote below `.rollcall/`. Delete the object and publish the version again under another name."
        }
    };
    Entry { reason: failure.reason(), message: failure.to_string(), stalls: false, advice }
}

fn panicked() -> Entry {
    let message = "the job panicked: index out of bounds".into();
    Entry {
        reason: "JobPanicked",
        message,
        stalls: false,
        advice: "A bug of Rollcall: report it with the controller's log. The job is tried again, seldom.",
    }
}

fn deleted() -> Entry {
    let key = "shop/.rollcall/references/0d6f4e8e.shop.shop.json";
    Entry {
        reason: "ReleaseDeleted",
        message: format!("{key:?} says that this release was deleted: what this process knows of it is old"),
        stalls: false,
        advice: "Nothing: only a controller that stood still while the release was deleted says so. If the release is there and says it, report it with the controller's log.",
    }
}

fn no_fallback() -> Entry {
    Entry {
        reason: FALLBACK_MISSING,
        message: no_fallback_message("app.html"),
        stalls: false,
        advice: "Nothing is flipped. Correct `spec.entries.fallback`, or remove it: agents then answer 404 for paths that lead to no file. A rollback to a version of before the page needs that in the same change.",
    }
}

fn published(failure: &PublishFailure) -> Entry {
    let stalls = failure.class() == FailureClass::Permanent;
    Entry { reason: failure.reason(), message: failure.to_string(), stalls, advice: of_publish(failure) }
}

fn of_publish(failure: &PublishFailure) -> &'static str {
    match failure {
        PublishFailure::Source(SourceError::Unavailable { .. }) => {
            "The server of the archive is down or cannot be reached from the controller (network policy, proxy)."
        }
        PublishFailure::Source(SourceError::Workspace { .. } | SourceError::Unreadable { .. }) => {
            "The disk of the controller's node is full or not writable: free space there, or give the workspace a volume of its own. It is tried again."
        }
        PublishFailure::Source(SourceError::NoRoom { .. }) => {
            "Nothing, as a rule: builds share `workspace.sizeLimit` of the chart, and this one goes on when others are done. If many releases wait for it, raise the value."
        }
        PublishFailure::Source(SourceError::Bucket { error, .. }) => of_bucket_of_builds(error),
        PublishFailure::Source(SourceError::NoBuild { .. }) => {
            "Change `spec.version` after the build was put there, not before; until then Rollcall looks for it at least every minute."
        }
        PublishFailure::Source(SourceError::Changed { .. }) => {
            "Let the build job write each build into a folder of its own, and change `spec.version` afterwards. The folder is read again by itself."
        }
        PublishFailure::Source(SourceError::Refused(refusal)) => of_refusal(refusal),
        PublishFailure::InvalidBuild { reason: "InvalidExternal", .. } => "Correct the pattern; nothing of the build was published.",
        PublishFailure::InvalidBuild { .. } => BUILD,
        PublishFailure::Conflict { .. } => {
            "Two builds have different bytes for one name. Let the build tool put a hash of the content into the name (not a counter, not a date), or give this build's file another name. The message says what vouched for the name: where that is wrong for files of this kind, name them in `spec.build.unversioned` (or `--unversioned`), so that the next bytes replace them. Nothing skips this for bytes that are stored."
        }
        PublishFailure::VersionTaken { .. } => "Name the new build differently. To release the old one, remove `spec.source`.",
        PublishFailure::Damaged { .. } => {
            "Another program wrote below `.rollcall/`. Restore the object from the bucket's versions, or delete it and publish that version again."
        }
        PublishFailure::Bucket(error) => of_bucket(error),
        PublishFailure::Reclaiming { .. } => "Nothing: it goes on by itself at that time, about 17 minutes later.",
        PublishFailure::KeyInUse { .. } => "Release the version that is named first, or wait.",
        PublishFailure::LeftoverStays { .. } => {
            "In a store without conditional deletes nothing is ever deleted. What lies there was never part of a version that was released."
        }
        PublishFailure::Vanishing { .. } => {
            "Something deletes objects as they are written: look for a lifecycle rule or a sync job on this prefix."
        }
        PublishFailure::Cancelled => "Nothing: something newer was wanted.",
    }
}

fn of_bucket(error: &BucketError) -> &'static str {
    match error {
        BucketError::Unavailable { .. } => {
            "The store is down, slow or not reachable from the controller. Active pages go on: pods serve from their mirror."
        }
        BucketError::Denied { .. } => {
            "Check the AssetStore's credentials and the bucket policy: Rollcall lists, gets, puts and deletes below the prefix."
        }
        BucketError::Locked { .. } => {
            "Nothing, as a rule: the store is well, and with the write guard `SingleWriter` one program at a time writes below a prefix. It goes on when the other one is done, or 17 minutes after the time that is named if that one was killed; a controller that was restarted in the middle waits for its own old lock. Stagings and rollbacks wait, too."
        }
        BucketError::NoSuchBucket { .. } => "Create the bucket, or correct `spec.bucket.name`, `region` or `endpoint` of the AssetStore.",
        BucketError::NotAllowed { .. } => {
            "Ask the operator of the controller to add the store's host to the chart's value `egress.allowedHosts`, if the store is inside the network: without that the controller would be a way into the network."
        }
        BucketError::Unfit(_) => "The store failed a test of its conditions or listings: see `StoreOverwrites` and `StoreListsUnreliably`.",
        BucketError::Refused { .. } => {
            "The store does not do what Rollcall needs (conditional writes, SHA-256 checksums): use one that does."
        }
    }
}

fn of_bucket_of_builds(error: &BucketError) -> &'static str {
    match error {
        BucketError::Unavailable { .. } | BucketError::Locked { .. } => {
            "The store of the builds is down, slow or not reachable from the controller."
        }
        BucketError::Denied { .. } => {
            "Allow the keys of `spec.source.bucket.credentials` (or the controller's own, without them) `s3:ListBucket` and `s3:GetObject` on the folder."
        }
        BucketError::NoSuchBucket { .. } => "Correct `name`, `region` or `endpoint` of `spec.source.bucket`.",
        BucketError::NotAllowed { .. } => {
            "Name the host in the chart's value `egress.allowedHosts`, if it is yours: the controller must not be a way into the network."
        }
        BucketError::Refused { .. } | BucketError::Unfit(_) => {
            "Look at the answer that is named: the store of the builds does not take a plain listing or GET as it was sent."
        }
    }
}

fn of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidDigest { .. } => "Write the digest as `sha256sum` prints it.",
        Refusal::UnsupportedUrl { .. } => "Use `http://` or `https://`.",
        Refusal::HostNotAllowed { .. } => {
            "Name the host in the chart's value `egress.allowedHosts`, if it is yours: the controller must not be a way into the network."
        }
        Refusal::TooManyRedirects { .. } => "Name the archive's own URL.",
        Refusal::HttpStatus { .. } => {
            "Open the URL; it needs no credentials but what stands in it. Then change the spec, or annotate the release with `rollcall.dev/requestedAt=<now>`."
        }
        Refusal::WrongDigest { .. } => {
            "Either the archive was rebuilt under the same URL, or the digest belongs to another one. Find out which before you change the digest."
        }
        Refusal::OtherBuild { .. } => {
            "Either the folder does not hold the whole build (yet), or holds another one, or the digest belongs to another one. Do not just copy the new digest: run `rollcall digest`, in the controller's version, where the build was made. When the folder is correct, annotate the release with `rollcall.dev/requestedAt=<now>`."
        }
        Refusal::ArchiveTooLarge { .. } | Refusal::TooManyEntries { .. } | Refusal::FileTooLarge { .. } | Refusal::BuildTooLarge { .. } => {
            "Leave out what pages do not need (source maps, films), or split the build into two releases."
        }
        Refusal::UnknownFormat { .. } => "Pack it as tar.gz, tar.zst or zip. A web page instead of an archive begins with `3c`.",
        Refusal::Malformed { .. } | Refusal::ContradictoryLength { .. } | Refusal::Unreadable { .. } => {
            "Pack it again with an ordinary tool."
        }
        Refusal::UnsafePath { .. } | Refusal::Link { .. } | Refusal::SpecialFile { .. } => {
            "Pack plain files with relative paths: `tar -C dist -czhf shop.tar.gz .` follows links."
        }
        Refusal::DuplicatePath { .. } | Refusal::CollidingPaths { .. } | Refusal::FileIsFolder { .. } => {
            "Rename one of the two: an object store and a Mac would not agree which one is meant."
        }
        Refusal::ExceedsWorkspace { .. } => {
            "Leave out what pages do not need (source maps, films), or raise the chart's value `workspace.sizeLimit`: one build may hold 7/16 of it."
        }
        Refusal::DecompressionBomb { .. } => "No real build is like this. If yours is, pack it uncompressed inside the tar.",
        Refusal::Empty => "The build job packed the wrong folder.",
    }
}
