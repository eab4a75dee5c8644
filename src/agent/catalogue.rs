//! What the web server may answer from: the files of the one version that is served, and what is no page of every other known one.
//! Pure, and never changed in place: a new catalogue replaces the old one, so that no request sees half of a switch (I11).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::variant::{self, Encoding};
use crate::manifest::{Class, Manifest, ManifestFile, classify, headers};

/// A version whose manifest is known here.
#[derive(Debug, Clone)]
pub struct Known {
    /// As the pointer named it.
    pub pointed: PointedVersion,
    /// Its files.
    pub manifest: Arc<Manifest>,
    /// Whether every file is here.
    pub complete: bool,
}

/// Where a file of a manifest is.
#[derive(Debug, Clone, Copy)]
struct Place {
    version: usize,
    file: usize,
}

/// A file that may be served.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The file.
    pub file: &'a ManifestFile,
    /// A version that has it.
    pub version: &'a Known,
}

/// The name map of the served version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameMap {
    /// The version it belongs to.
    pub digest: ManifestDigest,
    /// Logical names to URLs, JSON.
    pub json: String,
    /// Hash of the JSON: its entity tag.
    pub hash: ContentHash,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Catalogue {
    versions: Vec<Known>,
    assets: HashMap<String, Place>,
    /// Unversioned files, of the newest version that has them.
    unversioned: HashMap<String, Place>,
    asset_folders: BTreeSet<String>,
    pages: BTreeMap<String, Place>,
    fallback: Option<Place>,
    name_map: Option<NameMap>,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy)]
pub enum Lead<'a> {
    /// To a file.
    File(Found<'a>),
    /// To the page of a folder, whose references are relative to the path with a slash.
    WithSlash,
    /// To a page that is no folder's.
    WithoutSlash,
    /// To nothing.
    Nothing,
}

/// What a path that leads to no file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A page: its last segment has no extension but html's.
    Page,
    /// A page, or a file of a type that is not known (`/users/john.doe`): the request tells.
    PageOrFile,
    /// A part of a page: a folder around it holds immutable files of a known version, or its type is known. It never gets html as its answer.
    Asset,
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A folder and all around it but the top.
fn and_those_around(folder: &str) -> impl Iterator<Item = &str> {
    let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
    ends.filter(|end| *end > 0).map(|end| &folder[..end])
}

/// A page with this name is for paths that lead to no file, unless the pointer names another one.
const USUAL_FALLBACK: &str = "200.html";

impl Catalogue {
    /// A catalogue of these versions; where two have the same path, the earlier one is named (the bytes are the same: I3).
    #[must_use]
    pub fn new(versions: Vec<Known>, serving: Option<&PointedVersion>) -> Self {
        let mut catalogue = Self { versions, ..Self::default() };
        for index in 0..catalogue.versions.len() {
            catalogue.index_assets(index);
        }
        catalogue.index_asset_folders();
        if let Some(serving) = serving {
            catalogue.index_pages(serving);
        }
        catalogue
    }

    fn index_assets(&mut self, version: usize) {
        for (file, entry) in self.versions[version].manifest.files.iter().enumerate() {
            let files = match entry.class {
                Class::Asset => &mut self.assets,
                // An older program knew two classes, and its manifests say no more.
                Class::Unversioned | Class::Entry if !classify::is_entry(variant::original_path(&entry.path)) => &mut self.unversioned,
                Class::Unversioned | Class::Entry => continue,
            };
            files.entry(entry.path.clone()).or_insert(Place { version, file });
        }
    }

    /// Folders within which immutable files lie and no page: what is asked for there is no page, whatever its ending. In a folder of plain
    /// pictures a path without an ending may be one (`/products/7` beside `products/a.jpg`).
    fn index_asset_folders(&mut self) {
        let of_assets: BTreeSet<&str> = self.assets.keys().map(|path| folder_of(path)).collect();
        let files = self.versions.iter().flat_map(|known| &known.manifest.files);
        let of_pages: BTreeSet<&str> = files.filter(|file| classify::is_page(&file.path)).map(|file| folder_of(&file.path)).collect();
        let around_pages: BTreeSet<&str> = of_pages.into_iter().flat_map(and_those_around).collect();
        let of_assets = of_assets.into_iter().flat_map(and_those_around).filter(|folder| !around_pages.contains(folder));
        self.asset_folders = of_assets.map(str::to_owned).collect();
    }

    fn index_pages(&mut self, serving: &PointedVersion) {
        let Some(version) = self.versions.iter().position(|known| known.pointed.digest == serving.digest) else { return };
        let manifest = &self.versions[version].manifest;
        let pages = manifest.files.iter().enumerate().filter(|(_, entry)| entry.class != Class::Asset);
        self.pages = pages.map(|(file, entry)| (entry.path.clone(), Place { version, file })).collect();
        self.fallback = self.pages.get(serving.fallback.as_deref().unwrap_or(USUAL_FALLBACK)).copied();
        let json = manifest.name_map(&serving.base_url);
        self.name_map = Some(NameMap { digest: serving.digest.clone(), hash: ContentHash::of(json.as_bytes()), json });
    }

    /// Where this path leads: to a file of the served version, an asset of any known version, a page of the served version (`index.html` of a
    /// folder, or without `.html`), or to what any other known version has there and is no page, for tabs that are still open.
    #[must_use]
    pub fn lead(&self, path: &str) -> Lead<'_> {
        let exact = self.pages.get(path).or_else(|| self.assets.get(path));
        if let Some(place) = exact {
            return Lead::File(self.found(*place));
        }
        match self.page(path) {
            Lead::Nothing => self.of_another_version(path).map_or(Lead::Nothing, Lead::File),
            page @ (Lead::File(_) | Lead::WithSlash | Lead::WithoutSlash) => page,
        }
    }

    /// Before a version is served nothing is known of what pages need.
    fn of_another_version(&self, path: &str) -> Option<Found<'_>> {
        let place = self.unversioned.get(path).filter(|_| self.name_map.is_some());
        place.map(|place| self.found(*place))
    }

    /// The page for this path, of the served version. Each has one path: under another one its relative references lead elsewhere.
    fn page(&self, path: &str) -> Lead<'_> {
        let of = |name: &str| self.pages.get(name).map(|place| Lead::File(self.found(*place)));
        if path.is_empty() {
            return of("index.html").unwrap_or(Lead::Nothing);
        }
        match path.strip_suffix('/') {
            Some(folder) => of(&format!("{folder}/index.html")).or_else(|| of(&format!("{folder}.html")).map(|_| Lead::WithoutSlash)),
            None => of(&format!("{path}.html")).or_else(|| of(&format!("{path}/index.html")).map(|_| Lead::WithSlash)),
        }
        .unwrap_or(Lead::Nothing)
    }

    /// The same file as bytes that were compressed beforehand, if its version has them and they are fewer.
    #[must_use]
    pub fn variant<'a>(&self, found: Found<'a>, encoding: Encoding) -> Option<Found<'a>> {
        let Found { file, version } = found;
        let (path, files) = (format!("{}{}", file.path, encoding.ending()), &version.manifest.files);
        let at = files.binary_search_by(|other| other.path.as_str().cmp(&path)).ok()?;
        let variant = &files[at];
        let fits = variant.encoding() == Some(encoding) && variant.class == file.class && variant.size < file.size;
        fits.then_some(Found { file: variant, version })
    }

    /// The site's own page for what is not there.
    #[must_use]
    pub fn not_found_page(&self) -> Option<Found<'_>> {
        self.pages.get("404.html").map(|place| self.found(*place))
    }

    /// The served version's page for paths that lead to no file.
    #[must_use]
    pub fn fallback(&self) -> Option<Found<'_>> {
        self.fallback.map(|place| self.found(place))
    }

    /// The served version's file that this path names with a hash in it. Never a page, and never a file that has its hash in its name.
    #[must_use]
    pub fn without_hash(&self, path: &str) -> Option<Found<'_>> {
        let mut found = classify::without_hash(path).filter_map(|plain| self.pages.get(&plain)).map(|place| self.found(*place));
        found.find(|found| found.file.class == Class::Unversioned)
    }

    /// What a browser asks for by a path that leads to no file.
    #[must_use]
    pub fn asked(&self, path: &str) -> Asked {
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        // What programs ask for there (`/.well-known/change-password`) is no page of the site's.
        if path.starts_with(".well-known/") || folders.any(|folder| self.asset_folders.contains(folder)) {
            return Asked::Asset;
        }
        let last = path.rsplit('/').next().unwrap_or(path);
        match last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            None | Some("" | "html" | "htm") => Asked::Page,
            Some(_) if headers::content_type(last) == headers::UNKNOWN_TYPE => Asked::PageOrFile,
            Some(_) => Asked::Asset,
        }
    }

    /// The name map of the served version.
    #[must_use]
    pub fn name_map(&self) -> Option<&NameMap> {
        self.name_map.as_ref()
    }

    /// The digest of the newest known version with this label.
    #[must_use]
    pub fn digest_of(&self, version: &str) -> Option<&ManifestDigest> {
        self.versions.iter().map(|known| &known.pointed).find(|pointed| pointed.version == version).map(|pointed| &pointed.digest)
    }

    fn found(&self, place: Place) -> Found<'_> {
        let version = &self.versions[place.version];
        Found { file: &version.manifest.files[place.file], version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::{entry, pointed};

    /// A page that was compressed beforehand is a page: of another version it would be shown beside the wrong scripts.
    #[test]
    fn of_another_version_pictures_are_found_and_pages_are_not_compressed_or_plain() {
        let version = |label: &str, files: &[&str]| {
            let manifest = Manifest::new(files.iter().map(|path| entry(path, b"x")).collect());
            Known { pointed: pointed(label, &manifest, "http://store/"), manifest: Arc::new(manifest), complete: true }
        };
        let now = version("v2", &["index.html"]);
        let serving = now.pointed.clone();
        let catalogue = Catalogue::new(vec![now, version("v1", &["a.jpg", "old.html", "old.html.br"])], Some(&serving));
        let found = ["a.jpg", "old.html", "old.html.br"].map(|path| matches!(catalogue.lead(path), Lead::File(_)));
        assert_eq!(found, [true, false, false]);
    }
}
