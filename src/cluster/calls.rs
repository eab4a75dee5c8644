//! One bounded call to the API server and what its failure means.
//! Never retries: whoever asked looks again, because a repeated write may meet its own first success.

use std::future::Future;
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use crate::api::recreated::is_of_another_object;

/// Longest time that one call may take. A call that hangs holds a reconcile slot; the API server itself cuts requests at 60 s.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// What kind of failure it is; `controller::retry` turns it into a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It may work the next time.
    Transient,
    /// We may not; somebody has to change rights or credentials.
    Denied,
    /// The request can never work as it is.
    Invalid,
    /// Something else was there than expected: look again.
    Conflict,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {cause}")]
pub struct CallError {
    /// What was asked, for example `get ConfigMap shop/pointer`.
    pub call: String,
    /// What kind of failure it is.
    pub class: Class,
    /// What was seen.
    pub cause: String,
    /// HTTP status, if there was an answer.
    pub code: Option<u16>,
}

impl CallError {
    fn of(call: String, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let class = if is_of_another_object(status) { Class::Conflict } else { class(status.code) };
                Self { call, class, cause: status.message.clone(), code: Some(status.code) }
            }
            kube::Error::SerdeError(cause) => Self { call, class: Class::Invalid, cause: cause.to_string(), code: None },
            other => Self { call, class: Class::Transient, cause: with_sources(other), code: None },
        }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code == Some(404)
    }
}

/// The outermost error of the client says little; the innermost says why.
fn with_sources(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn class(code: u16) -> Class {
    match code {
        401 | 403 => Class::Denied,
        409 => Class::Conflict,
        // 410 is a continue token that has expired: the listing begins anew.
        400 | 404..=408 | 411..=428 => Class::Invalid,
        _ => Class::Transient,
    }
}

/// Objects of one page of a listing. etcd holds 1.5 MiB for each, of which the answer, its text and its objects are in memory at once.
pub const PAGE: u32 = 10;

/// A call about to be made.
#[derive(Debug, Clone)]
pub struct Call(String);

impl Call {
    /// Names the call: verb, kind, `namespace/name`.
    #[must_use]
    pub fn new(verb: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self(format!("{verb} {kind} {namespace}/{name}"))
    }

    /// Makes it, within [`CALL_TIME_MAX`].
    pub async fn make<T>(self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        match tokio::time::timeout(CALL_TIME_MAX, request).await {
            Ok(answer) => answer.map_err(|error| CallError::of(self.0, &error)),
            Err(_) => {
                let cause = format!("no answer within {} s", CALL_TIME_MAX.as_secs());
                Err(CallError { call: self.0, class: Class::Transient, cause, code: None })
            }
        }
    }

    /// Makes a listing, page by page; each is a call of its own. What `kept` does not keep of a page is gone with the page: whoever may write the
    /// objects may fill each with 1.5 MiB.
    pub async fn list<K, T>(self, api: &Api<K>, kept: impl Fn(K) -> T) -> Result<Vec<T>, CallError>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        Ok(self.list_at(api, ListParams::default().limit(PAGE), kept).await?.0)
    }

    /// The same with a selector and pages of another size, and with the resource version at which all of it was so.
    pub async fn list_at<K, T>(self, api: &Api<K>, mut params: ListParams, kept: impl Fn(K) -> T) -> Result<(Vec<T>, String), CallError>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let mut all = Vec::new();
        loop {
            let page = self.clone().make(api.list(&params)).await?;
            all.extend(page.items.into_iter().map(&kept));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((all, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Makes a read for which "not there" is an answer.
    pub async fn find<T>(self, request: impl Future<Output = kube::Result<Option<T>>>) -> Result<Option<T>, CallError> {
        self.make(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends() {
        let error = Call::new("get", "ConfigMap", "shop", "pointer").make(std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
        assert_eq!(error.to_string(), "get ConfigMap shop/pointer failed: no answer within 10 s");
    }

    /// A wrong UID without a resource version is a 422, and yet a lost race; a field that is wrong is none.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_means_another_object_of_the_name_is_a_lost_race() {
        use crate::clock::TokioClock;
        use crate::testing::apiserver::ApiServer;
        use k8s_openapi::api::core::v1::ConfigMap;
        use kube::api::{Api, Patch, PatchParams};
        use serde_json::json;

        let clock = std::sync::Arc::new(TokioClock::starting_at(jiff::Timestamp::UNIX_EPOCH));
        let server = ApiServer::new(clock, 1);
        let config_map = |uid: serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop", "uid": uid}});
        server.create("user", &config_map(json!(null))).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(server.client("test"), "shop");
        let (body, apply) = (config_map(json!("gone")), PatchParams::apply("rollcall").force());
        let call = || Call::new("apply", "ConfigMap", "shop", "x");
        let meant = call().make(maps.patch("x", &apply, &Patch::Apply(&body))).await.unwrap_err();
        assert_eq!((meant.class, meant.code), (Class::Conflict, Some(422)), "{meant}");
        let unmanaged = call().make(maps.patch("x", &PatchParams::default(), &Patch::Apply(&body))).await.unwrap_err();
        assert_eq!((unmanaged.class, unmanaged.code), (Class::Invalid, Some(422)), "{unmanaged}");
    }

    #[test]
    fn statuses_are_told_apart_by_what_can_be_done() {
        assert_eq!(class(403), Class::Denied);
        assert_eq!(class(409), Class::Conflict);
        assert_eq!((class(422), class(410)), (Class::Invalid, Class::Transient));
        assert!([429, 500, 503, 504].into_iter().all(|code| class(code) == Class::Transient));
    }

    /// Two hundred objects of 256 KiB in one answer, asked for by four passes at once, were 600 MB.
    #[tokio::test]
    async fn a_listing_is_asked_for_in_small_pages() {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let counted = asked.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let (name, token) = if query.contains("continue=more") { ("b", "") } else { ("a", "more") };
            counted.lock().unwrap().push(query);
            let page = format!(
                r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"1","continue":"{token}"}},"items":[{{"metadata":{{"name":"{name}"}}}}]}}"#
            );
            let answer = http::Response::new(http_body_util::Full::new(bytes::Bytes::from(page)));
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let api: Api<ConfigMap> = Api::namespaced(kube::Client::new(service, "default"), "shop");
        let names = Call::new("list", "ConfigMap", "shop", "").list(&api, |map: ConfigMap| map.name_any()).await.unwrap();
        assert_eq!(names, ["a", "b"]);
        let asked = asked.lock().unwrap();
        assert!(asked.len() == 2 && asked.iter().all(|query| query.contains("limit=10")), "{asked:?}");
    }
}
