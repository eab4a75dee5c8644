//! Looks through a manifest's bytes one file at a time.
//! Never holds more than one file of it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::{Class, ContentHash, StoredClass, object};

/// A file as a manifest tells it, where it lies in the document's bytes wherever the JSON has no escapes. What a look does not need is passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestLine<'a> {
    /// Path in the build.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Length in bytes.
    pub size: u64,
    /// Text of the hash. Not parsed: a sweep looks at millions of lines.
    #[serde(borrow)]
    sha256: Cow<'a, str>,
    class: StoredClass,
    #[serde(default)]
    unversioned: bool,
    /// `Cache-Control` header; `None`: what the class has.
    pub cache_control: Option<Cow<'a, str>>,
}

impl ManifestLine<'_> {
    /// Whether the bytes at `path` may ever change.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::from((self.class, self.unversioned))
    }

    /// Text of the hash of the bytes.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// As [`super::ManifestFile::key`].
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        match self.class {
            StoredClass::Asset => Cow::Borrowed(&self.path),
            StoredClass::Entry => Cow::Owned(object::entry_object_key(&self.sha256)),
        }
    }

    /// Whether the bytes have this hash.
    #[must_use]
    pub fn has_hash(&self, hash: &ContentHash) -> bool {
        self.sha256.parse().is_ok_and(|ours: ContentHash| ours == *hash)
    }
}

type Each<'e> = &'e mut dyn FnMut(&ManifestLine<'_>);

/// Tells each file; answers the format.
pub(super) fn document(stored: &[u8], each: Each<'_>) -> Result<i32, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(stored);
    let format = json.deserialize_map(Document(each))?;
    json.end()?;
    Ok(format)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    ManifestVersion,
    Files,
    #[serde(other)]
    Other,
}

struct Document<'e>(Each<'e>);

impl<'de> Visitor<'de> for Document<'_> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<i32, M::Error> {
        let (mut format, mut files) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::ManifestVersion => format = Some(map.next_value()?),
                Field::Files => files = Some(map.next_value_seed(Files(&mut *self.0))?),
                Field::Other => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        files.ok_or_else(|| serde::de::Error::missing_field("files"))?;
        format.ok_or_else(|| serde::de::Error::missing_field("manifestVersion"))
    }
}

struct Files<'e>(Each<'e>);

impl<'de> DeserializeSeed<'de> for Files<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the files of a manifest")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut files: S) -> Result<(), S::Error> {
        while let Some(line) = files.next_element::<ManifestLine<'de>>()? {
            (self.0)(&line);
        }
        Ok(())
    }
}
