//! The language of what users read: pages, reference, values of the chart, messages. A phrase that readers stumbled over does not come back.

use crate::repository::{TextFile, files, shipped};

/// Lower-case phrases, each with what to write instead.
const AVOIDED: [(&str, &str); 26] = [
    ("whoever", "name the person or program: \"a user who\", \"the operator\""),
    ("somebody", "name the person or program: \"another program\", \"a visitor\""),
    ("anybody", "name the person or program"),
    ("told", "says, reports, describes, names"),
    ("mend", "correct, repair"),
    ("mends", "correct, repair"),
    ("mended", "correct, repair"),
    ("made again", "recreated, rebuilt"),
    ("try out", "test"),
    ("tried out", "tested"),
    ("tries out", "tests"),
    ("trying out", "testing"),
    ("try things out", "for trials"),
    ("keep conditions", "honour conditions"),
    ("keeps the conditions", "honours the conditions"),
    ("keep no conditions", "ignore conditions"),
    ("later and later", "with exponential backoff"),
    ("look after", "manage, watch, check"),
    ("looks after", "manages, watches, checks"),
    ("looked after", "managed, watched, checked"),
    ("looking after", "managing, watching, checking"),
    ("asks nobody", "works offline"),
    ("did not come", "failed to download, no answer within the time-out"),
    ("nobody can have", "impossible"),
    ("nobody that is known", "an unknown owner"),
    ("nobody who", "no client that"),
];

/// What users read. Messages are in the page of blockers.
fn read_by_users() -> Vec<TextFile> {
    let pages = ["README.md", "SECURITY.md", "CHANGELOG.md", "docs", "deploy", "charts", "crds", "examples/kustomize"];
    files(&pages, &[".md", ".yaml", ".txt", ".tpl"])
}

/// The line without names of tests and the like, in lower case, with single spaces around each word.
fn words(line: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let words: Vec<&str> = line.split(|c: char| !word(c)).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" ").to_lowercase())
}

fn found(file: &TextFile) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let hits = lines.flat_map(|(number, line)| {
        let words = words(line);
        let hits = AVOIDED.iter().filter(move |(phrase, _)| words.contains(&format!(" {phrase} ")));
        hits.map(move |(phrase, instead)| format!("{}:{}: {phrase:?}: {instead}", file.path, number + 1))
    });
    hits.collect()
}

#[test]
fn what_users_read_has_no_phrase_that_readers_stumbled_over() {
    let files = read_by_users();
    assert!(files.len() > 20, "the pages are somewhere else");
    let found: Vec<String> = files.iter().flat_map(found).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The texts between quotation marks, line by line; what a panic or a lint's reason says is for developers.
fn messages(file: TextFile) -> TextFile {
    let quoted = |line: &str| -> String { line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" | ") };
    // A text that goes on over several lines has no quotation mark in the middle ones, and begins without one in the last.
    let mut within = false;
    let unescaped = file.text.replace("\\\"", "'").replace("'\"'", "' '");
    let lines = unescaped.lines().map(|line| {
        let is_for_developers = line.trim_start().starts_with("//") || line.contains("expect(") || line.contains("reason = ");
        let begins_within = within;
        within ^= !line.trim_start().starts_with("//") && line.matches('"').count() % 2 == 1;
        let line = if begins_within { format!("\"{line}") } else { line.to_owned() };
        if is_for_developers { String::new() } else { quoted(&line) }
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    TextFile { text, ..file }
}

#[test]
fn what_the_program_says_has_none_of_these_phrases_either() {
    let files: Vec<TextFile> = shipped().into_iter().map(messages).collect();
    assert!(files.iter().any(|file| file.text.contains("is not an allowed host")), "the messages are somewhere else");
    let found: Vec<String> = files.iter().flat_map(found).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_message_is_found_in_its_quotation_marks_also_over_several_lines() {
    let text = "let told = \"fine\"; // mend\nsay(\"one \\\n   whoever\\\n two\");\ntold(\"a \\\"mend\\\" b\");\n";
    let seen = messages(TextFile { path: "code.rs".into(), text: text.into() });
    assert_eq!(found(&seen).len(), 2, "{}", seen.text);
}

#[test]
fn a_phrase_is_found_between_other_words_and_not_within_them() {
    let file = |text: &str| TextFile { path: "page.md".into(), text: text.into() };
    assert_eq!(found(&file("The status (Whoever reads it)\nMend it.")).len(), 2);
    assert_eq!(found(&file("`closed_ports_are_told_alike`, amended, recommend")), Vec::<String>::new());
}
