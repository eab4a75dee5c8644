//! Finds the imports of a script's code, and none that stands in a string, a comment or a regular expression: documentation shows code, and
//! frameworks write whole pages into strings of inline scripts.
//! Never parses: behind a `/` that may divide as well as begin a regular expression, nothing is certain any more.

/// The specifier of an import, as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import<'t> {
    /// Offset in the script.
    pub(super) at: usize,
    pub(super) text: &'t str,
    pub(super) sureness: Sureness,
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

/// Imports with a plain string that is the whole specifier.
pub(super) fn imports(text: &str) -> Vec<Import<'_>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        last: [Token::Start; 3],
        braces: Vec::new(),
        conditions: Vec::new(),
        closed_condition: false,
        sureness: Sureness::Certain,
        imports: Vec::new(),
    };
    while lexer.step() {}
    lexer.imports
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
    imports: Vec<Import<'t>>,
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
            b'(' => self.conditions.push(matches!(self.last[0], Token::Word(word) if BEFORE_CONDITIONS.contains(&word))),
            b')' => self.closed_condition = self.conditions.pop().unwrap_or(false),
            b'{' => self.braces.push(Brace::Code),
            b'}' if self.braces.pop() == Some(Brace::Template) => return self.template_text(None),
            _ => {}
        }
        self.push(Token::Mark(byte));
    }

    /// A `/` that begins no comment.
    fn slash(&mut self) {
        let [last, before, _] = self.last;
        // Behind a block, behind an object, or behind `a++`: only a parser knows.
        let is_ambiguous = last == Token::Mark(b'}') || (last == before && matches!(last, Token::Mark(b'+' | b'-')));
        let divides = match last {
            _ if is_ambiguous => self.doubt(),
            Token::Value | Token::Mark(b']') => true,
            Token::Word(word) => !BEFORE_EXPRESSIONS.contains(&word),
            Token::Mark(b')') => !self.closed_condition,
            Token::Start | Token::Mark(_) => false,
        };
        match self.end_of_regular_expression().filter(|_| !divides) {
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

    fn end_of_regular_expression(&self) -> Option<usize> {
        let mut is_in_class = false;
        let mut bytes = self.text.as_bytes()[self.at + 1..].iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\n' => return None,
                b'\\' => drop(bytes.next()),
                b'[' => is_in_class = true,
                b']' => is_in_class = false,
                b'/' if !is_in_class => return Some(self.at + at + 2),
                _ => {}
            }
        }
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
            && self.is_import()
        {
            self.imports.push(Import { at, text, sureness: self.sureness });
        }
        self.push(Token::Value);
    }

    /// Whether the string that has just ended is what an import loads, whole.
    fn is_import(&self) -> bool {
        let next = self.text.as_bytes()[self.at..].iter().copied().find(|byte| !byte.is_ascii_whitespace());
        match self.last {
            [Token::Mark(b'('), Token::Word("import"), before] => before != Token::Mark(b'.') && matches!(next, Some(b')' | b',')),
            [Token::Word("import"), before, _] => before != Token::Mark(b'.') && !is_operator(next),
            [Token::Word("from"), Token::Word(_) | Token::Mark(b'}' | b'*'), _] => !is_operator(next),
            _ => false,
        }
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
    fn hostile_text_is_survived() {
        for text in
            ["`${".repeat(100_000), "(".repeat(100_000), "}".repeat(100_000), "/".repeat(100_001), "'\\".repeat(50_001), "ü`é".into()]
        {
            imports(&text);
        }
    }
}
