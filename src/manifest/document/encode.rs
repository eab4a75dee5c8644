//! The canonical bytes of a manifest, piece by piece.
//! Must never make other bytes than [`Manifest::to_bytes`], which are the build's identity.

use std::ops::Deref;

use sha2::{Digest as _, Sha256};

use super::Manifest;
use crate::api::{ContentHash, ManifestDigest};

/// What stands behind the last file.
const END: &[u8] = b"]}";

/// A piece is at least as long, but for the last: some 340 files.
const PIECE_BYTES: usize = 64 * 1024;

/// The longest line that is usual: a piece is grown once.
const LINE_BYTES: usize = 1024;

/// The bytes of a manifest, which are never made as a whole: 38 MB at 200,000 files.
#[derive(Debug)]
pub struct Encoded<M> {
    manifest: M,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
    /// Before the file with this number.
    At(usize),
    End,
}

impl<M: Deref<Target = Manifest>> Encoded<M> {
    /// From the first byte on.
    pub fn new(manifest: M) -> Self {
        Self { manifest, place: Place::Start }
    }
}

impl<M: Deref<Target = Manifest>> Iterator for Encoded<M> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + LINE_BYTES);
        let mut number = match self.place {
            Place::Start => {
                let around = Manifest { manifest_version: self.manifest.manifest_version, files: Vec::new() }.to_bytes();
                piece.extend_from_slice(&around[..around.len() - END.len()]);
                0
            }
            Place::At(number) => number,
            Place::End => return None,
        };
        while piece.len() < PIECE_BYTES {
            let Some(file) = self.manifest.files.get(number) else {
                piece.extend_from_slice(END);
                self.place = Place::End;
                return Some(piece);
            };
            piece.extend_from_slice(if number == 0 { b"" } else { b"," });
            serde_json::to_writer(&mut piece, file).expect("a file has only strings and numbers");
            number += 1;
        }
        self.place = Place::At(number);
        Some(piece)
    }
}

impl Manifest {
    /// The canonical bytes: compact JSON, fields in the order of declaration, files by path. For builds of any size see [`Encoded`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only strings and numbers")
    }

    /// Length and digest of the canonical bytes.
    #[must_use]
    pub fn identity(&self) -> (u64, ManifestDigest) {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        for piece in Encoded::new(self) {
            hasher.update(&piece);
            bytes += piece.len() as u64;
        }
        (bytes, ManifestDigest::of_hash(&ContentHash::from_array(hasher.finalize().into())))
    }
}
