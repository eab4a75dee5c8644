//! What stands between one controller and the API server: it writes down every request, and holds one on its way.
//! Never loses a request: what arrived here is carried out, whatever has become of its sender.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kube::Client;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// One request that was answered.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) code: u16,
    pub(super) at: Instant,
}

impl Line {
    pub(super) fn writes_more_than_the_lease(&self) -> bool {
        self.method != Method::GET && !self.path.contains("/leases")
    }
}

/// The nth write whose path contains a text, on its way.
pub(super) struct Held {
    /// It has arrived here.
    pub(super) reached: oneshot::Receiver<()>,
    /// Lets it go on.
    pub(super) release: oneshot::Sender<()>,
    /// What the API server answered.
    pub(super) answered: oneshot::Receiver<u16>,
}

struct Armed {
    place: String,
    left: usize,
    reached: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
    answered: oneshot::Sender<u16>,
}

/// One controller's way.
#[derive(Clone)]
pub(super) struct Proxy {
    client: Client,
    armed: Arc<Mutex<Option<Armed>>>,
    lines: Arc<Mutex<Vec<Line>>>,
    pub(super) port: u16,
}

impl Proxy {
    /// Carries requests to the API server in the name of this client's user.
    pub(super) async fn start(client: Client) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { client, armed: Arc::default(), lines: Arc::default(), port };
        let router = Router::new().fallback(carry).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        proxy
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    pub(super) fn hold(&self, place: &str, nth: usize) -> Held {
        let (reached_in, reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let (answered_in, answered) = oneshot::channel();
        let armed = Armed { place: place.to_owned(), left: nth, reached: reached_in, released, answered: answered_in };
        *self.armed.lock().unwrap() = Some(armed);
        Held { reached, release, answered }
    }

    fn take_armed(&self, request: &Request) -> Option<Armed> {
        let mut armed = self.armed.lock().unwrap();
        let waiting = armed.as_mut().filter(|armed| *request.method() != Method::GET && request.uri().path().contains(&armed.place))?;
        waiting.left -= 1;
        if waiting.left == 0 { armed.take() } else { None }
    }

    async fn forward(self, request: Request) -> Response {
        let armed = self.take_armed(&request);
        let answered = match armed {
            None => None,
            Some(armed) => {
                armed.reached.send(()).unwrap();
                armed.released.await.unwrap();
                Some(armed.answered)
            }
        };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.ask(request).await;
        let code = response.status().as_u16();
        self.lines.lock().unwrap().push(Line { method, path, code, at: Instant::now() });
        if let Some(answered) = answered {
            answered.send(code).unwrap();
        }
        response
    }

    async fn ask(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, 16 << 20).await.unwrap();
        let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
        let mut asked = http::Request::builder().method(parts.method).uri(path);
        for name in [header::CONTENT_TYPE, header::ACCEPT, HeaderName::from_static("user-agent")] {
            if let Some(value) = parts.headers.get(&name) {
                asked = asked.header(name, value);
            }
        }
        match self.client.send(asked.body(kube::client::Body::from(bytes.to_vec())).unwrap()).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                let mut response = Response::new(Body::new(body));
                *response.status_mut() = parts.status;
                if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
                    response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                }
                response
            }
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

async fn carry(State(proxy): State<Proxy>, request: Request) -> Response {
    tokio::spawn(proxy.forward(request)).await.unwrap()
}
