//! A body that arrives: written to a temporary file and hashed on the way, then compared with every checksum that came with it.
//! Never leaves anything behind when a checksum is wrong or the sender goes away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{ChecksumAlgorithm, PutObjectInput, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::folder::Folder;
use crate::api::ContentHash;

/// One write for all but large bodies.
const BUFFER_BYTES: usize = 256 * 1024;

/// The kinds of checksums that are compared; a writer that announces another one is refused.
const KNOWN: [&str; 5] =
    [ChecksumAlgorithm::CRC32, ChecksumAlgorithm::CRC32C, ChecksumAlgorithm::CRC64NVME, ChecksumAlgorithm::SHA1, ChecksumAlgorithm::SHA256];

/// What arrived.
pub(super) struct Upload {
    file: NamedTempFile,
    writer: BufWriter<tokio::fs::File>,
    pub size: u64,
    pub sha256: ContentHash,
}

impl Upload {
    /// Takes in the whole body and checks it.
    pub async fn receive(folder: &Folder, input: &mut PutObjectInput, trailers: Option<TrailingHeaders>) -> S3Result<Self> {
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let file = folder.upload().map_err(unusable)?;
        let writer = file.as_file().try_clone().map_err(unusable)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, tokio::fs::File::from_std(writer));
        let mut hashers = Hashers::of(input)?;
        let size = copy(body, &mut writer, &mut hashers).await?;
        let sha256 = hashers.check(input, trailers)?;
        Ok(Self { file, writer, size, sha256 })
    }

    /// Adds the footer: now the file is complete.
    pub async fn finish(mut self, footer: &[u8]) -> std::io::Result<NamedTempFile> {
        self.writer.write_all(footer).await?;
        self.writer.flush().await?;
        Ok(self.file)
    }
}

/// The folder cannot be read or written, as on a full disk: whoever tries things out sees it here and in the client.
pub fn unusable(error: std::io::Error) -> S3Error {
    tracing::error!(%error, "the store's folder cannot be used");
    let message = format!("the store's folder cannot be used: {error}");
    let mut failed = S3Error::internal_error(error);
    failed.set_message(message);
    failed
}

async fn copy(mut body: StreamingBlob, writer: &mut BufWriter<tokio::fs::File>, hashers: &mut Hashers) -> S3Result<u64> {
    let mut size = 0;
    while let Some(chunk) = body.next().await {
        // The signed payload hash is compared in there: bytes that are not the promised ones end as an error of the stream.
        let chunk = chunk.map_err(|error| S3Error::with_source(S3ErrorCode::BadDigest, error))?;
        size += chunk.len() as u64;
        hashers.update(&chunk);
        writer.write_all(&chunk).await.map_err(unusable)?;
    }
    Ok(size)
}

/// SHA-256 always, and whatever else the writer asked for.
struct Hashers {
    sha256: Sha256,
    md5: Option<Md5>,
    others: ChecksumHasher,
}

impl Hashers {
    /// For the checksums that came as headers, or are announced to come as trailers behind the body.
    fn of(input: &PutObjectInput) -> S3Result<Self> {
        let announced = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        if let Some(other) = announced.filter(|name| !KNOWN.contains(name)) {
            return Err(s3_error!(NotImplemented, "checksums of the kind {other} are not checked here"));
        }
        let wanted = |name: &str, given: &Option<String>| announced == Some(name) || given.is_some();
        let others = ChecksumHasher {
            crc32: wanted(ChecksumAlgorithm::CRC32, &input.checksum_crc32).then(Default::default),
            crc32c: wanted(ChecksumAlgorithm::CRC32C, &input.checksum_crc32c).then(Default::default),
            sha1: wanted(ChecksumAlgorithm::SHA1, &input.checksum_sha1).then(Default::default),
            crc64nvme: wanted(ChecksumAlgorithm::CRC64NVME, &input.checksum_crc64nvme).then(Default::default),
            // Computed beside it, always.
            sha256: None,
        };
        Ok(Self { sha256: Sha256::new(), md5: input.content_md5.as_ref().map(|_| Md5::default()), others })
    }

    fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.others.update(chunk);
        if let Some(md5) = &mut self.md5 {
            md5.update(chunk);
        }
    }

    /// Compares everything that was promised; the hash of the bytes.
    fn check(self, input: &PutObjectInput, trailers: Option<TrailingHeaders>) -> S3Result<ContentHash> {
        let trailers = trailers.and_then(|trailers| trailers.take()).unwrap_or_default();
        let trailer = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let sha256 = ContentHash::from_array(self.sha256.finalize().into());
        let md5 = self.md5.map(|md5| STANDARD.encode(md5.finalize()));
        let others = self.others.finalize();
        let table = [
            ("Content-MD5", &input.content_md5, md5),
            ("x-amz-checksum-crc32", &input.checksum_crc32, others.checksum_crc32),
            ("x-amz-checksum-crc32c", &input.checksum_crc32c, others.checksum_crc32c),
            ("x-amz-checksum-sha1", &input.checksum_sha1, others.checksum_sha1),
            ("x-amz-checksum-sha256", &input.checksum_sha256, Some(STANDARD.encode(sha256.to_array()))),
            ("x-amz-checksum-crc64nvme", &input.checksum_crc64nvme, others.checksum_crc64nvme),
        ];
        for (name, header, computed) in table {
            let promised = header.clone().or_else(|| trailer(name));
            if promised.is_some() && promised != computed {
                return Err(s3_error!(BadDigest, "the {name} you specified did not match what we received"));
            }
        }
        Ok(sha256)
    }
}
