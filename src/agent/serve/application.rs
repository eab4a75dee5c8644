//! What the application beside the agent renders with, as it says itself.
//! Never guesses: an application that cannot be asked renders with nothing that is known.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::agent::catalogue::Catalogue;
use crate::agent::core::Event;
use crate::api::ManifestDigest;

/// Between two questions: a flip is seen to have converged within this time.
const EVERY: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// One lost answer is an accident; three in a row are an application that restarts, perhaps with another version.
const FAILURES_MAX: u32 = 3;

/// `{"digest": "sha256:…"}` or `{"version": "…"}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Confirmation {
    /// The digest, as in `Rollcall-Digest` of the name map's answer.
    Digest(ManifestDigest),
    /// The version's label.
    Version(String),
}

/// The digest that is meant; `None` for a label that no known version has.
pub(super) fn digest_of(confirmation: &Confirmation, catalogue: &Catalogue) -> Option<ManifestDigest> {
    match confirmation {
        Confirmation::Digest(digest) => Some(digest.clone()),
        Confirmation::Version(version) => catalogue.digest_of(version).cloned(),
    }
}

/// Asks the application again and again until nobody listens any more.
pub(in crate::agent) async fn poll(url: String, catalogue: watch::Receiver<Arc<Catalogue>>, events: mpsc::Sender<Event>) {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none()).build();
    let client = client.expect("a client without TLS files can always be built");
    let mut failures = 0;
    let mut told = None;
    loop {
        let digest = match ask(&client, &url).await {
            Some(confirmation) => digest_of(&confirmation, &catalogue.borrow()),
            None => None,
        };
        failures = if digest.is_some() { 0 } else { failures + 1 };
        if (digest.is_some() || failures >= FAILURES_MAX) && told != Some(digest.clone()) {
            told = Some(digest.clone());
            if events.send(Event::Confirmed { digest }).await.is_err() {
                return;
            }
        }
        sleep(EVERY).await;
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Option<Confirmation> {
    client.get(url).send().await.ok()?.error_for_status().ok()?.json().await.ok()
}
