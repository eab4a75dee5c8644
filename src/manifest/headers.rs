//! Which headers a file is stored and served with: our own table, because stores guess differently or not at all.
//! Never a type that depends on anything but the name.

use super::Class;
use super::object::{IMMUTABLE, REVALIDATE};

/// For names whose ending says nothing.
pub const UNKNOWN_TYPE: &str = "application/octet-stream";

/// `Content-Type` by the ending of a path. Text is always UTF-8: that is what build tools write, and without the charset browsers guess.
#[must_use]
pub fn content_type(path: &str) -> &'static str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let Some((_, ending)) = name.rsplit_once('.') else { return UNKNOWN_TYPE };
    let ending = ending.to_ascii_lowercase();
    text_type(&ending).or_else(|| media_type(&ending)).or_else(|| other_type(&ending)).unwrap_or(UNKNOWN_TYPE)
}

fn text_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "xhtml" => "application/xhtml+xml; charset=utf-8",
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "txt" | "text" | "log" => "text/plain; charset=utf-8",
        "md" | "markdown" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" | "xsl" => "application/xml; charset=utf-8",
        "rss" => "application/rss+xml; charset=utf-8",
        "atom" => "application/atom+xml; charset=utf-8",
        "svg" => "image/svg+xml; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "ics" => "text/calendar; charset=utf-8",
        "geojson" => "application/geo+json; charset=utf-8",
        "jsonld" => "application/ld+json; charset=utf-8",
        _ => return None,
    })
}

fn media_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "png" => "image/png",
        "apng" => "image/apng",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "jxl" => "image/jxl",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "ico" | "cur" => "image/x-icon",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "weba" => "audio/webm",
        _ => return None,
    })
}

fn other_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "ttc" => "font/collection",
        "eot" => "application/vnd.ms-fontobject",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "glb" => "model/gltf-binary",
        "gltf" => "model/gltf+json",
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        _ => return None,
    })
}

/// `Cache-Control` by class.
#[must_use]
pub fn cache_control(class: Class) -> &'static str {
    match class {
        Class::Asset => IMMUTABLE,
        Class::Entry => REVALIDATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_the_ending_whatever_its_case() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("assets/a-BEcQUh0e.JS", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.js.map", "application/json; charset=utf-8"),
            ("a.b/style.css", "text/css; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("site.webmanifest", "application/manifest+json; charset=utf-8"),
            ("favicon.ico", "image/x-icon"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("LICENSE", UNKNOWN_TYPE),
            ("folder.js/LICENSE", UNKNOWN_TYPE),
            ("a.unknown", UNKNOWN_TYPE),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
