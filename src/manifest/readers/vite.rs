//! Vite's own manifest, `.vite/manifest.json`: which source became which file, and what each chunk needs.
//! Never decides what is uploaded: it only names files and gives references to check.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Where Vite writes it (`build.manifest: true`).
pub const PATH: &str = ".vite/manifest.json";

/// Largest one that is read: 200,000 chunks of 80 bytes.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Vite's manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViteManifest {
    chunks: BTreeMap<String, Chunk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    file: String,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    assets: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
    #[serde(default)]
    dynamic_imports: Vec<String>,
}

impl ViteManifest {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// Says what is wrong, when they are not Vite's manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let chunks = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Self { chunks })
    }

    /// The name that an application asks for, for each file that has one: the source's path. Files that Vite made up itself
    /// (their keys begin with `_` and contain the hash) have none.
    #[must_use]
    pub fn logical_names(&self) -> BTreeMap<&str, &str> {
        let mut names = BTreeMap::new();
        for (source, chunk) in self.chunks.iter().filter(|(source, _)| !source.starts_with('_')) {
            names.entry(chunk.file.as_str()).or_insert(source.as_str());
        }
        names
    }

    /// Every file that it names.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&str> {
        self.chunks
            .values()
            .flat_map(|chunk| std::iter::once(&chunk.file).chain(&chunk.css).chain(&chunk.assets))
            .map(String::as_str)
            .collect()
    }

    /// Keys of chunks that others import and that it does not have.
    #[must_use]
    pub fn missing_chunks(&self) -> BTreeSet<&str> {
        let imports = self.chunks.values().flat_map(|chunk| chunk.imports.iter().chain(&chunk.dynamic_imports));
        imports.filter(|key| !self.chunks.contains_key(*key)).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &[u8] = include_bytes!("../../../examples/shop/builds/v1/.vite/manifest.json");

    #[test]
    fn sources_are_the_logical_names_of_the_files_they_became() {
        let manifest = ViteManifest::parse(SHOP).unwrap();
        let names = manifest.logical_names();
        assert_eq!(names.get("assets/about-DLvQu4aI.js"), Some(&"about.html"));
        assert_eq!(names.get("assets/lib-Cpo3Cw31.js"), None);
        assert!(manifest.files().contains("assets/signs-9e1QReoF.woff2"));
        assert!(manifest.missing_chunks().is_empty());
    }

    #[test]
    fn a_chunk_that_is_imported_but_not_there_is_named() {
        let manifest = ViteManifest::parse(br#"{"a.js":{"file":"a-1.js","imports":["_b.js"],"dynamicImports":["c.js"]}}"#).unwrap();
        assert_eq!(manifest.missing_chunks(), BTreeSet::from(["_b.js", "c.js"]));
        assert!(ViteManifest::parse(b"[]").is_err());
    }
}
