//! Workbox' precache lists in service workers, also of vite-plugin-pwa and next-pwa: `{url:"…",revision:…}`. One file that is not
//! there fails the installation.
//! Never vouches for a URL that has a revision beside it: its name stays when its bytes change.

use super::listed::{self, HashForm, Needs};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// The service worker, or the list that it imports.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Workbox",
    places: &[
        Place { path: "sw.js", used_by: UsedBy::Others },
        Place { path: "service-worker.js", used_by: UsedBy::Others },
        Place { path: "serviceworker.js", used_by: UsedBy::Others },
        Place { path: "precache-manifest.*.js", used_by: UsedBy::Others },
        Place { path: "*-sw.js", used_by: UsedBy::Others },
    ],
    read,
};

/// Between the two members of an entry stands at most an integrity.
const ENTRY_BYTES_MAX: usize = 600;

struct Entry<'t> {
    url: &'t str,
    has_revision: bool,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let text = String::from_utf8_lossy(input.bytes);
    let entries = entries(&text);
    if entries.is_empty() {
        return Err(Unsuitable::AnotherFormat("it has no precache list".to_owned()));
    }
    let mut names = listed::names(input, entries.iter().map(|entry| entry.url), Needs::Each)?;
    let finder = listed::Finder::of(input, &entries.iter().map(|entry| entry.url))?;
    let hashed: Vec<&str> = entries.iter().filter(|entry| !entry.has_revision).filter_map(|entry| finder.find(entry.url)).collect();
    let form = HashForm::of(hashed.iter().copied());
    names.hashed = hashed.into_iter().filter(|file| form.is_of(file)).map(str::to_owned).collect();
    Ok(names)
}

/// Objects with a `url` and a `revision`, in either order, with or without quotes around the members.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let objects = text.match_indices('{').filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let end =
            rest.bytes().take(ENTRY_BYTES_MAX).position(|byte| matches!(byte, b'{' | b'}')).filter(|end| rest.as_bytes()[*end] == b'}')?;
        Some(&rest[..end])
    });
    objects.filter_map(entry).collect()
}

fn entry(object: &str) -> Option<Entry<'_>> {
    let url = text_of(member(object, "url")?)?;
    let revision = member(object, "revision")?;
    Some(Entry { url, has_revision: text_of(revision).is_some() })
}

/// What stands behind a member's name and colon.
fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    object.match_indices(name).find_map(|(at, _)| {
        let before = object[..at].trim_end_matches(['"', '\'']).trim_end();
        let is_name = before.is_empty() || before.ends_with(',');
        let rest = object[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
        rest.strip_prefix(':').filter(|_| is_name).map(str::trim_start)
    })
}

fn text_of(value: &str) -> Option<&str> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    value[1..].split_once(quote).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn everything_that_is_precached_must_be_there() {
        let text = include_str!("../../../tests/data/builds/lists/workbox-sw.js");
        let files = [("sw.js", text), ("index.html", ""), ("assets/index-BvJ0nPsk.js", ""), ("registerSW.js", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(build.names.hashed.iter().collect::<Vec<_>>(), ["assets/index-BvJ0nPsk.js"], "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["assets/index-DgT2sLqW.css", "icons/icon-192.png"]);
    }

    #[test]
    fn a_service_worker_without_a_list_is_something_else() {
        let build = Sample::of(&[("sw.js", "self.addEventListener('fetch',e=>{fetch({url:e})})"), ("index.html", "")]).auto();
        assert!(build.reading.path.is_none(), "{build:?}");
    }
}
