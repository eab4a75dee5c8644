//! Names of chunks as webpack's, Rspack's and Rsbuild's runtimes put them together:
//! `r.u=e=>"static/js/"+({7:"cart"}[e]||e)+"."+{7:"3a4f5b6c"}[e]+".chunk.js"`, and the same for styles (`miniCssF`).
//! Never evaluates anything but strings, the parameter, `+`, `||`, and maps that are looked up by it; whatever else gives no names.

use std::collections::BTreeMap;

/// Longest expression; one of 100,000 chunks has about 3 MB.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Parentheses within parentheses.
const DEPTH_MAX: usize = 16;

/// Most names of one script.
const NAMES_MAX: usize = 100_000;

/// The functions that give a chunk's file.
const FUNCTIONS: [&str; 3] = [".u=", ".miniCssF=", ".u = "];

/// Each name with the offset of its function.
pub(super) fn named(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (at, function) in FUNCTIONS.iter().flat_map(|function| text.match_indices(function)) {
        let Some((parameter, body)) = parameter_and_body(&text[at + function.len()..]) else { continue };
        let body = body.get(..EXPRESSION_BYTES_MAX.min(body.len())).unwrap_or(body);
        let mut parser = Parser { rest: body, parameter };
        let Some(expression) = parser.sum(0) else { continue };
        for id in expression.ids() {
            if all.len() < NAMES_MAX
                && let Some(name) = expression.value(id)
            {
                all.push((at, name));
            }
        }
    }
    all
}

/// `e=>…`, `(e)=>…` or `function(e){return …`.
fn parameter_and_body(text: &str) -> Option<(&str, &str)> {
    let (head, body) = match text.strip_prefix("function") {
        Some(rest) => {
            let (head, body) = rest.split_once('{')?;
            (head, body.trim_start().strip_prefix("return")?)
        }
        None => text.split_at_checked(text.find("=>")?).map(|(head, body)| (head, &body[2..]))?,
    };
    let parameter = head.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let is_name =
        !parameter.is_empty() && parameter.len() < 40 && parameter.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
    is_name.then_some((parameter, body))
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
            Self::Sum(parts) => parts.iter().map(|part| part.value(id)).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
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
            parts.push(self.either(depth)?);
        }
        Some(if parts.len() == 1 { parts.pop()? } else { Expression::Sum(parts) })
    }

    fn either(&mut self, depth: usize) -> Option<Expression<'t>> {
        let one = self.term(depth)?;
        if self.take("||") || self.take("??") {
            return Some(Expression::Either(Box::new(one), Box::new(self.either(depth)?)));
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
        let (inner, rest) = self.rest[1..].split_once(quote)?;
        // What is escaped or filled in is more than a name.
        (!inner.contains(['\\', '$', '\n'])).then(|| {
            self.rest = rest;
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
        let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '-')))?;
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
}
