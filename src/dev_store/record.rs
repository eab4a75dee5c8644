//! One object as one file: its bytes, then its description, then the description's length. One rename commits all of it.
//! Never leaves bytes and description in two files, which a crash could part.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ContentHash;

/// Ends every file of ours.
const MAGIC: [u8; 4] = *b"RCS1";

/// Length of the description (big endian) and [`MAGIC`].
const FOOTER_BYTES: u64 = 8;

/// Everything about an object but its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    pub key: String,
    pub size: u64,
    /// Of the bytes; the ETag is made of it.
    pub sha256: ContentHash,
    /// The writer sent `sha256` as checksum, so readers may have it back.
    pub checksum_given: bool,
    /// To the second, as HTTP has it.
    pub last_modified: Timestamp,
    pub headers: Headers,
    pub metadata: BTreeMap<String, String>,
}

/// The headers that come back as they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
}

impl Description {
    /// Not 32 characters long on purpose: tools take such an ETag for an MD5 and complain.
    pub fn etag(&self) -> String {
        self.sha256.to_string()
    }

    /// What stands behind the bytes in the file.
    pub fn footer(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a description is plain data");
        let length = u32::try_from(bytes.len()).expect("headers are limited to some kilobytes");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    /// Reads it from a file of ours and leaves the file at its begin.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the file is not one of ours.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it is not a file of this store");
        let footer_start = end.checked_sub(FOOTER_BYTES).ok_or_else(foreign)?;
        file.seek(SeekFrom::Start(footer_start))?;
        let mut footer = [0; 8];
        file.read_exact(&mut footer)?;
        let (length, magic) = footer.split_at(4);
        if magic != MAGIC {
            return Err(foreign());
        }
        let length = u32::from_be_bytes(length.try_into().expect("four of eight bytes"));
        let start = footer_start.checked_sub(u64::from(length)).ok_or_else(foreign)?;
        file.seek(SeekFrom::Start(start))?;
        let description: Self = serde_json::from_reader(file.by_ref().take(u64::from(length))).map_err(|_| foreign())?;
        if description.size != start {
            return Err(foreign());
        }
        file.rewind()?;
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn description() -> Description {
        Description {
            key: "a".to_owned(),
            size: 3,
            sha256: ContentHash::of(b"abc"),
            checksum_given: true,
            last_modified: "2026-11-21T00:00:00Z".parse().unwrap(),
            headers: Headers { content_type: Some("text/css".to_owned()), ..Headers::default() },
            metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        }
    }

    fn file(parts: &[&[u8]]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&parts.concat()).unwrap();
        file
    }

    #[test]
    fn a_description_comes_back_from_behind_the_bytes() {
        let mut file = file(&[b"abc", &description().footer()]);
        assert_eq!(Description::read(&mut file).unwrap(), description());
    }

    #[test]
    fn a_file_that_is_cut_or_foreign_is_not_read() {
        let footer = description().footer();
        let cases: [&[&[u8]]; 5] = [&[], &[b"abc"], &[b"abc", &footer[..footer.len() - 1]], &[b"ab", &footer], &[b"\xff\xff\xff\xffRCS1"]];
        for parts in cases {
            assert!(Description::read(&mut file(parts)).is_err(), "{parts:?}");
        }
    }
}
