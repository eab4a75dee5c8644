//! Rung 4: stories as text, with what happened as text beside them. A change of behaviour is a change of a trace, which a
//! reviewer reads. `UPDATE_TRACES=1 cargo test scenarios` writes the traces anew.

use std::path::{Path, PathBuf};

use rollcall::testing::script;

use super::*;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    scripts.sort();
    scripts
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests asks for new traces")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_TRACES").is_some()
}

#[test]
fn every_scenario_runs_as_its_trace_says() {
    let scripts = scripts();
    assert!(!scripts.is_empty());
    for path in scripts {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = run(async || {
            let mut world = World::new(1);
            let outcome = script::run(&mut world, &text).await;
            let lines = format!("{}\n", world.trace.lines().join("\n"));
            assert_eq!(outcome, Ok(()), "{}\n{lines}", path.display());
            assert_promises(&world, &path.display().to_string());
            lines
        });
        let beside = path.with_extension("trace");
        if is_update() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        let mut pairs = expected.lines().zip(found.lines()).zip(1..);
        let differs = pairs.find(|((expected, found), _)| expected != found);
        assert!(expected == found, "{}: first difference (line): {differs:?}; UPDATE_TRACES=1 writes it anew", beside.display());
    }
}
