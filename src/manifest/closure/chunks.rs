//! Names of chunks as webpack's, Rspack's and Rsbuild's runtimes put them together:
//! `r.u=e=>"static/js/"+({7:"cart"}[e]||e)+"."+{7:"3a4f5b6c"}[e]+".chunk.js"`, and the same for styles (`miniCssF`).
//! Never evaluates anything but strings, the parameter, `+`, `||`, and maps that are looked up by it; whatever else gives no names.

use std::collections::BTreeMap;

use super::script::LITERAL_BYTES_MAX;

/// Most bytes of all expressions of one script; one of 100,000 chunks has about 3 MB.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Parentheses within parentheses, and alternatives behind alternatives.
const DEPTH_MAX: usize = 16;

/// Parts of a name.
const PARTS_MAX: usize = 32;

/// Functions that are looked at; a runtime has two or three.
const FUNCTIONS_MAX: usize = 64;

/// Bytes between the name of a function and its body.
const HEAD_BYTES_MAX: usize = 100;

/// Most names of one script.
const NAMES_MAX: usize = 100_000;

/// Most bytes of them.
const NAMES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The functions that give a chunk's file.
const FUNCTIONS: [&str; 3] = [".u=", ".miniCssF=", ".u = "];

/// Each name with the offset of its function, in the order of the script.
pub(super) fn named(text: &str) -> Vec<(usize, String)> {
    let mut functions: Vec<(usize, &str)> = FUNCTIONS
        .iter()
        .flat_map(|name| text.match_indices(name).take(FUNCTIONS_MAX))
        .map(|(at, name)| (at, &text[at + name.len()..]))
        .collect();
    functions.sort_unstable_by_key(|(at, _)| *at);
    let (mut all, mut bytes_left, mut expression_left) = (Vec::new(), NAMES_BYTES_MAX, EXPRESSION_BYTES_MAX);
    for (at, function) in functions {
        let Some((parameter, body)) = parameter_and_body(function) else { continue };
        let body = starting(body, expression_left);
        let mut parser = Parser { rest: body, parameter };
        let expression = parser.sum(0);
        expression_left = expression_left.saturating_sub(body.len() - parser.rest.len());
        let names = expression.iter().flat_map(|expression| expression.ids().into_iter().filter_map(|id| expression.value(id)));
        for name in names {
            if all.len() == NAMES_MAX || name.len() > bytes_left {
                return all;
            }
            bytes_left -= name.len();
            all.push((at, name));
        }
    }
    all
}

/// The first bytes of a text, at most so many.
fn starting(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// `e=>…`, `(e)=>…` or `function(e){return …`.
fn parameter_and_body(text: &str) -> Option<(&str, &str)> {
    let start = starting(text, HEAD_BYTES_MAX);
    let (head, at) = match start.strip_prefix("function") {
        Some(rest) => {
            let (head, body) = rest.split_once('{')?;
            let body = body.trim_start().strip_prefix("return")?;
            (head, start.len() - body.len())
        }
        None => start.split_once("=>").map(|(head, body)| (head, start.len() - body.len()))?,
    };
    let parameter = head.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let is_name =
        !parameter.is_empty() && parameter.len() < 40 && parameter.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
    is_name.then_some((parameter, &text[at..]))
}

/// What a name is made of.
enum Expression<'t> {
    Text(&'t str),
    Parameter,
    /// A map that is looked up by the parameter.
    Map(BTreeMap<&'t str, &'t str>),
    Either(Box<Expression<'t>>, Box<Expression<'t>>),
    Sum(Vec<Expression<'t>>),
}

impl<'t> Expression<'t> {
    /// Keys of the maps that must have one: those with a hash for each chunk.
    fn ids(&self) -> Vec<&'t str> {
        match self {
            Self::Map(map) => map.keys().copied().collect(),
            Self::Sum(parts) => parts.iter().map(Self::ids).max_by_key(Vec::len).unwrap_or_default(),
            Self::Text(_) | Self::Parameter | Self::Either(..) => Vec::new(),
        }
    }

    fn value(&self, id: &str) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            Self::Parameter => Some(id.to_owned()),
            Self::Map(map) => map.get(id).map(|text| (*text).to_owned()),
            Self::Either(one, other) => one.value(id).or_else(|| other.value(id)),
            Self::Sum(parts) => {
                let whole = parts.iter().map(|part| part.value(id)).collect::<Option<Vec<_>>>()?.concat();
                // What is longer is no name.
                (whole.len() <= LITERAL_BYTES_MAX).then_some(whole)
            }
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    parameter: &'t str,
}

impl<'t> Parser<'t> {
    fn take(&mut self, mark: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self, depth: usize) -> Option<Expression<'t>> {
        let mut parts = vec![self.either(depth)?];
        while self.take("+") {
            if parts.len() == PARTS_MAX {
                return None;
            }
            parts.push(self.either(depth)?);
        }
        Some(if parts.len() == 1 { parts.pop()? } else { Expression::Sum(parts) })
    }

    fn either(&mut self, depth: usize) -> Option<Expression<'t>> {
        let one = self.term(depth)?;
        if self.take("||") || self.take("??") {
            return Some(Expression::Either(Box::new(one), Box::new(self.either(depth + 1)?)));
        }
        Some(one)
    }

    fn term(&mut self, depth: usize) -> Option<Expression<'t>> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.take("(") {
            let inner = self.sum(depth + 1)?;
            return if self.take(")") { self.looked_up(inner) } else { None };
        }
        if self.take("{") {
            let map = self.map()?;
            return self.looked_up(Expression::Map(map));
        }
        if let Some(text) = self.string() {
            return Some(Expression::Text(text));
        }
        self.parameter()
    }

    /// A map is one only with `[e]` behind it.
    fn looked_up(&mut self, inner: Expression<'t>) -> Option<Expression<'t>> {
        if matches!(inner, Expression::Map(_)) {
            return (self.take("[") && self.parameter().is_some() && self.take("]")).then_some(inner);
        }
        Some(inner)
    }

    fn parameter(&mut self) -> Option<Expression<'t>> {
        let parameter = self.parameter;
        let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '=' | '.' | '('));
        let rest = self.rest.trim_start().strip_prefix(parameter).filter(|rest| is_whole(rest))?;
        self.rest = rest;
        Some(Expression::Parameter)
    }

    fn string(&mut self) -> Option<&'t str> {
        self.rest = self.rest.trim_start();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let inner = starting(&self.rest[1..], LITERAL_BYTES_MAX).split_once(quote)?.0;
        // What is escaped or filled in is more than a name.
        (!inner.contains(['\\', '$', '\n'])).then(|| {
            self.rest = &self.rest[inner.len() + 2..];
            inner
        })
    }

    fn map(&mut self) -> Option<BTreeMap<&'t str, &'t str>> {
        let mut map = BTreeMap::new();
        loop {
            if self.take("}") {
                return Some(map);
            }
            let key = match self.string() {
                Some(key) => key,
                None => self.bare_key()?,
            };
            let value = if self.take(":") { self.string()? } else { return None };
            map.insert(key, value);
            if !self.take(",") && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
    }

    fn bare_key(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start();
        let end = starting(text, LITERAL_BYTES_MAX).find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '-')))?;
        self.rest = &text[end..];
        (end > 0).then(|| &text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        named(text).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn chunk_maps_of_the_runtimes_are_read() {
        for (text, expected) in [
            (
                r#"r.u=e=>"static/js/"+e+"."+{453:"b4f5",787:"c4e7"}[e]+".chunk.js""#,
                vec!["static/js/453.b4f5.chunk.js", "static/js/787.c4e7.chunk.js"],
            ),
            (r#"o.u=function(e){return"js/"+({7:"cart"}[e]||e)+"-"+{7:"aa",8:"bb"}[e]+".js"}"#, vec!["js/cart-aa.js", "js/8-bb.js"]),
            (r#"__webpack_require__.u = (chunkId) => ("" + chunkId + "." + {"a-b":"12"}[chunkId] + ".js");"#, vec!["a-b.12.js"]),
            (r#"n.miniCssF=e=>"css/"+{1:"x"}[e]+".css""#, vec!["css/x.css"]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_map_gives_no_names() {
        for text in [
            r#"r.u=e=>"js/"+e+".js""#,
            r#"r.u=e=>f(e)+{1:"a"}[e]"#,
            r#"r.u=e=>"a"+{1:g}[e]"#,
            r#"r.u=e=>"a"+{1:"b"}[i]"#,
            r#"r.u="x""#,
            r#"r.u=e=>"a"+{1:"b""#,
            "r.u=e=>((((((((((((((((((((((e",
        ] {
            assert!(names(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn hostile_text_takes_little_time_and_memory() {
        let ids = (0..100_000).map(|n| format!("{n}:\"{n}\",")).collect::<Vec<_>>().concat();
        let long = format!("r.u=e=>{}{{{ids}}}[e]", format!("\"{}\"+", "x".repeat(290)).repeat(30));
        assert!(names(&long).is_empty(), "300 bytes are more than a name has");
        let many = format!("r.u=e=>\"{}\"+{{{ids}}}[e]", "x".repeat(200));
        assert!((1..100_000).contains(&names(&many).len()));
        for text in [
            format!("r.u=e=>{}{{1:\"a\"}}[e]", "\"\"+".repeat(40)),
            format!("r.u={}e=>{{1:\"a\"}}[e]", " ".repeat(200)),
            format!("r.u=e=>{}", "e||".repeat(1_000_000)),
            format!("r.u=e=>{}", "e+".repeat(1_000_000)),
            ".u=".repeat(1_000_000),
            ".u=function".repeat(300_000),
            format!("r.u=e=>{{{}", "é".repeat(1_000_000)),
            ".u=e=>'".repeat(500_000),
        ] {
            assert!(names(&text).is_empty(), "{}", &text[..20]);
        }
    }

    #[test]
    fn functions_are_given_in_the_order_of_the_script() {
        let text = r#"n.miniCssF=e=>"css/"+{1:"x"}[e]+".css";r.u=e=>"js/"+{1:"y"}[e]+".js""#;
        assert_eq!(names(text), ["css/x.css", "js/y.js"]);
    }
}
