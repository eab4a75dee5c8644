//! The real s3s-fs 0.14 on loopback: it keeps `If-None-Match` and `If-Match` for one writer, and checks before it writes. Its listings have no
//! tokens either.

use rollcall::bucket::probe::Probe as _;
use rollcall::bucket::s3::S3Bucket;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;

use crate::bucket_contract::over_s3::Server;

/// A race is lost now and then: so many trials find it surely.
const TRIALS: usize = 8;

pub struct S3sFs {
    endpoint: String,
    _data: TempDir,
}

impl S3sFs {
    pub async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(data.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("any", "any-secret"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(builder.build());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, _data: data }
    }

    pub fn server(&self) -> Server<'_> {
        Server { endpoint: &self.endpoint, access_key_id: "any", secret_access_key: "any-secret" }
    }
}

async fn answer(
    axum::extract::State(service): axum::extract::State<S3Service>,
    request: axum::extract::Request,
) -> axum::response::Response {
    service.call(request.map(s3s::Body::http_body_unsync)).await.unwrap().map(axum::body::Body::new)
}

// I3, I5
#[tokio::test(flavor = "multi_thread")]
async fn the_real_s3s_fs_is_found_out_by_the_race() {
    let store = S3sFs::start().await;
    store.server().client().create_bucket().bucket("contract").send().await.unwrap();
    let bucket = S3Bucket::connect(&store.server().settings("contract")).unwrap();
    let mut refused = 0;
    for _ in 0..TRIALS {
        let found = bucket.probe("site/").await.unwrap();
        let seen = format!("{} {}", found.create_only.evidence, found.conditional_replace.evidence);
        let objection = found.objection().expect("its listings have no tokens, whoever wins the races");
        refused += usize::from(objection.to_string().contains("of one key at once"));
        assert!(!seen.contains("the condition was ignored"), "for one writer it keeps its conditions: {seen}");
    }
    assert!(refused > 0, "in {TRIALS} trials nobody was seen to win a race twice");
}
