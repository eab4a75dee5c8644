//! Tells the pace when the store asks for less, whatever was asked of it: a part of a large object, a HEAD, a try of the SDK's own.
//! Counts the writes that the SDK sends again without having been answered.
//! Never decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::pace::Pace;

/// Looks at every answer that the SDK gets.
#[derive(Debug)]
pub(super) struct Slower {
    pub(super) pace: Arc<Pace>,
    pub(super) repeated: Arc<AtomicU64>,
}

/// A try of a call.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Duration,
    is_answered: bool,
}

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Slower {
    fn name(&self) -> &'static str {
        "Slower"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_read = matches!(context.request().method(), "GET" | "HEAD");
        if !is_read && bag.load::<Sent>().is_some_and(|before| !before.is_answered) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        bag.interceptor_state().store_put(Sent { at: self.pace.now(), is_answered: false });
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (status, Some(&sent)) = (context.response().status().as_u16(), bag.load::<Sent>()) else { return Ok(()) };
        if matches!(status, 429 | 503) {
            self.pace.turned_away(sent.at);
        }
        // Any other 5xx is a proxy's word as a rule: what stands behind it may be at it still.
        if matches!(status, ..500 | 503) {
            bag.interceptor_state().store_put(Sent { is_answered: true, ..sent });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::api::ContentHash;
    use crate::bucket::s3::{Credentials, S3Bucket, S3Settings};
    use crate::bucket::{Attributes, Body, Bucket as _, BucketError, Created};

    /// Has nothing, and takes nothing.
    async fn busy_store() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut read = vec![0; 64 * 1024];
                let length = client.read(&mut read).await.unwrap();
                let status = if read[..length].starts_with(b"HEAD") { "404 Not Found" } else { "503 Slow Down" };
                client.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.ok();
                while client.read(&mut read).await.is_ok_and(|length| length > 0) {}
            }
        });
        endpoint
    }

    /// Answers no first PUT, and takes the next.
    async fn forgetful_store() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut has_forgotten = false;
            while let Ok((mut client, _)) = listener.accept().await {
                let mut read = vec![0; 64 * 1024];
                let length = client.read(&mut read).await.unwrap();
                let is_put = read[..length].starts_with(b"PUT");
                if is_put && !std::mem::replace(&mut has_forgotten, true) {
                    continue;
                }
                let status = if is_put { "200 OK\r\netag: \"1\"" } else { "404 Not Found" };
                client.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.ok();
                while client.read(&mut read).await.is_ok_and(|length| length > 0) {}
            }
        });
        endpoint
    }

    fn bucket_at(endpoint: String) -> S3Bucket {
        let credentials =
            Credentials::Static { access_key_id: "id".to_owned(), secret_access_key: "secret".to_owned(), session_token: None };
        let (endpoint, region) = (Some(endpoint), "us-east-1".to_owned());
        S3Bucket::connect(&S3Settings { bucket: "web".to_owned(), region, endpoint, force_path_style: true, credentials }).unwrap()
    }

    async fn create(bucket: &S3Bucket, length: usize) -> Result<Created, BucketError> {
        let bytes = vec![7; length];
        let attributes = Attributes {
            content_type: "video/mp4".to_owned(),
            cache_control: "no-cache".to_owned(),
            content_encoding: None,
            sha256: ContentHash::of(&bytes),
            writer: None,
            sequence: None,
        };
        bucket.create("a.mp4", Body::Bytes(bytes.into()), &attributes).await
    }

    #[tokio::test]
    async fn large_bodies_that_are_turned_away_slow_the_pace() {
        let bucket = bucket_at(busy_store().await);
        let before = bucket.pace.limit();
        let ended = create(&bucket, 300 * 1024).await;
        assert!(matches!(ended, Err(BucketError::Unavailable { .. })), "{ended:?}");
        assert!(bucket.pace.limit() <= before / 8.0, "each of the SDK's three tries says so: {}", bucket.pace.limit());
        assert_eq!(bucket.repeated(), 0, "who is turned away was answered");
    }

    #[tokio::test]
    async fn writes_that_were_sent_again_without_an_answer_are_counted() {
        for length in [300 * 1024, 1024] {
            let bucket = bucket_at(forgetful_store().await);
            assert_eq!(create(&bucket, length).await, Ok(Created::New));
            assert_eq!(bucket.repeated(), 1, "{length} bytes");
        }
    }
}
