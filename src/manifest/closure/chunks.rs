//! Names of chunks as webpack's, Rspack's and Rsbuild's runtimes put them together:
//! `r.u=e=>"static/js/"+({7:"cart"}[e]||e)+"."+{7:"3a4f5b6c"}[e]+".chunk.js"`, and the same for styles (`miniCssF`).
//! In Next.js and whatever else SWC makes small, maps stand in parentheses and some chunks in `7===e?"static/js/cart.js":…`.
//! Never evaluates anything but strings, the parameter, `+`, `||`, such cases, and maps that are looked up by it; whatever else gives no names.

use std::collections::{BTreeMap, BTreeSet};

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

/// Most parts of one expression; a runtime's has less than 50. A map counts as one, and so do all cases behind one another.
const NODES_MAX: usize = 256;

/// Most parts that are evaluated for the names of one script: 100,000 chunks of 40 parts.
const STEPS_MAX: usize = 4_000_000;

/// Longest line of a comment between the head of a function and what it returns.
const COMMENT_BYTES_MAX: usize = 300;

/// The functions that give a chunk's file.
const FUNCTIONS: [&str; 4] = [".u=", ".miniCssF=", ".u = ", ".miniCssF = "];

/// Each name with the offset of its function, in the order of the script.
pub(super) fn named(text: &str) -> Vec<(usize, String)> {
    let mut functions: Vec<(usize, &str)> = FUNCTIONS
        .iter()
        .flat_map(|name| text.match_indices(name).take(FUNCTIONS_MAX))
        .map(|(at, name)| (at, &text[at + name.len()..]))
        .collect();
    functions.sort_unstable_by_key(|(at, _)| *at);
    let (mut all, mut bytes_left, mut expression_left, mut steps_left) = (Vec::new(), NAMES_BYTES_MAX, EXPRESSION_BYTES_MAX, STEPS_MAX);
    for (at, function) in functions {
        let Some((parameter, body)) = parameter_and_body(function) else { continue };
        let body = starting(body, expression_left);
        let mut parser = Parser { rest: body, parameter, nodes: 0 };
        let expression = parser.body();
        expression_left = expression_left.saturating_sub(body.len() - parser.rest.len());
        for (id, expression) in expression.iter().flat_map(|expression| expression.ids().into_iter().map(move |id| (id, expression))) {
            // Each id costs at most the whole expression.
            steps_left = steps_left.saturating_sub(parser.nodes);
            let Some(name) = expression.value(id) else { continue };
            if all.len() == NAMES_MAX || name.len() > bytes_left || steps_left == 0 {
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

/// `e=>…`, `(e)=>…` or `function(e){…`; a body of statements with its brace.
fn parameter_and_body(text: &str) -> Option<(&str, &str)> {
    let start = starting(text, HEAD_BYTES_MAX);
    let (head, at) = match start.strip_prefix("function") {
        Some(rest) => rest.split_once('{').map(|(head, body)| (head, start.len() - body.len() - 1))?,
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
    /// `7===e?"a":8===e?"b":otherwise`.
    Cases(BTreeMap<&'t str, Expression<'t>>, Box<Expression<'t>>),
    Either(Box<Expression<'t>>, Box<Expression<'t>>),
    Sum(Vec<Expression<'t>>),
}

impl<'t> Expression<'t> {
    /// What the whole expression gives names for: its own cases, and the longest of the maps that must have a key, those with a hash for
    /// each chunk.
    fn ids(&self) -> BTreeSet<&'t str> {
        let mut ids: BTreeSet<&str> = self.keys().into_iter().collect();
        if let Self::Cases(cases, _) = self {
            ids.extend(cases.keys());
        }
        // Small scripts write 1000 as 1e3, and the name has the first.
        ids.retain(|id| !is_short_number(id));
        ids
    }

    fn keys(&self) -> Vec<&'t str> {
        match self {
            Self::Map(map) => map.keys().copied().collect(),
            Self::Sum(parts) => parts.iter().map(Self::keys).max_by_key(Vec::len).unwrap_or_default(),
            Self::Cases(_, otherwise) => otherwise.keys(),
            Self::Text(_) | Self::Parameter | Self::Either(..) => Vec::new(),
        }
    }

    fn value(&self, id: &str) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            Self::Parameter => Some(id.to_owned()),
            Self::Map(map) => map.get(id).map(|text| (*text).to_owned()),
            Self::Cases(cases, otherwise) => cases.get(id).unwrap_or(otherwise).value(id),
            Self::Either(one, other) => one.value(id).or_else(|| other.value(id)),
            Self::Sum(parts) => {
                let whole = parts.iter().map(|part| part.value(id)).collect::<Option<Vec<_>>>()?.concat();
                // What is longer is no name.
                (whole.len() <= LITERAL_BYTES_MAX).then_some(whole)
            }
        }
    }
}

/// `1e3`.
fn is_short_number(id: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('e').is_some_and(|(digits, zeros)| is_number(digits) && zeros.len() < 3 && is_number(zeros))
}

struct Parser<'t> {
    rest: &'t str,
    parameter: &'t str,
    /// Parts so far.
    nodes: usize,
}

impl<'t> Parser<'t> {
    /// White space and comments.
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
        while self.rest.starts_with("//") {
            let Some(end) = starting(self.rest, COMMENT_BYTES_MAX).find('\n') else { return };
            self.rest = self.rest[end..].trim_start();
        }
    }

    fn take(&mut self, mark: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn goes_on(&mut self, mark: &str) -> Option<()> {
        self.take(mark).then_some(())
    }

    /// What a function returns: an expression, or statements that do nothing else.
    fn body(&mut self) -> Option<Expression<'t>> {
        let start = self.rest;
        if self.take("{") {
            let statements = self.statements();
            if statements.is_some() {
                return statements;
            }
            self.rest = start;
        }
        self.choice(0)
    }

    /// `if (e === 7) return "a"; return otherwise`, with any number of ifs.
    fn statements(&mut self) -> Option<Expression<'t>> {
        let mut cases = BTreeMap::new();
        while self.take("if") {
            self.goes_on("(")?;
            let id = self.case()?;
            self.goes_on(")")?;
            let is_block = self.take("{");
            self.goes_on("return")?;
            cases.insert(id, self.choice(1)?);
            self.take(";");
            if is_block {
                self.goes_on("}")?;
            }
        }
        self.goes_on("return")?;
        let otherwise = self.choice(0)?;
        Some(if cases.is_empty() { otherwise } else { Expression::Cases(cases, Box::new(otherwise)) })
    }

    /// A sum, behind any number of `7===e?"a":`.
    fn choice(&mut self, depth: usize) -> Option<Expression<'t>> {
        let mut cases = BTreeMap::new();
        loop {
            let start = self.rest;
            let Some(id) = self.case().filter(|_| self.take("?")) else {
                self.rest = start;
                break;
            };
            let value = self.sum(depth + 1)?;
            self.goes_on(":")?;
            // Whichever case it is, only one is evaluated.
            self.nodes -= usize::from(matches!(value, Expression::Text(_)));
            cases.insert(id, value);
        }
        let otherwise = self.sum(depth)?;
        Some(if cases.is_empty() { otherwise } else { Expression::Cases(cases, Box::new(otherwise)) })
    }

    /// `7===e` or `e === "cart"`: the id.
    fn case(&mut self) -> Option<&'t str> {
        if self.compared_parameter() {
            self.is()?;
            return self.key();
        }
        let id = self.key()?;
        self.is()?;
        self.parameter().map(|_| id)
    }

    fn compared_parameter(&mut self) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(self.parameter).map(str::trim_start).filter(|rest| rest.starts_with("=="));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn is(&mut self) -> Option<()> {
        (self.take("===") || self.take("==")).then_some(())
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
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return None;
        }
        if self.take("(") {
            if let Some(map) = self.map_in_parentheses() {
                return self.looked_up(map);
            }
            let inner = self.choice(depth + 1)?;
            return self.goes_on(")").map(|()| inner);
        }
        if self.take("{") {
            let map = self.map()?;
            return self.looked_up(map);
        }
        if let Some(text) = self.string() {
            return Some(Expression::Text(text));
        }
        self.parameter()
    }

    /// `{7:"a"})`, behind the opening parenthesis.
    fn map_in_parentheses(&mut self) -> Option<BTreeMap<&'t str, &'t str>> {
        let start = self.rest;
        let map = if self.take("{") { self.map() } else { None }.filter(|_| self.take(")"));
        if map.is_none() {
            self.rest = start;
        }
        map
    }

    /// A map is one only with `[e]` behind it.
    fn looked_up(&mut self, map: BTreeMap<&'t str, &'t str>) -> Option<Expression<'t>> {
        self.goes_on("[")?;
        self.parameter()?;
        self.goes_on("]").map(|()| Expression::Map(map))
    }

    fn parameter(&mut self) -> Option<Expression<'t>> {
        let parameter = self.parameter;
        let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '=' | '.' | '('));
        self.skip();
        let rest = self.rest.strip_prefix(parameter).filter(|rest| is_whole(rest))?;
        self.rest = rest;
        Some(Expression::Parameter)
    }

    fn string(&mut self) -> Option<&'t str> {
        self.skip();
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
            let key = self.key()?;
            let value = if self.take(":") { self.string()? } else { return None };
            map.insert(key, value);
            if !self.take(",") && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
    }

    fn key(&mut self) -> Option<&'t str> {
        self.string().or_else(|| self.bare_key())
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
    fn the_runtimes_that_next_and_swc_write_are_read() {
        let next = r#"r.u=e=>6509===e?"static/chunks/6509-1b2c.js":2972===e?"static/chunks/2972-3d4e.js":"static/chunks/"+(1761===e?"d0deef33":e)+"."+({213:"00a5",1761:"11b6"})[e]+".js""#;
        let expected =
            ["static/chunks/d0deef33.11b6.js", "static/chunks/213.00a5.js", "static/chunks/2972-3d4e.js", "static/chunks/6509-1b2c.js"];
        assert_eq!(names(next), expected);
        let swc = r#"o.u=e=>"static/chunks/"+(({16373:"09c3d4f7"})[e]||e)+"."+({21:"f0cc1801",16373:"aa"})[e]+".js""#;
        assert_eq!(names(swc), ["static/chunks/09c3d4f7.aa.js", "static/chunks/21.f0cc1801.js"]);
        assert_eq!(names(r#"r.u=e=>"a/"+({7:"b"}[e])+".js""#), ["a/b.js"], "parentheses around what was looked up");
    }

    #[test]
    fn functions_with_statements_are_read() {
        let webpack = "__webpack_require__.u = (chunkId) => {\n// return url for filenames based on template\nreturn \"js/\" + chunkId + \".\" + {\"410\":\"0011\"}[chunkId] + \".js\";\n};";
        assert_eq!(names(webpack), ["js/410.0011.js"]);
        let next = "__webpack_require__.u = (chunkId) => {\n// not based on template\nif (chunkId === 293) return \"chunks/293-aa.js\";\nif (\"x\" === chunkId) { return \"x.js\"; }\n// based on template\nreturn \"\" + chunkId + \".\" + {\"410\":\"0011\"}[chunkId] + \".js\";\n};";
        assert_eq!(names(next), ["chunks/293-aa.js", "410.0011.js", "x.js"]);
        assert_eq!(names(r#"r.u=function(e){if(f(e))return"a";return"b"+{1:"c"}[e]}"#), [""; 0], "what else a function does is not known");
    }

    #[test]
    fn ids_in_a_short_form_of_numbers_give_no_names() {
        assert_eq!(names(r#"r.u=e=>e+"."+{1e3:"a",1001:"b",e1:"c"}[e]+".js""#), ["1001.b.js", "e1.c.js"]);
    }

    #[test]
    fn the_parts_that_are_evaluated_are_bounded() {
        let ids = (0..100_000).map(|n| format!("{n}:\"{n}\",")).collect::<Vec<_>>().concat();
        let sum = |parts: usize| vec!["\"\""; parts].join("+");
        let tree = |sums: usize| vec![format!("({})", sum(30)); sums].join("+");
        let all = |sums: usize| names(&format!("r.u=e=>{}+{{{ids}}}[e]", tree(sums))).len();
        assert_eq!(all(1), 100_000);
        assert!((1..100_000).contains(&all(7)), "parts times names");
        assert_eq!(all(9), 0, "no runtime has so many");
        let deep = format!("r.u=e=>{}+{{{ids}}}[e]", vec![format!("({})", tree(30)); 30].join("+"));
        assert_eq!(names(&deep).len(), 0);
    }

    #[test]
    fn functions_are_given_in_the_order_of_the_script() {
        let text = r#"n.miniCssF=e=>"css/"+{1:"x"}[e]+".css";r.u=e=>"js/"+{1:"y"}[e]+".js""#;
        assert_eq!(names(text), ["css/x.css", "js/y.js"]);
    }
}
