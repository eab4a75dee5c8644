//! A source in memory, for tests: URLs with their files, and what goes wrong with them.
//! Never touches disk or network.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Allotment, Build, Source, SourceError, Wanted};

/// What a URL answers.
#[derive(Debug, Clone)]
enum Answer {
    Files(Vec<(String, Bytes)>),
    Fails(SourceError),
    Hangs,
}

/// A source whose builds are in memory. A URL that it does not know is [`SourceError::Unavailable`].
#[derive(Debug, Default)]
pub struct MemorySource {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: AtomicU64,
}

impl MemorySource {
    /// A source without builds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this URL has these files: path and bytes.
    pub fn put<P: Into<String>, B: Into<Bytes>>(&self, url: &str, files: impl IntoIterator<Item = (P, B)>) {
        let files = files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect();
        self.set(url, Answer::Files(files));
    }

    /// From now on this URL fails so.
    pub fn fail(&self, url: &str, error: SourceError) {
        self.set(url, Answer::Fails(error));
    }

    /// From now on this URL never answers.
    pub fn hang(&self, url: &str) {
        self.set(url, Answer::Hangs);
    }

    /// How often anybody asked for a build.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn set(&self, url: &str, answer: Answer) {
        self.answers.lock().expect("no holder of this lock panics").insert(url.to_owned(), answer);
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn fetch(&self, wanted: &Wanted, _space: &Allotment) -> Result<Build, SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().expect("no holder of this lock panics").get(&wanted.url).cloned();
        match answer {
            Some(Answer::Files(files)) => Ok(Build::in_memory(files)),
            Some(Answer::Fails(error)) => Err(error),
            Some(Answer::Hangs) => std::future::pending().await,
            None => Err(SourceError::Unavailable { url: wanted.shown_url(), cause: "there is no such build".to_owned() }),
        }
    }
}
