//! From the path of a request to the path of a file in a manifest.
//! Never lets a path through that names anything but a file of a build.

use percent_encoding::percent_decode_str;

/// The path below the site's base, decoded, without the leading `/` (a trailing one stays). `None` when it is outside the base or no
/// path of a build: not UTF-8, an empty, `.` or `..` segment, a backslash, a control character.
pub(super) fn below<'a>(request: &'a str, base: &str) -> Option<std::borrow::Cow<'a, str>> {
    let rest = request.strip_prefix(base)?;
    let path = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let inner = decoded.strip_suffix('/').unwrap_or(&decoded);
    let segments_fit = inner.is_empty() || inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    let characters_fit = !decoded.chars().any(|c| c == '\\' || c.is_control());
    let only_slash = inner.is_empty() && !decoded.is_empty();
    (segments_fit && characters_fit && !only_slash).then_some(decoded)
}

/// How a page leads to itself with a slash at the end: relative, since a proxy may have taken off the beginning of the path.
pub(super) fn with_slash(request: &str) -> String {
    format!("./{}/", last(request))
}

/// The same without the slash, which may be escaped.
pub(super) fn without_slash(request: &str) -> String {
    match request.strip_suffix('/') {
        Some(plain) => format!("../{}", last(plain)),
        None => format!("./{}", last(request.trim_end_matches("%2F").trim_end_matches("%2f"))),
    }
}

/// The last segment.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_decoded_once_and_taken_below_the_base() {
        for (request, base, expected) in [
            ("/", "", Some("")),
            ("/a%20b/c.js", "", Some("a b/c.js")),
            ("/cart/", "", Some("cart/")),
            ("/%2561", "", Some("%61")),
            ("/shop", "/shop", Some("")),
            ("/shop/a.js", "/shop", Some("a.js")),
            ("/shopping/a.js", "/shop", None),
            ("/a.js", "/shop", None),
            ("/..", "", None),
            ("/a/../b", "", None),
            ("/a/%2e%2e/b", "", None),
            ("/a%2f..%2fb", "", None),
            ("/a\\..\\b", "", None),
            ("//", "", None),
            ("/a//b", "", None),
            ("/%00", "", None),
            ("/%ff", "", None),
        ] {
            assert_eq!(below(request, base).as_deref(), expected, "{request} below {base:?}");
        }
    }

    proptest! {
        #[test]
        fn no_request_leads_out_of_the_build(request in "/([a./%25eEfF\\\\ -]|%2e|%2f){0,12}") {
            if let Some(path) = below(&request, "") {
                let folder = std::path::Path::new(&*path);
                prop_assert!(folder.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{}", path);
                prop_assert!(!path.starts_with('/'));
            }
        }
    }
}
