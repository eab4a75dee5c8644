//! Looks through a manifest's bytes one file at a time.
//! Never holds more than one file of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::{Class, ContentHash};

type Each<'e> = &'e mut dyn FnMut(&str, &ContentHash, Class);

/// Tells each file; answers the format.
pub(super) fn document(stored: &[u8], each: Each<'_>) -> Result<i32, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(stored);
    let format = Document(RefCell::new(each)).deserialize(&mut json)?;
    json.end()?;
    Ok(format)
}

/// What is asked of a file. The rest is passed over.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    sha256: ContentHash,
    class: Class,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    ManifestVersion,
    Files,
    #[serde(other)]
    Other,
}

struct Document<'e>(RefCell<Each<'e>>);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = i32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_map(self)
    }
}

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
                Field::Files => files = Some(map.next_value_seed(Files(&self.0))?),
                Field::Other => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        files.ok_or_else(|| serde::de::Error::missing_field("files"))?;
        format.ok_or_else(|| serde::de::Error::missing_field("manifestVersion"))
    }
}

struct Files<'d, 'e>(&'d RefCell<Each<'e>>);

impl<'de> DeserializeSeed<'de> for Files<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the files of a manifest")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut files: S) -> Result<(), S::Error> {
        let mut each = self.0.borrow_mut();
        while let Some(line) = files.next_element::<Line<'de>>()? {
            each(&line.path, &line.sha256, line.class);
        }
        Ok(())
    }
}
