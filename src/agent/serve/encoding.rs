//! Which of a file's forms a request gets: its bytes as they are, or compressed beforehand.
//! Never a form that the request does not accept, and never an encoded one for a range.

use axum::http::{HeaderMap, header};

use crate::agent::catalogue::{Catalogue, Found};
use crate::manifest::variant::Encoding;

/// A file in all forms that its version has.
pub(super) struct Offer<'a> {
    plain: Found<'a>,
    variants: Vec<(Encoding, Found<'a>)>,
}

impl<'a> Offer<'a> {
    pub(super) fn of(catalogue: &Catalogue, plain: Found<'a>) -> Self {
        let variant = |encoding| catalogue.variant(plain, encoding).map(|found| (encoding, found));
        Self { plain, variants: Encoding::ALL.into_iter().filter_map(variant).collect() }
    }

    /// Whether the answer depends on what the request accepts.
    pub(super) fn has_variants(&self) -> bool {
        !self.variants.is_empty()
    }

    /// The form that weighs most for the request; of equal ones the one that packs tighter.
    pub(super) fn chosen(&self, request: &HeaderMap) -> Found<'a> {
        if request.contains_key(header::RANGE) {
            return self.plain;
        }
        let mut best = (0, self.plain);
        for (encoding, found) in &self.variants {
            let weight = weight(request, encoding.word());
            if weight > best.0 {
                best = (weight, *found);
            }
        }
        best.1
    }
}

/// How much a request wants an encoding, in thousandths; 0 when it does not accept it (RFC 9110, 12.5.3).
fn weight(request: &HeaderMap, word: &str) -> u32 {
    let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for one in values.flat_map(|value| value.split(',')) {
        let (name, rest) = one.split_once(';').unwrap_or((one, ""));
        let slot = match name.trim() {
            "*" => &mut any,
            name if name.eq_ignore_ascii_case(word) => &mut named,
            _ => continue,
        };
        *slot = Some(thousandths(rest));
    }
    named.or(any).unwrap_or(0)
}

/// The weight behind a name. What is none counts as not accepted: plain bytes are always right.
fn thousandths(parameters: &str) -> u32 {
    let Some(text) = parameters.trim().strip_prefix(['q', 'Q']).map(str::trim_start).and_then(|rest| rest.strip_prefix('=')) else {
        return if parameters.trim().is_empty() { 1000 } else { 0 };
    };
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    match (whole, digits(part)) {
        ("1", true) => 1000,
        ("0", true) => format!("{part:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_weighs_what_the_request_says() {
        for (accepts, br, gzip) in [
            ("gzip, deflate, br, zstd", 1000, 1000),
            ("gzip;q=0.8, br;q=0.25", 250, 800),
            ("br;q=0, *;q=0.5", 0, 500),
            ("*", 1000, 1000),
            ("BR ; Q=0.001", 1, 0),
            ("identity", 0, 0),
            ("", 0, 0),
            ("br;q=2, gzip;q=0.1234", 0, 0),
            ("br;level=3, gzip;q=x", 0, 0),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, accepts.parse().unwrap());
            assert_eq!((weight(&request, "br"), weight(&request, "gzip")), (br, gzip), "{accepts}");
        }
        assert_eq!(weight(&HeaderMap::new(), "br"), 0);
    }
}
