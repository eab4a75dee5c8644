//! The repository as text, for the tests that hold its own rules. Reads only what lies in `src`, `tests`, `docs` and the like.

use std::path::{Path, PathBuf};

/// A file: its path from the top folder, with `/`, and its text.
pub struct TextFile {
    pub path: String,
    pub text: String,
}

/// Every file below these folders whose name ends like this, sorted.
pub fn files(folders: &[&str], endings: &[&str]) -> Vec<TextFile> {
    let top = top();
    let mut paths: Vec<PathBuf> = folders.iter().flat_map(|folder| below(&top.join(folder))).collect();
    paths.sort();
    let wanted = |path: &PathBuf| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending));
    let read = |path: PathBuf| TextFile {
        path: path.strip_prefix(&top).unwrap().to_string_lossy().into_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().filter(wanted).map(read).collect()
}

/// The program's own text: tests beside the code are cut off, files of tests and what stands in for an outside system left out.
pub fn shipped() -> Vec<TextFile> {
    let is_test = |file: &TextFile| {
        file.path.contains("/testing/")
            || ["tests.rs", "testing.rs", "fixture.rs", "memory.rs", "faulty.rs"].iter().any(|end| file.path.ends_with(end))
    };
    let cut =
        |file: TextFile| TextFile { text: file.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned(), ..file };
    files(&["src"], &[".rs"]).into_iter().filter(|file| !is_test(file) && !file.path.contains("/tests/")).map(cut).collect()
}

pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_path_buf()];
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap()).filter(|entry| entry.file_name() != "node_modules" && entry.file_name() != "target");
    entries
        .flat_map(|entry| {
            let file_type = entry.file_type().unwrap();
            if file_type.is_dir() { below(&entry.path()) } else { Vec::from_iter(file_type.is_file().then(|| entry.path())) }
        })
        .collect()
}
