//! What the application beside the agent renders with, as it says itself.
//! Never guesses: an application that cannot be asked renders with nothing that is known.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::agent::catalogue::Catalogue;
use crate::agent::core::{Event, Rendered};
use crate::api::ManifestDigest;
use crate::api::pointer::NUMBER_MAX;

/// Longest confirmation that is read: a digest or a version's label, a number, and what JSON puts around them.
pub(super) const CONFIRMATION_BYTES_MAX: usize = 4096;
/// Between two questions: a flip is seen to have converged within this time.
const EVERY: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// One lost answer is an accident; three in a row are an application that restarts, perhaps with another version.
const FAILURES_MAX: u32 = 3;

/// `{"digest": "sha256:…"}` or `{"version": "…"}`, each with `"sequence": …` where the application knows the flip. Fields that are not known
/// here are ignored.
#[derive(Debug, Deserialize)]
struct Confirmation {
    /// The digest, as in `Rollcall-Digest` of the name map's answer.
    digest: Option<ManifestDigest>,
    /// The version's label.
    version: Option<String>,
    /// The flip, as in `Rollcall-Sequence` of that answer.
    sequence: Option<i64>,
}

/// Why a confirmation is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotConfirmed {
    /// It is not of this form.
    Malformed,
    /// No version of that name is known here.
    Unknown,
}

/// What the application says with this document.
pub(super) fn rendered(document: &[u8], catalogue: &Catalogue) -> Result<Rendered, NotConfirmed> {
    let confirmation: Confirmation = serde_json::from_slice(document).map_err(|_| NotConfirmed::Malformed)?;
    let sequence = confirmation.sequence;
    if sequence.is_some_and(|sequence| !(0..=NUMBER_MAX).contains(&sequence)) {
        return Err(NotConfirmed::Malformed);
    }
    let digest = match (confirmation.digest, confirmation.version) {
        (Some(digest), None) => digest,
        (None, Some(version)) => catalogue.digest_of(&version).cloned().ok_or(NotConfirmed::Unknown)?,
        (Some(_), Some(_)) | (None, None) => return Err(NotConfirmed::Malformed),
    };
    Ok(Rendered { digest, sequence })
}

/// Asks the application again and again until nobody listens any more.
pub(in crate::agent) async fn poll(url: String, catalogue: watch::Receiver<Arc<Catalogue>>, events: mpsc::Sender<Event>) {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none()).build();
    let client = client.expect("a client without TLS files can always be built");
    let mut failures = 0;
    let mut told = None;
    loop {
        let rendered = match ask(&client, &url).await {
            Some(document) => rendered(&document, &catalogue.borrow()).ok(),
            None => None,
        };
        failures = if rendered.is_some() { 0 } else { failures + 1 };
        if (rendered.is_some() || failures >= FAILURES_MAX) && told != Some(rendered.clone()) {
            told = Some(rendered.clone());
            if events.send(Event::Confirmed { rendered }).await.is_err() {
                return;
            }
        }
        sleep(EVERY).await;
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Option<Vec<u8>> {
    let mut response = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut document = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if document.len() + piece.len() > CONFIRMATION_BYTES_MAX {
            return None;
        }
        document.extend_from_slice(&piece);
    }
    Some(document)
}
