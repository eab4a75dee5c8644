//! Tells the pace when the store asks for less, whatever was asked of it: a part of a large object, a HEAD, a try of the SDK's own.
//! Never decides anything.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::pace::Pace;

/// Looks at every answer that the SDK gets.
#[derive(Debug)]
pub(super) struct Slower(pub(super) Arc<Pace>);

/// When a try was sent.
#[derive(Debug, Clone, Copy)]
struct SentAt(Duration);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Slower {
    fn name(&self) -> &'static str {
        "Slower"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(self.0.now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (429 | 503, Some(SentAt(sent))) = (context.response().status().as_u16(), bag.load::<SentAt>()) {
            self.0.turned_away(*sent);
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
    use crate::bucket::{Attributes, Body, Bucket as _, BucketError};

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

    #[tokio::test]
    async fn large_bodies_that_are_turned_away_slow_the_pace() {
        let credentials =
            Credentials::Static { access_key_id: "id".to_owned(), secret_access_key: "secret".to_owned(), session_token: None };
        let (endpoint, region) = (Some(busy_store().await), "us-east-1".to_owned());
        let settings = S3Settings { bucket: "web".to_owned(), region, endpoint, force_path_style: true, credentials };
        let bucket = S3Bucket::connect(&settings).unwrap();
        let before = bucket.pace.limit();
        let bytes = vec![7; 300 * 1024];
        let attributes = Attributes {
            content_type: "video/mp4".to_owned(),
            cache_control: "no-cache".to_owned(),
            content_encoding: None,
            sha256: ContentHash::of(&bytes),
            writer: None,
            sequence: None,
        };
        let ended = bucket.create("a.mp4", Body::Bytes(bytes.into()), &attributes).await;
        assert!(matches!(ended, Err(BucketError::Unavailable { .. })), "{ended:?}");
        assert!(bucket.pace.limit() <= before / 8.0, "each of the SDK's three tries says so: {}", bucket.pace.limit());
    }
}
