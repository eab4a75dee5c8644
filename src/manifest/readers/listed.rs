//! What most tools' lists have in common: URLs or paths of files, with something in front that has to be found out.
//! Never takes a list of which no file is in the build.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{folder_and_name, is_needed, is_script_or_style, names_a_file, without_query};
use super::{Input, Names, OwnFile, Paths, Unsuitable};
use crate::manifest::classify;

/// Which of the files that are not there are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// All but source maps, licences and pages.
    WhatPagesLoad,
    /// Each: something loads the whole list.
    Each,
}

/// Finds the files that a tool's URLs mean.
pub(super) struct Finder<'a, 'u> {
    input: &'a Input<'a>,
    public_path: &'u str,
    folder: &'a str,
}

impl<'a, 'u> Finder<'a, 'u> {
    /// By what leads most of these URLs to files: as they stand, below the list's own folder, or without what the tool puts in front.
    pub(super) fn of(input: &'a Input<'a>, urls: &(impl Iterator<Item = &'u str> + Clone)) -> Result<Self, Unsuitable> {
        let clean = || urls.clone().map(without_query);
        let beside = folder_and_name(input.path).0;
        let below = |folder: &str| clean().filter(|url| find(input.paths, &format!("{folder}{}", relative(url))).is_some()).count();
        let public_path = input.paths.public_path(clean());
        let (at_top, at_folder) = (below(""), below(beside));
        if at_top == 0 && at_folder == 0 && public_path.is_none() {
            return Err(Unsuitable::AnotherFormat("it names no file of the build".to_owned()));
        }
        let folder = if at_folder > at_top { beside } else { "" };
        let fits = public_path.map_or(0, |public_path| clean().filter(|url| url.starts_with(public_path)).count());
        // Where most stand as they are, what a few begin with is a folder of the build.
        let public_path = public_path.filter(|_| fits > at_top.max(at_folder)).unwrap_or_default();
        Ok(Self { input, public_path, folder })
    }

    pub(super) fn find(&self, url: &str) -> Option<&'a str> {
        let (paths, url) = (self.input.paths, without_query(url));
        let below = || find(paths, &format!("{}{}", self.folder, relative(url)));
        let behind = || find(paths, url.strip_prefix(self.public_path)?);
        find(paths, url).filter(|_| self.folder.is_empty()).or_else(below).or_else(behind)
    }

    /// Whether a URL that leads to no file should: it names one, and not on another host.
    pub(super) fn is_lost(&self, url: &str) -> bool {
        let url = without_query(url);
        // The list of a tool that builds more than this folder (a server beside the site) names files outside of it.
        let is_elsewhere = if self.public_path.is_empty() { url.contains("//") } else { !url.starts_with(self.public_path) };
        names_a_file(url) && !is_elsewhere && !url.starts_with("data:") && !lies_outside(url) && self.find(url).is_none()
    }

    /// What the tool puts in front, if it is a place.
    pub(super) fn public_path(&self) -> Option<String> {
        (self.folder.is_empty() && self.public_path.len() > 1).then(|| self.public_path.to_owned())
    }
}

/// Whether a path leads out of the output folder.
pub(super) fn lies_outside(path: &str) -> bool {
    path.starts_with("../")
}

/// Modules of a server, which the tool lists beside the site's files: none of them is in the build.
pub(super) fn are_of_a_server<'u>(modules: impl IntoIterator<Item = &'u str>, is_there: impl Fn(&str) -> bool) -> bool {
    !modules.into_iter().filter(|path| is_module(path)).any(is_there)
}

pub(super) fn is_module(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending == "mjs")
}

/// The file of a path that may be escaped as in a URL.
fn find<'a>(paths: &Paths<'a>, path: &str) -> Option<&'a str> {
    let plain = || paths.find(&percent_encoding::percent_decode_str(path).decode_utf8().ok()?);
    paths.find(path).or_else(|| if path.contains('%') { plain() } else { None })
}

pub(super) fn relative(url: &str) -> &str {
    let url = url.strip_prefix("./").unwrap_or(url);
    url.strip_prefix('/').unwrap_or(url)
}

/// The names of a list of URLs, without logical ones.
pub(super) fn names<'u>(input: &Input<'_>, urls: impl Iterator<Item = &'u str> + Clone, needs: Needs) -> Result<Names, Unsuitable> {
    let finder = Finder::of(input, &urls)?;
    let form = HashForm::of(urls.clone().filter_map(|url| finder.find(url)));
    let mut names = Names { public_path: finder.public_path(), own_file: OwnFile::Published, ..Names::default() };
    for url in urls {
        match finder.find(url) {
            Some(file) if form.is_of(file) => drop(names.hashed.insert(file.to_owned())),
            None if finder.is_lost(url) && (needs == Needs::Each || is_needed(without_query(url))) => {
                names.missing.insert(url.to_owned());
            }
            Some(_) | None => {}
        }
    }
    Ok(names)
}

/// What hashes look like in a list. Tools list files, too, that they only copied (`flag-PORTUGAL.svg`): what one says of a name of its own scripts and styles is
/// believed, and of other files only what has their form and is no word.
pub(super) struct HashForm {
    /// Most hashes of scripts and styles are hexadecimal.
    is_hex: bool,
    /// Folders in which all names are hashes alone, of one length.
    hashes_alone: BTreeSet<String>,
}

/// Names of one folder that must be hashes beyond doubt before the others of it are.
const ALONE_MIN: usize = 3;

impl HashForm {
    /// As the scripts and styles among these files have it.
    pub(super) fn of<'f>(files: impl Iterator<Item = &'f str>) -> Self {
        let files: BTreeSet<&str> = files.collect();
        let code: Vec<&str> = files.iter().copied().filter(|file| is_script_or_style(file) && carries_hash(file)).collect();
        let hexadecimal = code.iter().filter(|file| hashes(file).any(classify::is_hexadecimal)).count();
        Self { is_hex: hexadecimal * 2 > code.len(), hashes_alone: folders_of_hashes_alone(&files) }
    }

    /// Whether all listed names in the file's folder are hashes and nothing else (`[hash].js`): of those of letters some can be spoken.
    pub(super) fn are_hashes_alone_beside(&self, file: &str) -> bool {
        self.hashes_alone.contains(folder_and_name(file).0)
    }

    /// Whether the tool says that this file's name carries its hash.
    pub(super) fn is_of(&self, file: &str) -> bool {
        // Digits alone may be the number of an article, and other letters than those of most hashes a name in camel case (`goToPage`).
        let has_a_letter = |token: &str| token.bytes().any(|b| b.is_ascii_alphabetic());
        let fits =
            |token: &str| has_a_letter(token) && classify::is_of_no_words(token) && (!self.is_hex || classify::is_hexadecimal(token));
        let is_code = is_script_or_style(file);
        let as_code = || hashes(file).any(|token| !self.is_hex || classify::is_hexadecimal(token)) || self.are_hashes_alone_beside(file);
        let carries = if is_code { as_code() } else { hashes(file).any(fits) };
        carries && !classify::is_never_hashed(file)
    }
}

/// Folders whose listed names have one length, and no mark, and of which some can be nothing but hashes.
fn folders_of_hashes_alone(files: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| !classify::is_never_hashed(file)) {
        let (folder, name) = folder_and_name(file);
        folders.entry(folder).or_default().push(name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    }
    let are_alone = |stems: &[&str]| {
        let is_alike = |stem: &&&str| stem.len() == stems[0].len() && stem.bytes().all(|b| b.is_ascii_alphanumeric());
        let clear = stems.iter().filter(|stem| classify::is_hash_of_a_tool(stem)).count();
        clear >= ALONE_MIN && stems.iter().filter(is_alike).count() == stems.len()
    };
    folders.into_iter().filter(|(_, stems)| are_alone(stems)).map(|(folder, _)| folder.to_owned()).collect()
}

/// Whether a part of the name can be a hash, since a tool lists the file.
pub(super) fn carries_hash(path: &str) -> bool {
    hashes(path).next().is_some()
}

/// The parts of a name that can be a hash: between marks, the whole, and what is behind the hyphen before the last eight characters.
fn hashes(path: &str) -> impl Iterator<Item = &str> {
    let name = folder_and_name(path).1;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    // Of names that are hashes alone some have marks within.
    let whole = Some(stem).filter(|stem| classify::is_of_no_words(stem));
    let parts = stem.split(['.', '-', '_']).chain(whole).filter(|part| classify::is_hash_of_a_tool(part));
    parts.chain(classify::hashes_at_the_end(path))
}

/// Quoted strings of a script or of JSON, without those that have escapes.
pub(super) fn strings(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.match_indices(['"', '\'']).filter_map(|(at, quote)| {
        let inner = text[at + 1..].split(['"', '\'', '\n', '\\']).next()?;
        text[at + 1 + inner.len()..].starts_with(quote).then_some(inner)
    })
}
