//! The language of what users read: pages, reference, values of the chart, messages. A phrase that readers stumbled over does not come back.

use crate::repository::{TextFile, files};

/// Lower-case phrases, each with what to write instead.
const AVOIDED: [(&str, &str); 16] = [
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

#[test]
fn a_phrase_is_found_between_other_words_and_not_within_them() {
    let file = |text: &str| TextFile { path: "page.md".into(), text: text.into() };
    assert_eq!(found(&file("The status (Whoever reads it)\nMend it.")).len(), 2);
    assert_eq!(found(&file("`closed_ports_are_told_alike`, amended, recommend")), Vec::<String>::new());
}
