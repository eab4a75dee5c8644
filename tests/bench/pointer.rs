//! A client that watches the pointer and notes when it saw what.

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use rollcall::api::Pointer;
use rollcall::api::names::POINTER_KEY;
use rollcall::cluster::streams::events;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout};

use crate::Failure;
use crate::objects::{NAMESPACE, POINTER};

/// Nothing here takes longer unless something is broken.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A pointer and when its event arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub pointer: Pointer,
}

/// A watch over a connection of its own.
pub struct PointerWatch(watch::Receiver<Option<Seen>>);

impl PointerWatch {
    /// Begins to watch with this client, which nobody else uses.
    pub fn begin(client: Client) -> Self {
        let (seen, receiver) = watch::channel(None);
        let config = watcher::Config::default().fields(&format!("metadata.name={POINTER}"));
        tokio::spawn(events::<ConfigMap>(Api::namespaced(client, NAMESPACE), config).for_each(move |event| {
            let at = Instant::now();
            if let Some(pointer) = pointer_of(event) {
                seen.send_replace(Some(Seen { at, pointer }));
            }
            std::future::ready(())
        }));
        Self(receiver)
    }

    /// The first pointer from now on of which `wanted` is true.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Pointer) -> bool) -> Result<Seen, Failure> {
        let found = self.0.wait_for(|seen| seen.as_ref().is_some_and(|seen| wanted(&seen.pointer)));
        let Ok(seen) = timeout(WAIT_MAX, found).await.map(|seen| seen.map(|seen| seen.clone())) else {
            return Err(format!("the pointer stays as it is: {:?}", self.0.borrow().as_ref().map(|seen| &seen.pointer)).into());
        };
        Ok(seen?.ok_or("no pointer")?)
    }
}

fn pointer_of(event: watcher::Event<ConfigMap>) -> Option<Pointer> {
    let (watcher::Event::Apply(config_map) | watcher::Event::InitApply(config_map)) = event else { return None };
    Pointer::parse(config_map.data?.get(POINTER_KEY)?).ok()
}
