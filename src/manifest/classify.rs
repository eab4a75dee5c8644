//! Tells by a file's name whether it carries a hash of its content: only then its bytes can never change.
//! Never takes a word, a number or a date for a hash: such a file would be cached for ever under a name that comes again.

use super::Class;

/// The class of a file by its path.
///
/// Pages are always entries. What a build tool wrote with a hash is an asset: Vite, Rollup, Astro and `SvelteKit`
/// (`name-BEcQUh0e.js`, `name.BEcQUh0e.js`), Nuxt (`_nuxt/BEcQUh0e.js`), esbuild and Angular (`name-XIDF6MKT.js`), webpack, Parcel
/// and Next.js (`name.3a4f5b6c.js`, 8 to 64 hexadecimal characters), each also before further endings (`.chunk.js`).
/// Source maps are always entries: an edit of a comment changes a map, and not the hash in its name, which is the script's.
/// Everything else is an entry, which is always safe: written last, cached shortly.
#[must_use]
pub fn class_of(path: &str) -> Class {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_never_hashed(name) {
        return Class::Entry;
    }
    let content = content(name);
    // The last part is the file's ending and never a hash.
    let Some((stem, _)) = name.rsplit_once('.') else { return Class::Entry };
    let mut parts = stem.split('.');
    let first = parts.next().unwrap_or_default();
    let hashed = parts.any(|part| ends_with_hash(part, content) || is_hash(part, content))
        || ends_with_hash(first, content)
        || (is_asset_folder(folder) && is_hash(first, content))
        || (first.len() >= 16 && is_hash(first, content));
    if hashed { Class::Asset } else { Class::Entry }
}

/// Whether a path is a page.
#[must_use]
pub fn is_page(path: &str) -> bool {
    has_ending(path, &["html", "htm", "xhtml"])
}

/// Whether no hash in the file's name says that its bytes stay: a page is written again under its name, and a source map carries
/// the hash of the script that it is for.
#[must_use]
pub fn is_never_hashed(path: &str) -> bool {
    is_page(path) || is_source_map(path)
}

/// Whether a path is a source map.
#[must_use]
pub fn is_source_map(path: &str) -> bool {
    has_ending(path, &["map"])
}

/// Whether a file that a build tool names in its own manifest carries a hash: the tool has said that the name is its work, so
/// the shape alone is enough, even where a person might have written the same.
#[must_use]
pub fn has_hash_shape(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    stem.len() > 8 && stem.is_ascii() && stem.as_bytes()[stem.len() - 9] == b'-' && stem.bytes().skip(stem.len() - 8).all(is_base64url)
}

/// Whether a file's name is a logical one with a hash put in (`js/app.3a4f5b.js` for `app.js`), as a tool says that lists both.
#[must_use]
pub fn is_hashed_form(path: &str, logical_name: &str) -> bool {
    let last = |path: &str| path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned();
    let (name, logical) = (last(path), last(logical_name));
    let dots = logical.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
    dots.into_iter().any(|at| {
        let (stem, ending) = logical.split_at(at);
        let hash = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending));
        hash.and_then(|hash| hash.strip_prefix(['.', '-', '_'])).is_some_and(is_hash_of_a_tool)
    })
}

/// Whether a text that a build tool gives as a hash can be one: the shape of one, or, since the tool has said it, six or seven
/// hexadecimal characters with letters and digits. Never a counter, a date or a version.
#[must_use]
pub fn is_hash_of_a_tool(text: &str) -> bool {
    let is_short = (6..8).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b.is_ascii_lowercase());
    is_short || is_hash(text, Content::Code)
}

/// Folders into which build tools put nothing but hashed files, so that a whole name may be a hash.
fn is_asset_folder(folder: &str) -> bool {
    folder.split('/').any(|part| matches!(part, "_nuxt" | "_astro" | "_next" | "_app" | "assets" | "static" | "chunks"))
}

/// What a file is for, as its name tells. Dates and numbers in the names of code are rare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Code,
    Other,
}

fn content(name: &str) -> Content {
    let is_code = has_ending(name, &["js", "mjs", "cjs", "css", "wasm"]);
    if is_code { Content::Code } else { Content::Other }
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.iter().any(|wanted| ending.eq_ignore_ascii_case(wanted)))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether a part of a name is something and then, after `-` or `_`, a hash. A hash of base64 may hold both separators, so its
/// fixed length of 8 is tried first.
fn ends_with_hash(part: &str, content: Content) -> bool {
    if !part.is_ascii() {
        return part.rsplit_once(['-', '_']).is_some_and(|(_, last)| is_hash(last, content));
    }
    let fixed = part.len().checked_sub(8).is_some_and(|at| {
        let (before, last) = part.split_at(at);
        before.ends_with(['-', '_']) && is_hash(last, content)
    });
    fixed || part.rsplit_once(['-', '_']).is_some_and(|(_, last)| is_hash(last, content))
}

/// Whether a text is a hash by itself, in the name of a file of such content.
fn is_hash(text: &str, content: Content) -> bool {
    is_hex_hash(text, content) || is_base32_hash(text) || is_base64_hash(text)
}

/// Lower-case hexadecimal of 8 to 64 characters. Of 43 random ones of length 8 one has digits only: such a number is believed in
/// script and style, unless it could be a date. Short ones without a digit are believed only because no words have these letters.
fn is_hex_hash(text: &str, content: Content) -> bool {
    let hex = (8..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    hex && (!digits_only || (content == Content::Code && !is_date(text) && !is_time(text)))
}

fn is_date(digits: &str) -> bool {
    digits.len() == 8 && (digits.starts_with("19") || digits.starts_with("20"))
}

/// Seconds or milliseconds since 1970, or a date with a time.
fn is_time(digits: &str) -> bool {
    matches!(digits.len(), 10 | 12 | 13 | 14)
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
    fn names_with_a_content_hash_are_assets() {
        for path in [
            "assets/cart-BEcQUh0e.css",
            "assets/hero-Dg-PRAVz.svg",
            "assets/workshop-CZ6bk-9a.svg",
            "assets/kitchen-18rD35f-.js",
            "assets/about-Cs62_u-X.js",
            "assets/home-guRlEkng.css",
            "assets/garden-zjLSdpoI.js",
            "assets/garden-yCKz7xX8.js",
            "assets/signs-9e1QReoF.woff2",
            "assets/reviews-2ih19fzv.css",
            "assets/release-DdoHrTGR.js",
            "main.3a4f5b6c.js",
            "main.3a4f5b6c7d8e9f001122.chunk.js",
            "static/js/787.c4e7f8f9.chunk.js",
            "main-XIDF6MKT.js",
            "chunk-ABCDEFGH.js",
            "styles-5INURTSO.css",
            "_nuxt/B1cD2eF3.js",
            "_app/immutable/entry/start.B1cD2eF3.js",
            "_astro/index.DhQ3kTxa.css",
            "img/d41d8cd98f00b204e9800998ecf8427e.png",
            "index.12345678.js",
            "workbox-3e911b1d.js",
            "logo.deadbeef.svg",
            "_next/static/chunks/webpack-0a1b2c3d4e5f6071.js",
            "media/font.a1b2c3d4.woff2",
        ] {
            assert_eq!(class_of(path), Class::Asset, "{path}");
        }
    }

    #[test]
    fn names_without_one_are_entries() {
        for path in [
            "index.html",
            "about-BEcQUh0e.html",
            "assets/cart-BEcQUh0e.js.map",
            "main.3a4f5b6c.css.map",
            "favicon.ico",
            "robots.txt",
            "version.json",
            "sw.js",
            "service-worker.js",
            "some-document.pdf",
            "my-homepage.png",
            "photo-20241121.jpg",
            "report-2024-11-01.pdf",
            "name.20241121.js",
            "jquery-3.7.1.min.js",
            "page-section1.js",
            "icon-Homepage.svg",
            "x-my-photo.png",
            "release-v2-beta1.js",
            "LICENSE",
            "bundle.min.js",
            "apple-touch-icon-precomposed.png",
            "android-chrome-192x192.png",
            "site.webmanifest",
            "data-12345678.csv",
            "log-1732150000.js",
            "assets/bootstrap.js",
            "assets/homepage.js",
            "assets/chapter2.css",
            "Chapter2.js",
            "assets/3dmodels.js",
            "bootstrap-MyHomePage.js",
            "assets/img/background.webp",
            "fonts/Roboto-Regular.woff2",
            "fonts/OpenSans-SemiBold.woff2",
            "images/hero-1920x1080.jpg",
            "x-My-Photo.jpg",
        ] {
            assert_eq!(class_of(path), Class::Entry, "{path}");
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
        ] {
            assert!(is_hashed_form(path, name), "{path}");
        }
        for (path, name) in [
            ("app.js", "app.js"),
            ("app.20241121.js", "app.js"),
            ("app.3.js", "app.js"),
            ("app.facade.js", "app.js"),
            ("app.123456.js", "app.js"),
            ("apple3a4f5b6c.js", "app.js"),
            ("LICENSE", "LICENSE"),
        ] {
            assert!(!is_hashed_form(path, name), "{path}");
        }
    }

    #[test]
    fn what_a_build_tool_vouches_for_needs_only_the_shape() {
        for path in ["assets/a-lowercas.js", "assets/index-Homepage.css", "assets/a-20241121.js"] {
            assert_eq!((class_of(path), has_hash_shape(path)), (Class::Entry, true), "{path}");
        }
        for path in ["assets/app.js", "assets/lowercas.js", "sw.js", "a/ünï-abcdefgü.js"] {
            assert!(!has_hash_shape(path), "{path}");
        }
    }
}
