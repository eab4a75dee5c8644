//! Why a source is not acceptable: each refusal names what, where and which entry, and what would be accepted.
//! Never a reason that goes away by trying again.

use crate::api::foreign::ForeignText;
use crate::api::{ContentHash, ManifestDigest};
use crate::egress::NotAllowed;

/// Something that a person must change before the build can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a digest.
    #[error("{given:?} is not a SHA-256: expected 64 lower-case hexadecimal characters")]
    InvalidDigest {
        /// What was given.
        given: String,
    },
    /// Neither `http` nor `https`, or not a URL.
    #[error("{url}: expected an http or https URL with a host")]
    UnsupportedUrl {
        /// Without secrets.
        url: String,
    },
    /// The host is an address that the controller does not call unless it is allowed by name.
    #[error("{url}: {refused}; the controller fetches from there only when its settings allow that host")]
    HostNotAllowed {
        /// Where it began, without secrets.
        url: String,
        /// The host, and what is wrong with it.
        refused: NotAllowed,
    },
    /// The server sends from one place to another and on and on.
    #[error("{url}: more than {max} redirects")]
    TooManyRedirects {
        /// Where it began, without secrets.
        url: String,
        /// How many are followed.
        max: usize,
    },
    /// The server refuses this request for good.
    #[error("{url}: the server answers {status}")]
    HttpStatus {
        /// Without secrets.
        url: String,
        /// The status.
        status: u16,
    },
    /// Other bytes than the release asks for.
    ///
    /// Which bytes is not told: whoever names a URL must not learn the digest of what lies there.
    #[error("{url} does not have the SHA-256 {expected}, which the release asks for; run sha256sum where the archive was made")]
    WrongDigest {
        /// Without secrets.
        url: String,
        /// What the release says.
        expected: ContentHash,
    },
    /// Another build than the release asks for. Which one is not told: whoever names a folder must not learn the digest of what lies there.
    #[error(
        "the build in {place} does not have the manifest digest {expected}, which the release asks for; `rollcall digest DIR` prints the digest of a build"
    )]
    OtherBuild {
        /// Bucket and folder.
        place: String,
        /// What the release says.
        expected: ManifestDigest,
    },
    /// The archive itself is longer than is fetched.
    #[error("{url} is longer than {bytes_max} bytes, the longest archive that is fetched")]
    ArchiveTooLarge {
        /// Without secrets.
        url: String,
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// None of the formats that are known.
    #[error("the archive is neither tar.gz nor tar.zst nor zip: it begins with {magic}")]
    UnknownFormat {
        /// Its first bytes in hexadecimal.
        magic: String,
    },
    /// Damaged, cut off, or contradicting itself.
    #[error("the archive is malformed{}: {cause}", at(.entry.as_ref()))]
    Malformed {
        /// The entry, if it is known.
        entry: Option<ForeignText>,
        /// What was seen.
        cause: String,
    },
    /// A name that could lead out of the build, or that not every system can hold.
    #[error("entry {entry:?} of the build: {problem}")]
    UnsafePath {
        /// The name.
        entry: ForeignText,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A symbolic or hard link.
    #[error("entry {entry:?} of the build is a {kind}; put the file itself in its place")]
    Link {
        /// The name.
        entry: ForeignText,
        /// Which kind.
        kind: &'static str,
    },
    /// A device, a pipe, a sparse file or something else that is neither file nor folder.
    #[error("entry {entry:?} of the build is a {kind}; only plain files and folders are taken")]
    SpecialFile {
        /// The name.
        entry: ForeignText,
        /// Which kind.
        kind: String,
    },
    /// Encrypted, or compressed by a method that is not known here.
    #[error("entry {entry:?} of the archive is {how}; store or deflate it")]
    Unreadable {
        /// The name.
        entry: ForeignText,
        /// Why it cannot be read.
        how: String,
    },
    /// Two lengths for one entry: readers that believe different ones see different archives.
    #[error("entry {entry:?} of the archive has two lengths: {one} and {other} bytes")]
    ContradictoryLength {
        /// The name.
        entry: ForeignText,
        /// One of them.
        one: u64,
        /// The other.
        other: u64,
    },
    /// The same path twice.
    #[error("the build has two entries with the path {path:?}")]
    DuplicatePath {
        /// The path.
        path: String,
    },
    /// Two paths that are one file on some systems.
    #[error("the build's entries {one:?} and {other:?} differ only in letter case or Unicode form: they are one file on some systems")]
    CollidingPaths {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// A path that is a file and also the folder of another file.
    #[error("the build's entry {file:?} is a file, but {below:?} lies below it")]
    FileIsFolder {
        /// The file.
        file: String,
        /// An entry below it.
        below: String,
    },
    /// More entries than are taken.
    #[error("the build has more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: u64,
    },
    /// One file longer than is taken.
    #[error("entry {entry:?} of the build is longer than {bytes_max} bytes")]
    FileTooLarge {
        /// The name.
        entry: ForeignText,
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// All files together longer than is taken.
    #[error("the files of the build have more than {bytes_max} bytes together")]
    BuildTooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// Far more bytes come out than went in: made to fill disks.
    #[error("the archive unpacks to more than {ratio} times its own length: it is taken for a decompression bomb")]
    DecompressionBomb {
        /// The limit.
        ratio: u64,
    },
    /// Larger than the controller's disk lets any build be.
    #[error(
        "the build needs more than {bytes_max} bytes of the controller's disk (archive and files, in blocks of 4096 bytes), the most that one build may hold"
    )]
    ExceedsWorkspace {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// No files.
    #[error("the build has no files")]
    Empty,
}

/// What is wrong with a name in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Begins with `/` or a drive letter.
    #[error("the path is absolute; it must be relative")]
    Absolute,
    /// Has a `..`.
    #[error("the path has a `..`")]
    Parent,
    /// Has a backslash.
    #[error("the path has a backslash; use /")]
    Backslash,
    /// Has NUL or another control character.
    #[error("the path has a control character")]
    Control,
    /// Has a character that readers do not see, or that changes the order in which they see others.
    #[error("the path has the character U+{:04X}, which is invisible or reorders the text around it; rename the file", u32::from(*.0))]
    Invisible(char),
    /// Has a character that stands for damaged text.
    #[error("the path has the character U+{:04X}, which stands for text that was damaged; rename the file", u32::from(*.0))]
    Damaged(char),
    /// Not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// Too long.
    #[error("the path is longer than 1024 bytes or a part of it longer than 255")]
    TooLong,
    /// Within Rollcall's own folder.
    #[error("the folder .rollcall belongs to Rollcall")]
    Reserved,
    /// A part of it is empty or a single dot.
    #[error("the path has an empty part or a `.`")]
    EmptyPart,
    /// No name is left.
    #[error("the path is empty")]
    Empty,
}

impl Refusal {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidDigest { .. } => "InvalidDigest",
            Self::UnsupportedUrl { .. } => "UnsupportedUrl",
            Self::HostNotAllowed { .. } => "HostNotAllowed",
            Self::TooManyRedirects { .. } => "TooManyRedirects",
            Self::HttpStatus { .. } => "SourceRefused",
            Self::WrongDigest { .. } => "WrongDigest",
            Self::OtherBuild { .. } => "WrongBuild",
            Self::ArchiveTooLarge { .. } => "ArchiveTooLarge",
            Self::UnknownFormat { .. } => "UnknownArchiveFormat",
            Self::Malformed { .. } => "MalformedArchive",
            Self::UnsafePath { .. } => "UnsafePath",
            Self::Link { .. } => "LinkInArchive",
            Self::SpecialFile { .. } => "SpecialFileInArchive",
            Self::Unreadable { .. } => "UnreadableEntry",
            Self::ContradictoryLength { .. } => "ContradictoryLength",
            Self::DuplicatePath { .. } => "DuplicatePath",
            Self::CollidingPaths { .. } => "CollidingPaths",
            Self::FileIsFolder { .. } => "FileIsFolder",
            Self::TooManyEntries { .. } => "TooManyEntries",
            Self::FileTooLarge { .. } => "FileTooLarge",
            Self::BuildTooLarge { .. } => "BuildTooLarge",
            Self::DecompressionBomb { .. } => "DecompressionBomb",
            Self::ExceedsWorkspace { .. } => "ExceedsWorkspace",
            Self::Empty => "EmptyArchive",
        }
    }
}

fn at(entry: Option<&ForeignText>) -> String {
    entry.map(|entry| format!(" at entry {entry:?}")).unwrap_or_default()
}
