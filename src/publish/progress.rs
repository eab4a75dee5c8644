//! How far a publish is, on standard error: a bar on a terminal, a line every few seconds elsewhere. Never on standard output.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::Instant;

use super::retry::Again;
use crate::api::foreign::lines_escaped;
use crate::upload::Progress;

/// A log that is read by people afterwards.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Faster than an eye that follows a bar.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// Tells how far it is.
pub(super) struct Teller {
    seen: watch::Receiver<Progress>,
    begun: Instant,
    form: Form,
}

enum Form {
    Bar(ProgressBar),
    Lines,
}

impl Teller {
    /// A bar if standard error is a terminal.
    pub(super) fn new(seen: watch::Receiver<Progress>) -> Self {
        let form = if std::io::stderr().is_terminal() { Form::Bar(bar()) } else { Form::Lines };
        Self { seen, begun: Instant::now(), form }
    }

    /// Tells while the work goes on, and once more at its end.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let every = if matches!(self.form, Form::Bar(_)) { BAR_EVERY } else { LINE_EVERY };
        let telling = async {
            loop {
                tokio::time::sleep(every).await;
                self.tell();
            }
        };
        let done = tokio::select! {
            biased;
            done = work => done,
            never = telling => never,
        };
        self.tell();
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
        done
    }

    /// Tells that a try has failed.
    pub(super) fn again(&self, again: &Again<'_>) {
        let (failure, pause) = (again.failure, again.pause.as_secs());
        let line = format!("{failure}; trying again in {pause} s");
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| say(&line)),
            Form::Lines => say(&line),
        }
    }

    fn tell(&self) {
        let progress = *self.seen.borrow();
        if progress.objects_total == 0 {
            return;
        }
        match &self.form {
            Form::Lines => say(&line(&progress, self.begun.elapsed())),
            Form::Bar(bar) => {
                bar.set_length(progress.objects_total);
                bar.set_position(done(&progress));
                bar.set_message(sent(&progress, self.begun.elapsed()));
            }
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} objects, {msg}, {eta} left").expect("the template is well-formed");
    ProgressBar::new(0).with_style(style)
}

fn done(progress: &Progress) -> u64 {
    progress.objects_sent + progress.objects_reused
}

fn sent(progress: &Progress, since: Duration) -> String {
    let rate = u128::from(progress.bytes_sent) * 1000 / since.as_millis().max(1);
    format!("{} sent, {}/s", HumanBytes(progress.bytes_sent), HumanBytes(u64::try_from(rate).unwrap_or(u64::MAX)))
}

fn line(progress: &Progress, since: Duration) -> String {
    let (done, total) = (done(progress), progress.objects_total);
    let left = match total - done.min(total) {
        0 => String::new(),
        more => format!(", about {} s left", since.as_secs() * more / done.max(1)),
    };
    format!("{done}/{total} objects, {}{left}", sent(progress, since))
}

#[expect(clippy::print_stderr, reason = "a command speaks to whoever typed it")]
pub(super) fn say(line: &str) {
    eprintln!("rollcall publish: {}", lines_escaped(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let progress = Progress { objects_total: 100, objects_sent: 15, objects_reused: 10, bytes_total: 9, bytes_sent: 20 * 1024 * 1024 };
        let seen = line(&progress, Duration::from_secs(10));
        assert_eq!(seen, "25/100 objects, 20.00 MiB sent, 2.00 MiB/s, about 30 s left");
        let over = Progress { objects_sent: 90, ..progress };
        assert_eq!(line(&over, Duration::from_secs(10)), "100/100 objects, 20.00 MiB sent, 2.00 MiB/s");
        assert!(line(&Progress { objects_total: 1, ..Progress::default() }, Duration::ZERO).contains("0 B/s"));
    }
}
