//! What webpack's plugins write: a map from each name to the URL of its file. webpack-manifest-plugin (`manifest.json`),
//! webpack-assets-manifest (`assets-manifest.json`, with `entrypoints` if asked) and react-scripts (`asset-manifest.json`, with `files`).
//! Never takes a web app manifest, which often has the same name, for one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::json::Node;
use super::listed::relative;
use super::paths::{ending, folder_and_name, is_needed, is_script_or_style, names_a_file, without_query};
use super::{Input, Names, OwnFile, Paths, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// All three write a map of the same kind.
pub const READER: Reader = Reader {
    format: Format::Webpack,
    tool: "Webpack",
    places: &[
        Place { path: "asset-manifest.json", used_by: UsedBy::Others },
        Place { path: "assets-manifest.json", used_by: UsedBy::Others },
        Place { path: "manifest.json", used_by: UsedBy::Others },
    ],
    read,
};

/// Where the list's names have their hash: chunks that have no name are listed under their file's own (`270.a3163c96.chunk.js` beside
/// `main.970e19da.js`), and the others of their folder say how long the tool's hashes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Form<'a> {
    folder: &'a str,
    ending: Option<&'a str>,
    length: usize,
}

/// The hexadecimal hashes in a file's name.
fn forms(file: &str) -> impl Iterator<Item = Form<'_>> {
    let (folder, name) = folder_and_name(file);
    let is_hash = |part: &&str| classify::is_hash_of_a_tool(part) && classify::is_hexadecimal(part);
    name.split(['.', '-', '_']).filter(is_hash).map(move |part| Form { folder, ending: ending(name), length: part.len() })
}

/// Members that only a web app manifest has: the page's own, which installed applications read.
const OF_A_WEB_APP: [&str; 5] = ["start_url", "icons", "display", "short_name", "theme_color"];

/// What the file says, before it is looked up in the build.
#[derive(Debug, Default)]
struct Map {
    /// Name to URL.
    names: BTreeMap<String, String>,
    /// URLs that pages begin with.
    entry_points: BTreeSet<String>,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let mut map = parse(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    if is_anybodys(input.path) {
        map.take_what_a_tool_writes();
        if !map.names.values().any(|url| is_script_or_style(without_query(url))) {
            return Err(Unsuitable::AnotherFormat("it leads from no name of a script or style to another one".to_owned()));
        }
    }
    let urls = || map.names.values().chain(&map.entry_points).map(|url| without_query(url));
    let public_path = input.paths.public_path(urls());
    let behind = |url: &&str| public_path.is_some_and(|public_path| input.paths.behind(public_path, url).is_some());
    // A manifest in a folder of the build (`public/build/`) may name its files from there.
    let folder = folder_and_name(input.path).0;
    let beside = |url: &&str| input.paths.find(&format!("{folder}{}", relative(url))).is_some();
    if !folder.is_empty() && urls().filter(beside).count() > urls().filter(behind).count() {
        return Ok(named(&map.names, urls(), &|url| Target::beside(url, folder, input.paths)));
    }
    let Some(public_path) = public_path else {
        return Err(Unsuitable::AnotherFormat("it names no file of the build".to_owned()));
    };
    let mut names = named(&map.names, urls(), &|url| Target::of(url, public_path, input.paths));
    names.public_path = (public_path.len() > 1).then(|| public_path.to_owned());
    Ok(names)
}

/// Whether others write files of that name, too: descriptions of plugins, sites and data.
fn is_anybodys(path: &str) -> bool {
    path.contains('/') || path == "manifest.json"
}

impl Map {
    /// Leaves entries whose name and URL have the same ending; an address of a person or a site is no file.
    fn take_what_a_tool_writes(&mut self) {
        self.names.retain(|name, url| ending(name).is_some_and(|of_name| Some(of_name) == ending(without_query(url))));
    }
}

/// The names that lead to files of the build, and the URLs that should.
pub(super) fn named<'u, 'a>(
    names: &'u BTreeMap<String, String>,
    urls: impl Iterator<Item = &'u str>,
    target: &dyn Fn(&'u str) -> Target<'a>,
) -> Names {
    let mut all = Names { own_file: OwnFile::Published, ..Names::default() };
    for (name, url) in names {
        let Target::File(file) = target(without_query(url)) else { continue };
        let fits = classify::is_hashed_form(file, name);
        if fits {
            all.hashed.insert(file.to_owned());
        }
        // Of several names for one file, the one that it was made from.
        let other = all.logical.get(file);
        if other.is_none() || (fits && other.is_some_and(|other| !classify::is_hashed_form(file, other))) {
            all.logical.insert(file.to_owned(), name.clone());
        }
    }
    let forms: BTreeSet<Form<'_>> = all.hashed.iter().flat_map(|file| forms(file)).collect();
    let files = names.values().filter_map(|url| if let Target::File(file) = target(without_query(url)) { Some(file) } else { None });
    let of_a_form = |file: &&str| is_script_or_style(file) && self::forms(file).any(|form| forms.contains(&form));
    let without_a_name: Vec<String> = files.filter(of_a_form).map(str::to_owned).collect();
    all.hashed.extend(without_a_name);
    all.missing = urls.filter(|url| matches!(target(url), Target::Nowhere) && is_needed(url)).map(str::to_owned).collect();
    all
}

/// Where a URL leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    File(&'a str),
    /// Into the build, where there is nothing.
    Nowhere,
    /// To another host, or it is no reference at all.
    Elsewhere,
}

impl<'a> Target<'a> {
    pub(super) fn of(url: &str, public_path: &str, paths: &Paths<'a>) -> Self {
        match paths.behind(public_path, url) {
            Some(file) => Self::File(file),
            None if !names_a_file(url) => Self::Elsewhere,
            // With a public path that is a URL, relative ones do not occur, and other hosts are not ours to judge.
            None if url.starts_with(public_path) || !(url.contains("//") || url.starts_with("data:")) => Self::Nowhere,
            None => Self::Elsewhere,
        }
    }

    /// The same for a manifest that names files from its own folder.
    fn beside(url: &str, folder: &str, paths: &Paths<'a>) -> Self {
        match paths.find(&format!("{folder}{}", relative(url))) {
            Some(file) => Self::File(file),
            None if !names_a_file(url) || url.contains("//") || url.starts_with("data:") => Self::Elsewhere,
            None => Self::Nowhere,
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Map, String> {
    let object = Node::object(bytes)?;
    if let Some(member) = OF_A_WEB_APP.iter().find(|member| object.contains_key(**member)) {
        return Err(format!("it has {member:?}, so it is a web app manifest"));
    }
    let mut map = Map::default();
    for (name, node) in object {
        match (name.as_str(), node) {
            ("entrypoints", node) => entry_points(node, &mut map.entry_points),
            ("files", Node::Object(files)) => map.names.extend(files.into_iter().filter_map(|(name, node)| Some((name, url(node)?)))),
            (_, node) => map.names.extend(url(node).map(|url| (name, url))),
        }
    }
    Ok(map)
}

/// The URL of one entry: a text, or an object that has it beside the file's integrity.
fn url(node: Node) -> Option<String> {
    match node {
        Node::Text(url) => Some(url),
        Node::Object(mut object) => object.remove("src")?.text(),
        Node::List(_) | Node::Other => None,
    }
}

/// A list, or for each entry point an object with lists at some depth, by kind.
fn entry_points(node: Node, urls: &mut BTreeSet<String>) {
    match node {
        Node::List(list) => urls.extend(list),
        Node::Object(object) => object.into_values().for_each(|node| entry_points(node, urls)),
        Node::Text(_) | Node::Other => {}
    }
}
