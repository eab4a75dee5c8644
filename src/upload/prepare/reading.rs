//! Texts of builds are read beside the runtime's own threads, and in the whole process one at a time: the largest that is allowed takes
//! seconds, and some hundred megabytes of memory.
//! Never holds a text while another one is read, and never goes on for a publish that was given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bucket::Body;
use crate::source::SourceError;
use crate::upload::PublishFailure;

/// Held by who reads.
static TURN: Mutex<()> = Mutex::new(());

/// What reads on a thread of its own.
pub(super) struct Reading {
    is_given_up: Arc<AtomicBool>,
}

/// The right to read one text, or what belongs together.
pub(super) struct Turn {
    _held: MutexGuard<'static, ()>,
}

/// Where texts lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    InMemory,
    InFiles,
}

impl Lie {
    /// Of these bodies.
    pub(super) fn of<'b>(mut bodies: impl Iterator<Item = &'b Body>) -> Self {
        if bodies.any(|body| matches!(body, Body::File { .. })) { Self::InFiles } else { Self::InMemory }
    }
}

/// Does this on another thread, and waits for it. Texts that are in memory are those of a simulation, in which all runs on one thread; a source brings
/// its build into files.
///
/// # Errors
/// Those of the work; and when it was given up.
pub(super) async fn aside<T: Send + 'static>(
    texts: Lie,
    work: impl FnOnce(&Reading) -> Result<T, PublishFailure> + Send + 'static,
) -> Result<T, PublishFailure> {
    let is_given_up = Arc::new(AtomicBool::new(false));
    let reading = Reading { is_given_up: Arc::clone(&is_given_up) };
    // The work is not ended with whoever waits for it: it looks at this before each text.
    let _waiting = Waiting(is_given_up);
    if texts == Lie::InMemory {
        return work(&reading);
    }
    tokio::task::spawn_blocking(move || work(&reading)).await.unwrap_or_else(|error| Err(failed(&error)))
}

/// Says that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Reading {
    /// Waits until nobody else reads.
    ///
    /// # Errors
    /// When the work was given up.
    pub(super) fn turn(&self) -> Result<Turn, PublishFailure> {
        let held = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_given_up.load(Ordering::Relaxed) {
            return Err(PublishFailure::Cancelled);
        }
        Ok(Turn { _held: held })
    }
}

/// The whole body in memory, while nobody else has one there.
pub(super) fn content(_turn: &Turn, body: &Body) -> Result<bytes::Bytes, PublishFailure> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::Made(making) => Ok(making.whole()),
        Body::File { path, .. } => std::fs::read(path)
            .map(bytes::Bytes::from)
            .map_err(|error| SourceError::Workspace { folder: path.clone(), cause: error.to_string() }.into()),
    }
}

/// The thread has ended without an answer: the runtime is going down, or the work has panicked.
fn failed(error: &tokio::task::JoinError) -> PublishFailure {
    SourceError::Workspace { folder: std::path::PathBuf::new(), cause: format!("a text of the build was not read to its end: {error}") }
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_threads_of_the_runtime_go_on_while_a_text_is_read() {
        let (sender, receiver) = mpsc::channel();
        // On this single thread the second would never begin if the first did not stand aside.
        let read = aside(Lie::InFiles, move |reading| {
            let _turn = reading.turn()?;
            receiver.recv().map_err(|_| PublishFailure::Cancelled)
        });
        let go = async { sender.send(7).unwrap() };
        let (read, ()) = tokio::join!(read, go);
        assert_eq!(read.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_reading_that_nobody_waits_for_takes_no_further_text() {
        let (begun, has_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        let reading = tokio::spawn(aside(Lie::InFiles, move |reading| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            end.send(reading.turn().is_err()).unwrap();
            Ok(())
        }));
        tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
        reading.abort();
        assert!(reading.await.is_err());
        go.send(()).unwrap();
        assert!(tokio::task::spawn_blocking(move || ended.recv()).await.unwrap().unwrap());
    }
}
