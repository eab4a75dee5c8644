//! Which headers a file is stored and served with: our own table, because stores guess differently or not at all.
//! Never says that bytes are UTF-8 which are not, and never takes a type from a person's machine or a store.

use super::Class;
use super::object::{IMMUTABLE, REVALIDATE};

mod bytes;

pub use bytes::{Looking, TypesOfBytes};

/// For names that say nothing.
pub const UNKNOWN_TYPE: &str = "application/octet-stream";

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Of a piece of a film that is played over HTTP, whose ending `ts` is also that of a source of TypeScript: the bytes tell.
pub(super) const TRANSPORT_STREAM: &str = "video/mp2t";

/// `Content-Type` by the name: well-known ones first, then the ending. Text is taken for UTF-8, which build tools write; where the bytes
/// are none, [`TypesOfBytes`] knows.
#[must_use]
pub fn content_type(path: &str) -> &'static str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    if let Some(known) = well_known(path, name) {
        return known;
    }
    let Some((_, ending)) = name.rsplit_once('.') else { return UNKNOWN_TYPE };
    let ending = ending.to_ascii_lowercase();
    let kinds = [text_type, image_type, media_type, office_type, other_type];
    kinds.into_iter().find_map(|kind| kind(&ending)).unwrap_or(UNKNOWN_TYPE)
}

/// A type without its charset.
#[must_use]
pub fn without_charset(content_type: &str) -> &str {
    content_type.split_once("; charset=").map_or(content_type, |(kind, _)| kind)
}

/// Whether a file of this name may have been given this type: that of its name, without the charset where its bytes are not UTF-8.
#[must_use]
pub fn may_have(path: &str, content_type: &str) -> bool {
    let by_name = self::content_type(path);
    by_name == content_type || without_charset(by_name) == content_type || (has_ending(path, "ts") && content_type == TRANSPORT_STREAM)
}

fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, other)| other.eq_ignore_ascii_case(ending))
}

/// Names that programs ask for and that say nothing by an ending.
fn well_known(path: &str, name: &str) -> Option<&'static str> {
    let is_in_well_known = path.strip_prefix(".well-known/").or_else(|| path.split_once("/.well-known/").map(|(_, rest)| rest)).is_some();
    Some(match name {
        "apple-app-site-association" => JSON,
        "CNAME" | "LICENSE" | "LICENCE" | "COPYING" | "NOTICE" | "README" | "CHANGELOG" | "AUTHORS" | "VERSION" | "_headers"
        | "_redirects" => TEXT,
        "openid-configuration"
        | "oauth-authorization-server"
        | "webfinger"
        | "nodeinfo"
        | "host-meta.json"
        | "jwks"
        | "did-configuration"
        | "matrix"
        | "client"
        | "server"
        | "change-password"
        | "gpc"
        | "passkey-endpoints"
        | "webauthn"
        | "related-website-set"
            if is_in_well_known =>
        {
            JSON
        }
        "host-meta" if is_in_well_known => "application/xrd+xml; charset=utf-8",
        // A token of an authority that checks who has the host, for example: never html, never a download.
        _ if is_in_well_known && !name.contains('.') => TEXT,
        _ => return None,
    })
}

fn text_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "xhtml" => "application/xhtml+xml; charset=utf-8",
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" | "topojson" => JSON,
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "yaml" | "yml" => "application/yaml; charset=utf-8",
        "toml" => "application/toml; charset=utf-8",
        "txt" | "text" | "log" | "ts" | "mts" | "cts" | "tsx" | "jsx" | "vue" | "svelte" | "scss" | "less" => TEXT,
        "md" | "markdown" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        "srt" => "application/x-subrip; charset=utf-8",
        "kml" => "application/vnd.google-earth.kml+xml; charset=utf-8",
        "gpx" => "application/gpx+xml; charset=utf-8",
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

fn image_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "png" => "image/png",
        "apng" => "image/apng",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "jxl" => "image/jxl",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "ico" | "cur" => "image/x-icon",
        _ => return None,
    })
}

fn media_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "mp4" | "m4v" => "video/mp4",
        // Pieces of films and sounds as DASH, HLS and CMAF name them.
        "m4s" | "cmfv" => "video/iso.segment",
        "m2ts" => TRANSPORT_STREAM,
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "m4a" | "cmfa" => "audio/mp4",
        "aac" => "audio/aac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "weba" => "audio/webm",
        _ => return None,
    })
}

fn office_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "doc" | "dot" => "application/msword",
        "xls" => "application/vnd.ms-excel",
        "ppt" => "application/vnd.ms-powerpoint",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "epub" => "application/epub+zip",
        "rtf" => "application/rtf",
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
        "gz" | "tgz" => "application/gzip",
        "zst" => "application/zstd",
        "tar" => "application/x-tar",
        "7z" => "application/x-7z-compressed",
        "jar" => "application/java-archive",
        "apk" => "application/vnd.android.package-archive",
        "usdz" => "model/vnd.usdz+zip",
        "kmz" => "application/vnd.google-earth.kmz",
        "pkpass" => "application/vnd.apple.pkpass",
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
        Class::Entry | Class::Unversioned => REVALIDATE,
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
            ("folder.js/unknown", UNKNOWN_TYPE),
            ("LICENSE", TEXT),
            ("apple-app-site-association", JSON),
            (".well-known/apple-app-site-association", JSON),
            ("shop/.well-known/openid-configuration", JSON),
            (".well-known/assetlinks.json", JSON),
            (".well-known/security.txt", TEXT),
            (".well-known/acme-challenge/QWxsIHlvdXIgYmFzZQ", TEXT),
            ("openid-configuration", UNKNOWN_TYPE),
            ("CNAME", TEXT),
            ("openapi.yaml", "application/yaml; charset=utf-8"),
            ("video/1.m4s", "video/iso.segment"),
            ("photo.HEIC", "image/heic"),
            ("chair.usdz", "model/vnd.usdz+zip"),
            ("book.epub", "application/epub+zip"),
            ("prices.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            ("src/a.ts", TEXT),
            ("a.unknown", UNKNOWN_TYPE),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
