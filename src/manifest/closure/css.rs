//! References in a style sheet: `url()`, `@import` and the strings of `image-set()`.
//! Never follows blocks deeper than a bound: the text is not ours.

use cssparser::{Parser, ParserInput, Token};

use super::found::{Evidence, Found};

/// Blocks within blocks that are looked at; style sheets use about five.
const DEPTH_MAX: usize = 64;

/// Endings of fonts and scripts that no browser of today asks for.
const OLD: [&str; 2] = ["eot", "htc"];

pub(super) fn references(text: &str, found: &mut Found) {
    let mut input = ParserInput::new(text);
    collect(&mut Parser::new(&mut input), found, Context::Plain, 0);
}

/// What a string means where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Plain,
    Url,
    Import,
    ImageSet,
}

fn collect(parser: &mut Parser<'_, '_>, found: &mut Found, at: Context, depth: usize) {
    let mut context = at;
    while let Ok(token) = parser.next() {
        let within = match token {
            Token::UnquotedUrl(reference) => {
                found.add(reference, evidence(reference));
                None
            }
            Token::QuotedString(reference) if context != Context::Plain => {
                found.add(reference, evidence(reference));
                None
            }
            Token::AtKeyword(name) if name.eq_ignore_ascii_case("import") => {
                context = Context::Import;
                continue;
            }
            Token::Function(name) => Some(within_function(name)),
            Token::ParenthesisBlock | Token::SquareBracketBlock | Token::CurlyBracketBlock => Some(Context::Plain),
            _ => None,
        };
        // Only the string right after `@import` is its target.
        if context == Context::Import {
            context = at;
        }
        if let Some(within) = within.filter(|_| depth < DEPTH_MAX) {
            let _: Result<(), cssparser::ParseError<'_, ()>> = parser.parse_nested_block(|parser| {
                collect(parser, found, within, depth + 1);
                Ok(())
            });
        }
    }
}

/// What Internet Explorer alone asks for stands in style sheets still.
fn evidence(reference: &str) -> Evidence {
    let path = reference.split(['?', '#']).next().unwrap_or(reference);
    let is_old = path.rsplit_once('.').is_some_and(|(_, ending)| OLD.iter().any(|old| ending.eq_ignore_ascii_case(old)));
    if is_old { Evidence::Unlikely } else { Evidence::Asked }
}

fn within_function(name: &str) -> Context {
    if ["url", "src"].iter().any(|wanted| name.eq_ignore_ascii_case(wanted)) {
        Context::Url
    } else if ["image-set", "-webkit-image-set"].iter().any(|wanted| name.eq_ignore_ascii_case(wanted)) {
        Context::ImageSet
    } else {
        // `type("image/avif")` within an image set is one of these.
        Context::Plain
    }
}
