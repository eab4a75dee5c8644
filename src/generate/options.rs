//! The page of the command line. Never a sentence that `rollcall --help` does not have.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::{Artifact, page_header};
use crate::cli::Cli;

/// `docs/reference/cli.md`.
pub(super) fn page() -> Vec<Artifact> {
    let command = Cli::command();
    let mut text = page_header("src/cli.rs");
    let _ = write!(text, "# The program rollcall\n\n{}\n", sentence(&command));
    text.push_str("\n## Every role\n");
    options(&mut text, &command);
    for role in command.get_subcommands() {
        let _ = write!(text, "\n## rollcall {}\n\n{}\n", role.get_name(), sentence(role));
        if role.get_subcommands().next().is_none() {
            options(&mut text, role);
        }
        for act in role.get_subcommands() {
            let _ = write!(text, "\n### rollcall {} {}\n\n{}\n", role.get_name(), act.get_name(), sentence(act));
            options(&mut text, act);
        }
    }
    vec![Artifact { path: "docs/reference/cli.md".into(), text }]
}

fn sentence(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn options(text: &mut String, command: &Command) {
    text.push_str("\n| option | environment | default | meaning |\n|---|---|---|---|\n");
    for option in command.get_arguments() {
        let Some(name) = option.get_long() else { continue };
        let environment = option.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
        let meaning = option.get_help().map(ToString::to_string).unwrap_or_default();
        let _ =
            writeln!(text, "| `--{name}{}` | {environment} | {} | {} |", value_of(option), default_of(option), meaning.replace('|', "\\|"));
    }
}

fn value_of(option: &Arg) -> String {
    let words: Vec<String> = option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    match (option.get_action().takes_values(), words.is_empty()) {
        (false, _) => String::new(),
        (true, true) => format!(" {}", option.get_value_names().unwrap_or_default().join(" ")),
        (true, false) => format!(" {}", words.join("\\|")),
    }
}

fn default_of(option: &Arg) -> String {
    let defaults: Vec<String> =
        option.get_default_values().iter().filter(|value| !value.is_empty()).map(|value| format!("`{}`", value.display())).collect();
    if option.is_required_set() { "**required**".into() } else { defaults.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_and_every_option_is_on_the_page() {
        let text = &page()[0].text;
        let command = Cli::command();
        for role in command.get_subcommands() {
            assert!(text.contains(&format!("## rollcall {}\n", role.get_name())));
            for option in role.get_subcommands().chain([role]).flat_map(Command::get_arguments).filter_map(Arg::get_long) {
                assert!(text.contains(&format!("| `--{option}")), "{option}");
            }
        }
        assert!(text.contains("| `--log-format text\\|json` | `ROLLCALL_LOG_FORMAT` | `text` |"), "{text}");
    }
}
