//! Names that vouch for each other: files of one folder whose names have a token of the same length at the same place, which look random
//! taken together, and of which the version before had others.
//! Never vouches for a name that the version before had, and never in a folder where a name of the set has got other bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::manifest::classify::{self, consonants_in_a_row, vowels};
use crate::manifest::{Class, Manifest, ManifestFile};

/// Tokens that must look random beyond doubt, in both versions together.
const CLEAR_MIN: usize = 6;

/// Shortest token.
const CHARS_MIN: usize = 6;

/// Longest token: sha512 in hexadecimal.
const CHARS_MAX: usize = 128;

/// Tokens of one path that are compared, the first ones: a name of nothing but marks has hundreds.
const TOKENS_MAX: usize = 32;

/// Most bytes of names that are held of one version. A build with more gets no evidence from sets, and short caches.
const ROOM_BYTES: usize = 32 * 1024 * 1024;

/// Where in a name a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    /// It is the whole name, or a whole part between dots.
    Whole,
    /// Behind this character, up to the next dot or the end.
    Behind(u8),
    /// At the beginning, before this character.
    Before(u8),
}

/// Tokens that are compared: of one folder, at one place, of one length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Group {
    folder: String,
    place: Place,
    length: usize,
}

/// A token and what stands around it in its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    text: String,
    /// The name with the token cut out.
    around: String,
}

/// What an earlier version had: names without evidence of their own, and all bytes by path.
#[derive(Debug, Default)]
pub struct Seen {
    tokens: HashMap<Group, BTreeSet<Token>>,
    bytes: BTreeMap<String, String>,
    room: Room,
}

/// What is left of [`ROOM_BYTES`].
#[derive(Debug)]
struct Room(Option<usize>);

impl Default for Room {
    fn default() -> Self {
        Self(Some(ROOM_BYTES))
    }
}

impl Room {
    /// Whether there was room for so many bytes. Once there was none, there is none.
    fn takes(&mut self, bytes: usize) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        self.0.is_some()
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

impl Seen {
    /// Nothing yet, and room for what this build can be compared with: no more is kept.
    #[must_use]
    pub fn beside(build: &Manifest) -> Self {
        let mut seen = Self::default();
        for (group, token) in candidates(build).flat_map(|(_, file)| tokens(&file.path)) {
            if !seen.tokens.contains_key(&group) && seen.room.takes(bytes(&group, &token)) {
                seen.tokens.insert(group, BTreeSet::new());
            }
        }
        seen
    }

    /// A file of that version; `sha256` in hexadecimal.
    pub fn add(&mut self, path: &str, sha256: &str) {
        if classify::is_never_hashed(path) || self.tokens.is_empty() || self.room.is_over() {
            return;
        }
        let mut is_comparable = false;
        for (group, token) in tokens(path) {
            if let Some(seen) = self.tokens.get_mut(&group)
                && self.room.takes(bytes(&group, &token))
            {
                seen.insert(token);
                is_comparable = true;
            }
        }
        if is_comparable && self.room.takes(path.len() + sha256.len()) {
            self.bytes.insert(path.to_owned(), sha256.to_owned());
        }
    }

    /// All of another build.
    pub fn add_all(&mut self, manifest: &Manifest) {
        manifest.files.iter().for_each(|file| self.add(&file.path, &file.sha256.to_string()));
    }
}

/// Files for which only a set can vouch any more, with their places.
fn candidates(build: &Manifest) -> impl Iterator<Item = (usize, &ManifestFile)> {
    let is_one =
        |file: &ManifestFile| file.class == Class::Unversioned && file.evidence.is_none() && !classify::is_never_hashed(&file.path);
    build.files.iter().enumerate().filter(move |(_, file)| is_one(file))
}

/// The paths of a build that sets vouch for, by what the version before had.
#[must_use]
pub fn by_set(manifest: &Manifest, before: &Seen) -> BTreeSet<String> {
    let mut groups: HashMap<Group, BTreeMap<Token, Vec<usize>>> = HashMap::new();
    let (mut changed, mut room) = (HashMap::<Group, BTreeSet<String>>::new(), Room::default());
    for (at, file) in candidates(manifest) {
        let has_changed = before.bytes.get(&file.path).is_some_and(|bytes| *bytes != file.sha256.to_string());
        for (group, token) in tokens(&file.path) {
            if !before.tokens.contains_key(&group) {
                continue;
            }
            if !room.takes(bytes(&group, &token)) {
                return BTreeSet::new();
            }
            if has_changed {
                changed.entry(group.clone()).or_default().insert(token.text.clone());
            }
            groups.entry(group).or_default().entry(token).or_default().push(at);
        }
    }
    let mut vouched = BTreeSet::new();
    if before.room.is_over() {
        return vouched;
    }
    for (group, ours) in &groups {
        let Some(theirs) = before.tokens.get(group).filter(|theirs| !is_refuted(ours, theirs, changed.get(group))) else { continue };
        let members = members(ours, theirs).into_iter().flat_map(|token| &ours[token]).map(|at| &manifest.files[*at].path);
        vouched.extend(members.filter(|path| !before.bytes.contains_key(*path)).cloned());
    }
    vouched
}

/// Whether a name that has got other bytes could be one of the set. A day or a word in capitals that was copied into the same folder is none.
fn is_refuted(ours: &BTreeMap<Token, Vec<usize>>, theirs: &BTreeSet<Token>, changed: Option<&BTreeSet<String>>) -> bool {
    let Some(changed) = changed else { return false };
    let clear: Vec<&str> = clear(ours.keys().chain(theirs)).into_iter().filter(|text| !changed.contains(*text)).collect();
    if clear.len() < CLEAR_MIN {
        return true;
    }
    let alphabet = Alphabet::of(&clear);
    changed.iter().any(|text| !may_be_a_date(text) && alphabet.has(text))
}

/// Texts with letters and digits in no order of a word.
fn clear<'t>(tokens: impl Iterator<Item = &'t Token>) -> BTreeSet<&'t str> {
    tokens.map(|token| token.text.as_str()).filter(|text| changes_of_kind(text) >= 2).collect()
}

/// Which tokens of a group are hashes.
fn members<'t>(ours: &'t BTreeMap<Token, Vec<usize>>, theirs: &BTreeSet<Token>) -> Vec<&'t Token> {
    let texts: BTreeSet<&str> = ours.keys().chain(theirs).map(|token| token.text.as_str()).collect();
    let is_ours: BTreeSet<&str> = ours.keys().map(|token| token.text.as_str()).collect();
    let is_theirs: BTreeSet<&str> = theirs.iter().map(|token| token.text.as_str()).collect();
    let clear: Vec<&str> = clear(ours.keys().chain(theirs)).into_iter().collect();
    if !look_random(&clear) || clear.len() * 3 < texts.len() {
        return Vec::new();
    }
    let gone: BTreeSet<&str> =
        theirs.iter().filter(|token| !is_ours.contains(token.text.as_str())).map(|token| token.around.as_str()).collect();
    let alphabet = Alphabet::of(&clear);
    let is_mixed = alphabet.kinds[0] && alphabet.kinds[1];
    let may_be = |token: &&Token| {
        let text = token.text.as_str();
        let is_new = !is_theirs.contains(text);
        let took_a_place = gone.contains(token.around.as_str()) && !(is_mixed && text.len() >= 8 && is_one_word(text));
        is_new && !may_be_a_date(text) && alphabet.has(text) && took_a_place
    };
    let replaced: Vec<&Token> = ours.keys().filter(may_be).collect();
    if replaced.is_empty() {
        return replaced;
    }
    // New names beside those that took another's place: only where nothing in them reads as a word.
    let endings: BTreeSet<&str> = replaced.iter().map(|token| ending(&token.around)).collect();
    let is_beside = |token: &&Token| {
        let text = token.text.as_str();
        let is_known = gone.contains(token.around.as_str()) || is_theirs.contains(text);
        !is_known && changes_of_kind(text) >= 2 && alphabet.has(text) && !has_a_word(text) && endings.contains(ending(&token.around))
    };
    let beside: Vec<&Token> = ours.keys().filter(is_beside).collect();
    replaced.into_iter().chain(beside).collect()
}

fn ending(around: &str) -> &str {
    around.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether tokens, taken together, have what no words, sizes, dates and numbers of articles have: many different letters and digits,
/// everywhere, and in no order that comes again.
fn look_random(tokens: &[&str]) -> bool {
    let Some(length) = tokens.first().map(|token| token.len()) else { return false };
    let different = |is: fn(&u8) -> bool| tokens.iter().flat_map(|token| token.bytes()).filter(is).collect::<BTreeSet<u8>>().len();
    let at = |position: usize| tokens.iter().map(|token| token.as_bytes()[position]).collect::<BTreeSet<u8>>().len();
    let orders: BTreeSet<Vec<Kind>> = tokens.iter().map(|token| token.bytes().map(kind).collect()).collect();
    tokens.len() >= CLEAR_MIN
        && different(u8::is_ascii_alphabetic) >= 5
        && different(u8::is_ascii_digit) >= 3
        && (0..length).all(|position| at(position) >= 3)
        && orders.len() >= tokens.len().min(8) / 2
}

/// The characters of some tokens, taken together once: a group may have 200,000.
struct Alphabet {
    is_hex: bool,
    /// Whether some token has one of each of [`KINDS`].
    kinds: [bool; 3],
}

/// Capitals, small letters, marks.
const KINDS: [fn(&u8) -> bool; 3] = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, |b| matches!(b, b'-' | b'_')];

impl Alphabet {
    fn of(tokens: &[&str]) -> Self {
        let has = |kind: fn(&u8) -> bool| tokens.iter().any(|token| token.bytes().any(|b| kind(&b)));
        Self { is_hex: tokens.iter().all(|token| is_hex(token)), kinds: KINDS.map(has) }
    }

    /// Whether a token has no kind of character that these lack.
    fn has(&self, token: &str) -> bool {
        (!self.is_hex || is_hex(token)) && Self::of(&[token]).kinds.iter().zip(self.kinds).all(|(ours, theirs)| !ours || theirs)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Upper,
    Lower,
    Digit,
    Mark,
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'A'..=b'Z' => Kind::Upper,
        b'a'..=b'z' => Kind::Lower,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Mark,
    }
}

/// How many bytes a token of a group takes, about.
fn bytes(group: &Group, token: &Token) -> usize {
    group.folder.len() + token.text.len() + token.around.len() + size_of::<Group>() + size_of::<Token>()
}

/// How often the kind of character changes within a text: a word with a number has one change, or two with a capital.
pub(super) fn changes_of_kind(text: &str) -> usize {
    text.as_bytes().windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count()
}

/// Digits alone that begin like a year, or like a time in seconds or milliseconds. Of 43 hexadecimal hashes of eight characters one has
/// digits only.
fn may_be_a_date(text: &str) -> bool {
    let is_time = matches!(text.len(), 10 | 13) && text.starts_with('1');
    text.bytes().all(|b| b.is_ascii_digit()) && (is_time || text.starts_with("19") || text.starts_with("20"))
}

/// `PORTUGAL`, `SUMMER24`, `Homepage`: letters of one case but for the first, perhaps with a number, that can be spoken.
fn is_one_word(text: &str) -> bool {
    let letters = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let rest = letters.get(1..).unwrap_or_default();
    let is_one_case = rest.bytes().all(|b| b.is_ascii_lowercase()) || letters.bytes().all(|b| b.is_ascii_uppercase());
    is_one_case && (letters.is_empty() || (can_be_spoken(letters) && vowels(letters) * 3 >= letters.len()))
}

/// Whether some run of letters is a word: four or more, in lower case but for the first or in upper case, that can be spoken.
fn has_a_word(text: &str) -> bool {
    let mut begins = vec![0];
    let is_beginning = |pair: &[u8]| {
        let (one, next) = (kind(pair[0]), kind(pair[1]));
        one != next && !(one == Kind::Upper && next == Kind::Lower)
    };
    begins.extend(text.as_bytes().windows(2).enumerate().filter(|(_, pair)| is_beginning(pair)).map(|(at, _)| at + 1));
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    begins
        .iter()
        .zip(ends)
        .map(|(begin, end)| &text[*begin..end])
        .any(|run| run.len() >= 4 && run.bytes().all(|b| b.is_ascii_alphabetic()) && can_be_spoken(run))
}

/// Vowels in between, and never four consonants in a row.
fn can_be_spoken(letters: &str) -> bool {
    vowels(letters) * 5 >= letters.len() && consonants_in_a_row(letters) < 4
}

/// Every token that a path may carry, with its group.
fn tokens(path: &str) -> Vec<(Group, Token)> {
    let mut all = Vec::new();
    if !path.is_ascii() {
        return all;
    }
    let mut begin = 0;
    for segment in path.split('/') {
        if all.len() >= TOKENS_MAX {
            break;
        }
        let folder = &path[..begin];
        let is_file = begin + segment.len() == path.len();
        begin += segment.len() + 1;
        // The last part of a file's name is its ending and never a hash.
        let stem = if is_file { segment.rsplit_once('.').map_or(segment, |(stem, _)| stem) } else { segment };
        let mut part_begin = 0;
        for part in stem.split('.') {
            for (place, from, to) in within(part) {
                let (from, to) = (part_begin + from, part_begin + to);
                let text = &segment[from..to];
                let around = format!("{}*{}", &segment[..from], &segment[to..]);
                let group = Group { folder: folder.to_owned(), place, length: text.len() };
                all.push((group, Token { text: text.to_owned(), around: if is_file { around } else { format!("{around}/") } }));
            }
            part_begin += part.len() + 1;
        }
    }
    all.truncate(TOKENS_MAX);
    all
}

/// Where within a part between dots a token may stand.
fn within(part: &str) -> Vec<(Place, usize, usize)> {
    let is_token = |text: &str| {
        (CHARS_MIN..=CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let mut all = Vec::new();
    if is_token(part) {
        all.push((Place::Whole, 0, part.len()));
    }
    for (at, mark) in part.bytes().enumerate().filter(|(_, b)| matches!(b, b'-' | b'_' | b'~')) {
        if all.len() >= TOKENS_MAX {
            break;
        }
        if at > 0 && is_token(&part[at + 1..]) {
            all.push((Place::Behind(mark), at + 1, part.len()));
        }
        if is_token(&part[..at]) {
            all.push((Place::Before(mark), 0, at));
        }
    }
    all
}
