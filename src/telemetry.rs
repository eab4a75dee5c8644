//! Logs: structured, to standard error, as text for people or JSON for collectors.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::api::foreign::{escaped, json_escaped};

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Begins to log. `filter` is a directive such as `info` or `rollcall=debug,warn`.
///
/// # Errors
/// When the directive cannot be read, or logging was begun before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log filter {filter:?} cannot be read: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Visible { to: io::stderr, format });
    let begun = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| error.to_string())
}

/// Makes writers of lines in which nothing is hidden: pods, stores and archives have their words in many of them.
#[derive(Clone, Copy)]
struct Visible<M> {
    to: M,
    format: LogFormat,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Visible<M> {
    type Writer = Visible<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Visible { to: self.to.make_writer(), format: self.format }
    }
}

impl<W: Write> Write for Visible<W> {
    /// One event comes as one write that ends its line; a line end within it was somebody else's.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let visible = match self.format {
            LogFormat::Text => escaped(line).into_owned(),
            LogFormat::Json => json_escaped(line),
        };
        self.to.write_all(format!("{visible}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::api::foreign::is_hidden;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a log of this form holds after one hostile event.
    fn logged(format: LogFormat) -> String {
        let page = Page::default();
        let pages = page.clone();
        let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(Visible { to: move || pages.clone(), format });
        let cause = "\u{1b}[2J\u{202e}\n2026-11-30 INFO forged";
        let log = || tracing::warn!(%cause, quoted = ?cause, "a store said {cause}");
        match format {
            LogFormat::Text => tracing::subscriber::with_default(builder.finish(), log),
            LogFormat::Json => tracing::subscriber::with_default(builder.json().flatten_event(true).finish(), log),
        }
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_foreign_text_forges_no_line_and_hides_nothing_in_a_log() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format);
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.trim_end().chars().any(is_hidden), "{text:?}");
        }
        let event: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(event["cause"], "\u{1b}[2J\u{202e}\n2026-11-30 INFO forged");
    }
}
