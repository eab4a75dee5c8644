//! What a file is by its name alone: a page, something whose bytes may change under its name, or neither; and what a build tool's own
//! words say about hashes. Never takes the shape of a name for proof that its bytes stay: that is `evidence`'s business.

use super::variant::{self, Encoding};

/// Names that only service workers have. A chunk whose name merely begins so is none: pages load it.
const SERVICE_WORKERS: [&str; 7] =
    ["sw.js", "sw.mjs", "service-worker.js", "serviceworker.js", "ngsw-worker.js", "onesignalsdkworker.js", "safety-worker.js"];

/// Lists of files, which tools write and pages' scripts read.
const LISTS: [&str; 14] = [
    "version.json",
    "manifest.json",
    "asset-manifest.json",
    "assets-manifest.json",
    "build-manifest.json",
    "mix-manifest.json",
    "mf-manifest.json",
    "rev-manifest.json",
    "cache_manifest.json",
    "staticfiles.json",
    "entrypoints.json",
    "ngsw.json",
    "hashmap.json",
    "remoteentry.js",
];

/// The last part of a path.
fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether a file goes with the pages, by its name: html, service workers, and what names other files. It is written last, and answered
/// from the served version alone.
#[must_use]
pub fn is_entry(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    let is_feed =
        has_ending(&name, &["webmanifest", "appcache", "rss", "atom"]) || (name.starts_with("sitemap") && has_ending(&name, &["xml"]));
    is_page(path) || is_service_worker(&name) || LISTS.contains(&name.as_str()) || is_feed
}

/// `sw.js`, `my-sw.js`, `service-worker.js`: a browser asks for them by themselves, and one that is gone must be a 404, so that it is
/// taken out of service. Source maps of them are none.
fn is_service_worker(name: &str) -> bool {
    SERVICE_WORKERS.contains(&name) || name.ends_with("-sw.js")
}

/// Whether a path is a page.
#[must_use]
pub fn is_page(path: &str) -> bool {
    has_ending(path, &["html", "htm", "xhtml"])
}

/// Whether no hash in the file's name says that its bytes stay: a page is written again under its name, and what lies beside a script
/// (its source map, its licences, its types) carries the hash of the script.
#[must_use]
pub fn is_never_hashed(path: &str) -> bool {
    is_entry(variant::original_path(path)) || is_beside_a_script(path)
}

/// Whether a file carries the name of a script that it is for, and its bytes are not what that name is a hash of; compressed beforehand, too.
#[must_use]
pub fn is_beside_a_script(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    let name = Encoding::ALL.into_iter().find_map(|encoding| name.strip_suffix(encoding.ending())).unwrap_or(&name);
    is_source_map(name)
        || [".license.txt", ".licenses.txt", ".license", ".legal.txt", ".d.ts", ".d.mts", ".d.cts"].iter().any(|end| name.ends_with(end))
}

/// How long the hashes of Vite and Rollup are, unless they are configured otherwise.
const HASH_CHARS: usize = 8;

/// Whether a name that a build tool lists beside the name that a file has without hash (its chunk's, its source's) says more than that
/// one, so that what is more is the tool's hash: `[hash]` alone, or of any length and alphabet.
#[must_use]
pub fn says_more_than(path: &str, plain: &str) -> bool {
    let (named, plain) = (name_of(path).to_ascii_lowercase(), name_of(plain).to_ascii_lowercase());
    let without_ending = |name: &'_ str| name.rsplit_once('.').map_or(name.len(), |(stem, _)| stem.len());
    let (named, whole) = (&named[..without_ending(&named)], &plain[..without_ending(&plain)]);
    // A hash may stand behind a dot, and a source has more endings than one (`page.server.ts`, of which no file's name need have the first).
    let first = plain.split_once('.').map_or(&*plain, |(stem, _)| stem);
    let length = |text: &str| text.bytes().filter(u8::is_ascii_alphanumeric).count();
    // The name of a chunk has no ending (`vendor.xlsx`).
    match named.strip_prefix(&*plain).or_else(|| named.strip_prefix(whole)).or_else(|| named.strip_prefix(first)) {
        // Of a hash's usual length a word may be one behind a hyphen: of hashes in base 36 some can be spoken.
        Some(more) => {
            let word = more.trim_start_matches(['-', '_', '~', '.']);
            let is_behind_a_dot = more.starts_with('.');
            let is_long = (length(more) == HASH_CHARS && !is_behind_a_dot) || hashes_at_the_end(path).next().is_some();
            length(more) >= 4 && !is_dated(more) && (is_long || !is_of_words(word))
        }
        // Another name altogether: a person's, unless no word is in it.
        None => length(named) >= 4 && !is_of_words(named) && !is_dated(named),
    }
}

/// The last eight characters of a name, behind a hyphen or between dots, that can be a hash, since a build tool lists the file. Never words, and
/// never a date.
pub(super) fn hashes_at_the_end(path: &str) -> impl Iterator<Item = &str> {
    let name = name_of(path);
    // The first part is the name itself.
    let between_dots = name.split_once('.').and_then(|(_, rest)| rest.rsplit('.').nth(1));
    let between_dots = between_dots.filter(|part| part.len() == HASH_CHARS && part.bytes().all(is_base64url));
    eight(path).chain(between_dots).filter(|text| can_be_a_hash(text))
}

/// Whether no part between marks is a word or a date: `prices-20241121` is of both.
pub(super) fn is_of_no_words(text: &str) -> bool {
    let is_word = |part: &str| part.len() > 2 && (reads_as_word(part) || is_dated(part));
    !is_dated(text) && !text.split(['-', '_', '.']).any(is_word)
}

/// Of eight characters.
fn can_be_a_hash(text: &str) -> bool {
    is_hash_of_a_tool(text) || (!text.contains(['-', '_']) && is_mixed(text) && !reads_as_word(text) && !is_dated(text))
}

/// Digits and marks alone that say a day or a time.
fn is_dated(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'~'));
    is_plain && (digits.starts_with("19") || digits.starts_with("20") || is_time(&digits))
}

/// Whether every part between marks is a word that can be spoken, perhaps with a number: in lower case.
fn is_of_words(text: &str) -> bool {
    let is_word = |part: &str| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        letters.bytes().all(|b| b.is_ascii_lowercase()) && vowels(letters) * 4 >= letters.len() && consonants_in_a_row(letters) < 5
    };
    text.split(['-', '_', '~', '.']).all(is_word)
}

/// Whether a text can be spoken, in small letters or capitals or with one at its beginning, perhaps with a number at its end: then it may be a person's.
pub(super) fn reads_as_word(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default();
    let is_of_one_case = !rest.bytes().any(|b| b.is_ascii_uppercase()) || !text.bytes().any(|b| b.is_ascii_lowercase());
    is_of_one_case && is_of_words(&text.to_ascii_lowercase())
}

/// How many letters of a text are vowels.
pub(super) fn vowels(letters: &str) -> usize {
    letters.bytes().filter(|b| is_vowel(*b)).count()
}

/// The longest run without a vowel.
pub(super) fn consonants_in_a_row(letters: &str) -> usize {
    letters.as_bytes().split(|b| is_vowel(*b)).map(<[u8]>::len).max().unwrap_or_default()
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

/// Whether some part of a path has the shape of a hash: for advice, never for a decision.
#[must_use]
pub fn looks_hashed(path: &str) -> bool {
    let tails = |part: &str| part.char_indices().filter(|(_, c)| matches!(c, '-' | '_')).map(|(at, _)| at + 1).collect::<Vec<_>>();
    let is_one = |part: &str| is_hash_of_a_tool(part) || tails(part).into_iter().any(|at| is_hash_of_a_tool(&part[at..]));
    path.split(['/', '.']).any(is_one) || has_hash_shape(path)
}

/// Whether a path is a source map.
#[must_use]
pub fn is_source_map(path: &str) -> bool {
    has_ending(path, &["map"])
}

/// Whether a name has a place for a hash as Vite's has, also where a person might have written the same.
fn has_hash_shape(path: &str) -> bool {
    eight(path).next().is_some()
}

/// Eight characters of base64url behind a hyphen, before the first or the last dot of a name (`entry.client-BvJ0nPsk.js`, `main-BEcQUh0e.min.js`).
fn eight(path: &str) -> impl Iterator<Item = &str> {
    let name = name_of(path);
    let stems = [name.split_once('.'), name.rsplit_once('.')].map(|cut| cut.map_or(name, |(stem, _)| stem));
    stems.into_iter().filter_map(|stem| {
        let (before, hash) = stem.split_at_checked(stem.len().checked_sub(HASH_CHARS)?)?;
        (before.len() > 1 && before.ends_with('-') && hash.bytes().all(is_base64url)).then_some(hash)
    })
}

/// Whether a file's name is a logical one with a hash put in (`js/app.3a4f5b.js` for `app.js`), as a tool says that lists both.
#[must_use]
pub fn is_hashed_form(path: &str, logical_name: &str) -> bool {
    let (name, logical) = (name_of(path), name_of(logical_name));
    let dots = logical.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
    dots.into_iter().any(|at| {
        let (stem, ending) = logical.split_at(at);
        let hash = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending));
        hash.and_then(|hash| hash.strip_prefix(['.', '-', '_'])).is_some_and(is_hash_of_a_tool)
    })
}

/// Marks of a name that are looked at for a hash behind them, from the end.
const MARKS_MAX: usize = 8;

/// What a path may be called without the hash in its name: `js/a.js` for `js/a-rfgt45jfsg.js`.
pub fn without_hash(path: &str) -> impl Iterator<Item = String> {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
    let marks = name.rmatch_indices(['-', '.', '_']).map(|(at, _)| at).filter(|at| *at > 0).take(MARKS_MAX);
    marks.filter_map(move |at| {
        let (stem, rest) = (&name[..at], &name[at + 1..]);
        let (hash, ending) = rest.split_at(rest.find('.')?);
        // Digits alone may be the number of an article.
        let is_one = is_hash_of_a_tool(hash) && hash.bytes().any(|b| b.is_ascii_alphabetic());
        is_one.then(|| format!("{folder}{stem}{ending}"))
    })
}

/// Whether a text that a build tool gives as a hash can be one: the shape of one, or, since the tool has said it, six or seven
/// hexadecimal characters with letters and digits. Never a counter, a date or a version.
#[must_use]
pub fn is_hash_of_a_tool(text: &str) -> bool {
    let is_short = (6..8).contains(&text.len())
        && is_hexadecimal(text)
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b.is_ascii_lowercase());
    is_short || is_hash(text) || is_mixed_with_digits(text)
}

/// Whether a text is of small hexadecimal digits alone.
pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// At least eight characters, letters among which digits stand, and not only at the ends: Blazor's and Rollup's base 36, for example.
fn is_mixed_with_digits(text: &str) -> bool {
    let count = |is: fn(&u8) -> bool| text.bytes().filter(is).count();
    let is_long = text.len() >= 8 && text.bytes().all(is_base64url);
    is_long && count(u8::is_ascii_digit) >= 2 && count(u8::is_ascii_alphabetic) >= 2 && !is_word_with_number(text)
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.iter().any(|wanted| ending.eq_ignore_ascii_case(wanted)))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether a text that a tool gives as a hash has the shape of one.
fn is_hash(text: &str) -> bool {
    is_hex_hash(text) || is_base32_hash(text) || is_base64_hash(text)
}

/// Lower-case hexadecimal of 8 to 128 characters. Of 43 random ones of length 8 one has digits only: such a number is believed, unless
/// it could be a date. Short ones without a digit are believed only because no words have these letters.
fn is_hex_hash(text: &str) -> bool {
    let hex = (8..=128).contains(&text.len()) && is_hexadecimal(text);
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    hex && (!digits_only || (!is_date(text) && !is_time(text)))
}

fn is_date(digits: &str) -> bool {
    digits.len() == 8 && (digits.starts_with("19") || digits.starts_with("20"))
}

/// Seconds or milliseconds between the years 2001 and 2039, or a date of these two centuries with a time.
fn is_time(digits: &str) -> bool {
    let of_a_century = digits.starts_with("19") || digits.starts_with("20");
    match digits.len() {
        10 | 13 => digits.starts_with('1') || matches!(digits.get(..2), Some("20" | "21")),
        12 | 14 => of_a_century,
        _ => false,
    }
}

/// Eight characters of upper-case base32, as esbuild writes them. One in five has no digit, so letters alone are believed.
fn is_base32_hash(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')) && !text.bytes().all(|b| b.is_ascii_digit())
}

/// Eight characters of base64url, or up to 32 with letters of both cases and digits. Never a word with a number (`section1`, `Chapter2`)
/// and never words joined by hyphens.
fn is_base64_hash(text: &str) -> bool {
    if !(8..=32).contains(&text.len()) || !text.bytes().all(is_base64url) {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let late_capitals = text.bytes().skip(1).filter(u8::is_ascii_uppercase).count();
    let lowers = text.bytes().filter(u8::is_ascii_lowercase).count();
    if text.len() > 8 {
        return digits > 0 && late_capitals > 1 && lowers > 1 && is_mixed(text);
    }
    let marks = text.bytes().filter(|b| matches!(b, b'-' | b'_')).count();
    if marks > 0 {
        // `hero-2x1`, `v2-beta1`: joined words have no capitals within.
        return late_capitals > 0 && is_mixed(text);
    }
    (late_capitals > 0 && lowers > 0 && is_mixed(text)) || (digits > 0 && lowers > 0 && !is_word_with_number(text))
}

/// Not just one or two words, joined by a mark or in camel case, each perhaps with a number (`SemiBold`, `My-Photo`).
fn is_mixed(text: &str) -> bool {
    let joined = text.contains(['-', '_']);
    let letters_min = if joined { 2 } else { 3 };
    let mut words = Vec::new();
    for piece in text.split(['-', '_']) {
        let starts = piece.char_indices().filter(|(at, c)| *at > 0 && c.is_ascii_uppercase()).map(|(at, _)| at);
        let mut begin = 0;
        for end in starts.chain([piece.len()]) {
            words.push(&piece[begin..end]);
            begin = end;
        }
    }
    words.len() > 2 || !words.iter().all(|word| is_word(word, letters_min))
}

/// Perhaps a capital, small letters, perhaps a number.
fn is_word(text: &str, letters_min: usize) -> bool {
    let letters = text.trim_end_matches(|c: char| c.is_ascii_digit());
    letters.len() >= letters_min && letters.bytes().skip(1).all(|b| b.is_ascii_lowercase()) && letters.as_bytes()[0].is_ascii_alphabetic()
}

/// `section1`, `2columns`: digits at the ends only.
fn is_word_with_number(text: &str) -> bool {
    text.trim_matches(|c: char| c.is_ascii_digit()).bytes().all(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_other_files_goes_with_the_pages_and_nothing_else_does() {
        for path in [
            "index.html",
            "about-BEcQUh0e.html",
            "sw.js",
            "app/my-sw.js",
            "service-worker.js",
            "ngsw-worker.js",
            "ngsw.json",
            "version.json",
            "site.webmanifest",
            "build/manifest.json",
            "remoteEntry.js",
            "sitemap-0.xml",
            "blog/feed.rss",
        ] {
            assert!(is_entry(path), "{path}");
        }
        for path in [
            "a.js",
            "cows.js",
            "service-worker-utils-BEcQUh0e.js",
            "sw.js.map",
            "data.json",
            "img/sitemap.png",
            "robots.txt",
            "answer.js",
            "browserconfig.xml",
        ] {
            assert!(!is_entry(path), "{path}");
        }
    }

    #[test]
    fn what_lies_beside_a_script_carries_no_hash_of_its_own() {
        for path in ["a-BEcQUh0e.js.map.gz", "b.js.map.br", "a.js.LICENSE.txt.gz"] {
            assert!(is_beside_a_script(path), "{path}");
        }
        for path in ["a-BEcQUh0e.js.map", "main.3a4f5b6c.js.LICENSE.txt", "types/a-BEcQUh0e.d.ts", "a.css.MAP"] {
            assert!(is_never_hashed(path) && !is_entry(path), "{path}");
        }
        for path in ["LICENSE.txt", "a.ts", "map.js", "img/map.png"] {
            assert!(!is_never_hashed(path), "{path}");
        }
    }

    #[test]
    fn what_a_name_has_more_than_its_source_is_a_hash_unless_it_is_a_word_or_a_date() {
        for (path, plain) in [
            ("assets/main-BEcQUh0e.js", "src/main.ts"),
            ("assets/main-a1b2c3.js", "main"),
            ("assets/main-lowercas.js", "main"),
            ("assets/BEcQUh0e.js", "src/main.ts"),
            ("assets/q8x2kd.js", "src/main.ts"),
            ("e/index.ly4r4p.js", "index.html"),
            ("e/page.BEcQUh0e.js", "src/page.server.ts"),
        ] {
            assert!(says_more_than(path, plain), "{path} of {plain}");
        }
        for (path, plain) in [
            ("assets/main.js", "src/main.ts"),
            ("assets/storefront.js", "src/main.ts"),
            ("assets/storefront-checkout2.js", "main"),
            ("admin-panel.js", "src/admin.ts"),
            ("admin-dashboard2.js", "src/admin.ts"),
            ("assets/index.modern.js", "index"),
            ("assets/index.nomodule.js", "index"),
            ("assets/entry.settings.js", "src/entry.settings.ts"),
            ("assets/entry.settings.js", "entry.settings"),
            ("assets/vendor.xlsx.js", "vendor.xlsx"),
            ("assets/vendor.html2pdf.js", "vendor.html2pdf"),
            ("assets/inter.cyrillic.woff2", "fonts/inter.cyrillic.woff2"),
            ("assets/index.module.css", "index"),
            ("assets/main-20241121.js", "main"),
            ("assets/main-2024-11-21.js", "main"),
            ("assets/main-1732147200.js", "main"),
            ("assets/20241121.js", "main"),
        ] {
            assert!(!says_more_than(path, plain), "{path} of {plain}");
        }
    }

    #[test]
    fn a_name_without_its_hash_is_found_whatever_stands_before_the_hash() {
        let plain = |path| without_hash(path).next();
        for (path, name) in [
            ("js/a-rfgt45jfsg.js", "js/a.js"),
            ("a.3a4f5b6c.min.js", "a.min.js"),
            ("my-app_3a4f5b6c.css", "my-app.css"),
            ("a-B_cQUh-e.js", "a.js"),
        ] {
            assert_eq!(plain(path).as_deref(), Some(name), "{path}");
        }
        for path in
            ["a.js", "storefront-checkout.js", "product-83549378.jpg", "a-20241121.js", "-3a4f5b6c.js", "ünï-é.js", "a-3a4f5b6c", ""]
        {
            assert_eq!(plain(path), None, "{path}");
        }
    }

    /// (10/16)^10 = 0.9 % of the hashes of ten hexadecimal digits are digits alone.
    #[test]
    fn digits_alone_are_a_hash_of_a_tool_unless_they_can_be_a_day_or_a_time() {
        for digits in ["8354937812", "83549378", "3354937812123", "83549378120412"] {
            assert!(is_hash_of_a_tool(digits), "{digits}");
        }
        for digits in ["20241121", "19991231", "1732147200", "2024112115", "202411211530", "1732147200123", "20241121153012"] {
            assert!(!is_hash_of_a_tool(digits), "{digits}");
        }
    }

    #[test]
    fn a_text_that_can_be_spoken_reads_as_a_word_in_small_letters_or_in_capitals() {
        for word in ["PORTUGAL", "SUMMER24", "Chapter2", "section1", "texture"] {
            assert!(reads_as_word(word), "{word}");
        }
        for hash in ["7OZGJMEE", "DIDQNGJ4", "CgVAFUFj", "MR7MQPVC", "vLhlLNVn", "Di8DUHzh"] {
            assert!(!reads_as_word(hash), "{hash}");
        }
    }

    #[test]
    fn a_hash_that_was_put_into_a_name_is_known_from_both() {
        for (path, name) in [
            ("js/app.3a4f5b.js", "app.js"),
            ("css/main-e693843a.css", "x/main.css"),
            ("app.min.3a4f5b6c.js", "app.min.js"),
            ("app.3a4f5b6c.min.js", "app.min.js"),
            ("app.20241121ab.js", "app.js"),
            ("dotnet.runtime.qrl1fuqt3c.js", "dotnet.runtime.js"),
        ] {
            assert!(is_hashed_form(path, name), "{path}");
        }
        for (path, name) in [
            ("app.js", "app.js"),
            ("app.20241121.js", "app.js"),
            ("app.3.js", "app.js"),
            ("app.facade.js", "app.js"),
            ("app.123456.js", "app.js"),
            ("app.production.js", "app.js"),
            ("app.version12.js", "app.js"),
            ("apple3a4f5b6c.js", "app.js"),
            ("LICENSE", "LICENSE"),
        ] {
            assert!(!is_hashed_form(path, name), "{path}");
        }
    }

    #[test]
    fn eight_characters_behind_a_hyphen_have_the_shape_of_vites_hash() {
        for path in ["assets/a-lowercas.js", "assets/index-Homepage.css", "assets/a-20241121.js"] {
            assert!(has_hash_shape(path), "{path}");
        }
        for path in ["assets/app.js", "assets/lowercas.js", "sw.js", "a/ünï-abcdefgü.js"] {
            assert!(!has_hash_shape(path), "{path}");
        }
    }
}
