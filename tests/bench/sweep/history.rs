//! A made-up history of one site: in each version some of the files have other bytes, and so other names.
//! Never random: the same numbers give the same history.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::manifest::object::{IMMUTABLE, REVALIDATE};
use rollcall::manifest::record::{Activation, FORMAT, Pin, References, RetentionPolicy, Role, Use};
use rollcall::manifest::{Class, Manifest, ManifestFile, VersionRecord};

use super::Failure;

/// How large it is.
#[derive(clap::Args)]
pub struct History {
    /// Versions
    #[arg(long, default_value_t = 1000)]
    pub versions: usize,
    /// Files of each
    #[arg(long, default_value_t = 10_000)]
    pub files: usize,
    /// Of a thousand files, so many change with each version
    #[arg(long, default_value_t = 10)]
    pub churn_permille: usize,
    /// Hours from one version to the next; retention is 5 releases and 720 hours
    #[arg(long, default_value_t = 6)]
    pub hours: u32,
}

/// In which version a file was changed last.
pub type Revisions = Vec<usize>;

impl History {
    /// For each version the revisions of its files, first to last.
    pub fn revisions(&self) -> impl Iterator<Item = Revisions> {
        let mut revisions = vec![0; self.files];
        let changes = (self.files * self.churn_permille).div_ceil(1000);
        let mut state = 1_u64;
        (0..self.versions).map(move |version| {
            for _ in 0..if version == 0 { 0 } else { changes } {
                // Knuth's generator: the high bits are good enough to spread changes over files.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(state >> 33).unwrap_or_default() % revisions.len();
                revisions[at] = version;
            }
            revisions.clone()
        })
    }

    /// One file in one revision: one in a hundred is html, one in a hundred an image for mail.
    pub fn file(number: usize, revision: usize) -> ManifestFile {
        let sha256 = ContentHash::of(format!("{number}.{revision}").as_bytes());
        let short = &sha256.to_string()[..8];
        let (class, path) = match number % 100 {
            0 => (Class::Entry, format!("pages/section-{:03}/page-{number:05}.html", number % 97)),
            1 => (Class::Asset, format!("mail/picture-{number:05}-{short}.png")),
            _ => (Class::Asset, format!("assets/section-{:03}/chunk-{number:05}-{short}.js", number % 97)),
        };
        let (content_type, cache_control) = match class {
            Class::Entry | Class::Unversioned => ("text/html; charset=utf-8", REVALIDATE),
            Class::Asset => ("text/javascript; charset=utf-8", IMMUTABLE),
        };
        let (content_type, cache_control) = (content_type.into(), cache_control.into());
        ManifestFile { path, size: 9000 + number as u64, sha256, content_type, cache_control, class, evidence: None, logical_name: None }
    }

    /// Writes every manifest, compressed, and the list of their digests.
    pub fn write(&self, folder: &Path) -> Result<String, Failure> {
        fs::create_dir_all(folder)?;
        let (mut digests, mut bytes, mut compressed) = (Vec::new(), 0, 0);
        for revisions in self.revisions() {
            let files = revisions.iter().enumerate().map(|(number, revision)| Self::file(number, *revision)).collect();
            let stored = Manifest::new(files).to_bytes();
            let digest = ManifestDigest::of(&stored);
            let packed = zstd::encode_all(&stored[..], 1)?;
            (bytes, compressed) = (bytes + stored.len(), compressed + packed.len());
            fs::write(folder.join(format!("{}.json.zst", digest.hex())), packed)?;
            digests.push(digest.to_string());
        }
        fs::write(folder.join("digests"), digests.join("\n"))?;
        Ok(serde_json::json!({"manifests": self.versions, "bytes": bytes, "compressed": compressed}).to_string())
    }

    /// What the prefix's documents say: every version was active until the next one, the last one still is.
    pub fn documents(&self, digests: &[ManifestDigest], now: Timestamp) -> (Vec<VersionRecord>, References) {
        let published = |version: usize| {
            let hours = i64::try_from(digests.len() - version).unwrap_or(i64::MAX) * i64::from(self.hours);
            now.saturating_add(SignedDuration::from_hours(-hours)).unwrap_or(now)
        };
        let record = |(version, digest): (usize, &ManifestDigest)| VersionRecord {
            record_version: FORMAT,
            version: format!("v{version}"),
            digest: digest.clone(),
            release: "web/shop".into(),
            published_at: published(version),
            files: self.files as u64,
            bytes: 0,
            build: None,
        };
        let activation = |(version, digest): (usize, &ManifestDigest)| Activation {
            version: format!("v{version}"),
            digest: digest.clone(),
            sequence: i64::try_from(version).unwrap_or_default() + 1,
            retired_at: (version + 1 < digests.len()).then(|| published(version + 1)),
        };
        let references = References {
            references_version: FORMAT,
            cluster: "c".into(),
            release: "web/shop".into(),
            uid: None,
            deleted_at: None,
            since: published(0),
            written_at: now,
            retention: Some(RetentionPolicy {
                releases: 5,
                ttl_seconds: 720 * 3600,
                pins: vec![Pin { pattern: "mail/**".into(), ttl_seconds: 43_800 * 3600 }],
            }),
            uses: digests
                .iter()
                .rev()
                .take(2)
                .zip([Role::Active, Role::Previous])
                .map(|(digest, role)| Use { digest: digest.clone(), role })
                .collect(),
            activated: digests.iter().enumerate().map(activation).rev().collect(),
        };
        (digests.iter().enumerate().map(record).collect(), references)
    }
}
