//! Finds what a script's code loads (imports, and what a service worker fetches when it is installed), and none that stands in a string, a comment or a regular expression: documentation shows code, and
//! frameworks write whole pages into strings of inline scripts.
//! Never parses: behind a `/` that may divide as well as begin a regular expression, nothing is certain any more.

/// Most strings of one script that are kept.
const LOADS_MAX: usize = 200_000;

/// What code loads, as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load<'t> {
    pub(super) by: By,
    /// Offset in the script.
    pub(super) at: usize,
    pub(super) text: &'t str,
    pub(super) sureness: Sureness,
}

/// How code loads something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// `import "…"`, `import("…")`, `export … from "…"`.
    Import,
    /// `import("…").catch(…)`: the script can do without.
    CaughtImport,
    /// `importScripts("…", …)` of a worker.
    ImportScripts,
    /// `cache.addAll(["…", …])`.
    AddAll,
    /// `define(["…", …], …)`.
    Define,
    /// `new URL("…", import.meta.url)`.
    Url,
}

/// Whether it is known that an import stands in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sureness {
    Certain,
    Doubtful,
}

/// Words after which a `/` begins a regular expression.
const BEFORE_EXPRESSIONS: [&str; 14] =
    ["return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "instanceof", "yield", "await"];

/// Words whose parentheses are followed by a statement.
const BEFORE_CONDITIONS: [&str; 4] = ["if", "while", "for", "with"];

/// Whatever is loaded by a plain string that is the whole specifier.
pub(super) fn loads(text: &str) -> Vec<Load<'_>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        last: [Token::Start; 3],
        braces: Vec::new(),
        conditions: Vec::new(),
        closed_condition: false,
        sureness: Sureness::Certain,
        without_expressions: 0,
        list: None,
        loads: Vec::new(),
    };
    while lexer.step() {}
    lexer.loads
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Start,
    Word(&'t str),
    Mark(u8),
    /// A string, a template or a regular expression.
    Value,
}

/// What an open brace belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brace {
    Code,
    /// `${` in a template, whose text goes on behind the closing one.
    Template,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// The last tokens, the newest first.
    last: [Token<'t>; 3],
    braces: Vec<Brace>,
    /// For each open parenthesis whether it is that of a condition.
    conditions: Vec<bool>,
    /// The same for the one that was closed last.
    closed_condition: bool,
    sureness: Sureness,
    /// Up to here no regular expression ends that has not begun yet: each line is searched in vain once.
    without_expressions: usize,
    /// The list of strings in which the next token stands.
    list: Option<By>,
    loads: Vec<Load<'t>>,
}

impl<'t> Lexer<'t> {
    /// Takes one token; false at the end.
    fn step(&mut self) -> bool {
        let Some(byte) = self.peek(0) else { return false };
        match byte {
            byte if byte.is_ascii_whitespace() => self.at += 1,
            b'/' if self.peek(1) == Some(b'/') => self.skip_past("\n"),
            b'/' if self.peek(1) == Some(b'*') => self.skip_past("*/"),
            b'<' if self.text[self.at..].starts_with("<!--") => self.skip_past("\n"),
            b'/' => self.slash(),
            b'"' | b'\'' => self.string(byte),
            b'`' => self.template(),
            byte if is_word_byte(byte) => self.word(),
            byte => self.mark(byte),
        }
        true
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_past(&mut self, end: &str) {
        self.at = self.text[self.at..].find(end).map_or(self.text.len(), |found| self.at + found + end.len());
    }

    fn push(&mut self, token: Token<'t>) {
        self.last = [token, self.last[0], self.last[1]];
    }

    fn word(&mut self) {
        let rest = &self.text[self.at..];
        let word = &rest[..rest.bytes().position(|byte| !is_word_byte(byte)).unwrap_or(rest.len())];
        self.at += word.len();
        self.push(Token::Word(word));
    }

    fn mark(&mut self, byte: u8) {
        self.at += 1;
        match byte {
            b',' => return self.push(Token::Mark(b',')),
            b'(' => self.conditions.push(matches!(self.last[0], Token::Word(word) if BEFORE_CONDITIONS.contains(&word))),
            b')' => self.closed_condition = self.conditions.pop().unwrap_or(false),
            b'{' => self.braces.push(Brace::Code),
            b'}' if self.braces.pop() == Some(Brace::Template) => return self.template_text(None),
            _ => {}
        }
        self.list = self.opened(byte);
        self.push(Token::Mark(byte));
    }

    /// The list that a bracket opens.
    fn opened(&self, bracket: u8) -> Option<By> {
        let [last, before, _] = self.last;
        match (bracket, last, before) {
            (b'(', Token::Word("importScripts"), _) => Some(By::ImportScripts),
            (b'[', Token::Mark(b'('), Token::Word("addAll")) => Some(By::AddAll),
            (b'[', Token::Mark(b'('), Token::Word("define")) => Some(By::Define),
            (_, Token::Start | Token::Word(_) | Token::Mark(_) | Token::Value, _) => None,
        }
    }

    /// A `/` that begins no comment.
    fn slash(&mut self) {
        let [last, before, _] = self.last;
        // Behind a block, behind an object, or behind `a++`: only a parser knows.
        let is_ambiguous = last == Token::Mark(b'}') || (last == before && matches!(last, Token::Mark(b'+' | b'-')));
        let divides = match last {
            Token::Start | Token::Word(_) | Token::Mark(_) | Token::Value if is_ambiguous => self.doubt(),
            Token::Value | Token::Mark(b']') => true,
            Token::Word(word) => !BEFORE_EXPRESSIONS.contains(&word),
            Token::Mark(b')') => !self.closed_condition,
            Token::Start | Token::Mark(_) => false,
        };
        match if divides { None } else { self.end_of_regular_expression() } {
            Some(end) => {
                self.at = end;
                self.push(Token::Value);
            }
            None => {
                self.at += 1;
                self.push(Token::Mark(b'/'));
            }
        }
        if !divides && self.last[0] == Token::Mark(b'/') {
            self.doubt();
        }
    }

    /// Nothing is certain from here on; what follows is read as if it divided.
    fn doubt(&mut self) -> bool {
        self.sureness = Sureness::Doubtful;
        true
    }

    fn end_of_regular_expression(&mut self) -> Option<usize> {
        if self.at < self.without_expressions {
            return None;
        }
        let mut is_in_class = false;
        let mut bytes = self.text.as_bytes()[self.at + 1..].iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\n' => {
                    self.without_expressions = self.at + 1 + at;
                    return None;
                }
                b'\\' => drop(bytes.next()),
                b'[' => is_in_class = true,
                b']' => is_in_class = false,
                b'/' if !is_in_class => return Some(self.at + at + 2),
                _ => {}
            }
        }
        self.without_expressions = self.text.len();
        None
    }

    fn string(&mut self, quote: u8) {
        let start = self.at + 1;
        let mut is_plain = true;
        let mut bytes = self.text.as_bytes()[start..].iter().enumerate();
        let mut end = self.text.len();
        while let Some((at, byte)) = bytes.next() {
            match *byte {
                b'\\' => {
                    is_plain = false;
                    bytes.next();
                }
                // No string goes over lines: what seemed to open it did not.
                b'\n' => {
                    self.at = start + at;
                    self.doubt();
                    return self.push(Token::Value);
                }
                byte if byte == quote => {
                    end = start + at;
                    break;
                }
                _ => {}
            }
        }
        self.at = (end + 1).min(self.text.len());
        self.value(is_plain.then(|| (start, &self.text[start..end])));
    }

    fn template(&mut self) {
        self.at += 1;
        self.template_text(Some(self.at));
    }

    /// The text of a template up to its end or to what is filled in. `start`: of the whole template, if nothing was filled in before.
    fn template_text(&mut self, start: Option<usize>) {
        let mut is_plain = true;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    is_plain = false;
                    self.at += 1;
                }
                b'`' => {
                    let whole = start.filter(|_| is_plain).map(|start| (start, &self.text[start..self.at]));
                    self.at += 1;
                    return self.value(whole);
                }
                b'$' if self.peek(1) == Some(b'{') => {
                    self.at += 2;
                    self.braces.push(Brace::Template);
                    return self.push(Token::Mark(b'{'));
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// A string or template that has ended; with its offset and text, if these are all of it.
    fn value(&mut self, plain: Option<(usize, &'t str)>) {
        if let Some((at, text)) = plain
            && let Some(by) = self.loads_by()
            && self.loads.len() < LOADS_MAX
        {
            self.loads.push(Load { by, at, text, sureness: self.sureness });
        }
        self.push(Token::Value);
    }

    /// How the string that has just ended is loaded, whole.
    fn loads_by(&self) -> Option<By> {
        let rest = self.text[self.at..].trim_start();
        let next = rest.bytes().next();
        let [last, before, first] = self.last;
        let is_called = last == Token::Mark(b'(') && before == Token::Word("import") && first != Token::Mark(b'.');
        let is_statement = last == Token::Word("import") && before != Token::Mark(b'.');
        let is_from = last == Token::Word("from") && matches!(before, Token::Word(_) | Token::Mark(b'}' | b'*'));
        let is_url = || last == Token::Mark(b'(') && before == Token::Word("URL") && first == Token::Word("new");
        let is_in_list = matches!(last, Token::Mark(b'(' | b'[' | b',')) && matches!(next, Some(b')' | b']' | b','));
        if is_called && matches!(next, Some(b')' | b',')) {
            let behind = rest.strip_prefix(')').map_or("", str::trim_start);
            return Some(if behind.starts_with(".catch(") { By::CaughtImport } else { By::Import });
        }
        if (is_statement || is_from) && !is_operator(next) {
            return Some(By::Import);
        }
        if is_url() && rest.strip_prefix(',').is_some_and(|rest| rest.trim_start().starts_with("import.meta.url")) {
            return Some(By::Url);
        }
        self.list.filter(|_| is_in_list)
    }
}

fn is_operator(byte: Option<u8>) -> bool {
    matches!(byte, Some(b'+' | b'.' | b'[' | b','))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, sureness: Sureness) -> Vec<&str> {
        imports(text).into_iter().filter(|import| import.sureness == sureness).map(|import| import.text).collect()
    }

    fn imports(text: &str) -> Vec<Load<'_>> {
        loads(text).into_iter().filter(|load| load.by == By::Import).collect()
    }

    #[test]
    fn what_workers_load_is_found_with_how() {
        let of = |text: &'static str| loads(text).into_iter().map(|load| (load.by, load.text)).collect::<Vec<_>>();
        assert_eq!(of("importScripts('a.js', \"b.js\")"), [(By::ImportScripts, "a.js"), (By::ImportScripts, "b.js")]);
        assert_eq!(of("c=>c.addAll([ '/', `b.css` ,'c.js'])"), [(By::AddAll, "/"), (By::AddAll, "b.css"), (By::AddAll, "c.js")]);
        assert_eq!(of("define(['./w-1'],function(w){w.f(['x'])})"), [(By::Define, "./w-1")]);
        assert_eq!(of("new Worker(new URL('w-1.js', import.meta.url))"), [(By::Url, "w-1.js")]);
        assert_eq!(of("import('./a.js').catch(()=>0)"), [(By::CaughtImport, "./a.js")]);
        for text in
            ["importScripts('a' + b)", "importScripts(f('a'))", "addAll(['a'+b])", "new URL('a.js', base)", "// importScripts('a.js')"]
        {
            assert!(loads(text).is_empty(), "{text}: {:?}", loads(text));
        }
    }

    #[test]
    fn imports_of_code_are_certain() {
        for (text, expected) in [
            ("import('./a.js')", vec!["./a.js"]),
            (
                "import a from './a.js'; import { b }from\"./b.js\"\nimport './c.js';export * from './d.js'",
                vec!["./a.js", "./b.js", "./c.js", "./d.js"],
            ),
            ("import( `./a.js` , {with:{}})", vec!["./a.js"]),
            ("x /* it's */;import('./a.js')", vec!["./a.js"]),
            ("<!-- it's\nimport('./a.js')", vec!["./a.js"]),
            ("if (x) /'/.test(y);import('./a.js')", vec!["./a.js"]),
            ("x = (1 + 2) / 3; import('./a.js') // '", vec!["./a.js"]),
            ("x = `a ${`b ${import('./a.js')} c`} d`; import('./b.js')", vec!["./a.js", "./b.js"]),
            ("return /[/'\"]\\//g; import('./a.js')", vec!["./a.js"]),
        ] {
            assert_eq!(of(text, Sureness::Certain), expected, "{text}");
        }
    }

    #[test]
    fn imports_in_strings_comments_and_expressions_are_none() {
        for text in [
            r#"self.__next_f.push([1,"import('./a.js')"])"#,
            r#"x = 'import("./a.js")'"#,
            r#"x = "\"; import('./a.js')""#,
            "x = `import('./a.js')`",
            "// import('./a.js')",
            "/* import('./a.js') */",
            "<!-- import('./a.js')",
            "x = /import('.\\/a.js')/",
            "import('./a.js' + x); import(x + './a.js'); import(`./${x}.js`); import('./a' + '.js')",
            "a.import('./a.js'); y.from('./a.js'); from('./a.js'); import('./\\x61.js')",
        ] {
            assert!(imports(text).is_empty(), "{text}: {:?}", imports(text));
        }
    }

    #[test]
    fn behind_what_only_a_parser_understands_nothing_is_certain() {
        for text in ["}/'/;import('./a.js')//'", "x++ / 2;import('./a.js')", "it's\n;import('./a.js')", "= /x\n;import('./a.js')"] {
            assert!(of(text, Sureness::Certain).is_empty(), "{text}: {:?}", imports(text));
        }
        assert_eq!(of("x++ / 2;import('./a.js')", Sureness::Doubtful), ["./a.js"]);
    }

    #[test]
    fn a_line_is_searched_in_vain_for_the_end_of_an_expression_once() {
        for text in ["=/[".repeat(1_000_000), "a/[".repeat(1_000_000), "=/\\".repeat(1_000_000)] {
            assert!(imports(&format!("{text}\n")).is_empty());
            assert!(imports(&text).is_empty());
        }
        assert_eq!(of("= /[x\n;y = /'/;import('./a.js')", Sureness::Doubtful), ["./a.js"], "the next line has its own");
    }

    #[test]
    fn hostile_text_is_survived() {
        for text in
            ["`${".repeat(100_000), "(".repeat(100_000), "}".repeat(100_000), "/".repeat(100_001), "'\\".repeat(50_001), "ü`é".into()]
        {
            imports(&text);
        }
    }
}
