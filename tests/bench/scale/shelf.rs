//! The builds of all releases: published once, then copied into each prefix as they are, as a pipeline would have put them there.
//! Never writes what the store does not have already: the controller is to find records and objects that a publish has made.

use futures::{StreamExt, TryStreamExt, stream};
use rollcall::bucket::s3::{Credentials, S3Bucket, S3Settings};
use rollcall::bucket::{Attributes, Body, Bucket};

use crate::programs::{self, BUCKET, KEY, STORE};
use crate::{Failure, Given};

/// The prefix that the builds are published into.
const TEMPLATE: &str = "template/";

const PARALLEL: usize = 16;
const OBJECT_BYTES_MAX: u64 = 1024 * 1024;

/// Two versions of a page with one script, in each of these prefixes.
pub async fn fill(given: &Given, prefixes: &[String]) -> Result<(), Failure> {
    for version in ["v1", "v2"] {
        let folder = given.scratch.join(format!("build-{version}"));
        std::fs::create_dir_all(folder.join("assets"))?;
        let script = format!("assets/app-{version}aaaaaa.js");
        std::fs::write(folder.join("index.html"), format!("<script src=\"/{script}\"></script>\n"))?;
        std::fs::write(folder.join(script), format!("document.title = \"{version}\";\n"))?;
        programs::publish(given, &folder, TEMPLATE, version)?;
    }
    let bucket = open()?;
    let objects = read(&bucket).await?;
    let of_prefix = |prefix: &String| objects.iter().map(|object| (format!("{prefix}{}", object.below), object)).collect::<Vec<_>>();
    let all = prefixes.iter().flat_map(of_prefix).map(|(key, object)| create(&bucket, key, object));
    stream::iter(all).buffer_unordered(PARALLEL).try_collect().await
}

fn open() -> Result<S3Bucket, Failure> {
    let credentials = Credentials::Static { access_key_id: KEY[0].into(), secret_access_key: KEY[1].into(), session_token: None };
    Ok(S3Bucket::connect(&S3Settings {
        bucket: BUCKET.into(),
        region: "us-east-1".into(),
        endpoint: Some(format!("http://{STORE}")),
        force_path_style: true,
        credentials,
    })?)
}

struct Object {
    below: String,
    bytes: bytes::Bytes,
    attributes: Attributes,
}

/// All that the publishes have left but what they tried the store out with and the claim, which names no release.
async fn read(bucket: &S3Bucket) -> Result<Vec<Object>, Failure> {
    let mut objects = Vec::new();
    for listed in bucket.list(TEMPLATE, None).await?.objects {
        let below = listed.key.strip_prefix(TEMPLATE).unwrap_or_default().to_owned();
        let is_build = !below.starts_with(".rollcall/")
            || [".rollcall/manifests/", ".rollcall/versions/", ".rollcall/entries/"].iter().any(|kept| below.starts_with(kept));
        if !is_build {
            continue;
        }
        let stored = bucket.head(&listed.key).await?.ok_or("an object is gone")?;
        let bytes = bucket.get(&listed.key, OBJECT_BYTES_MAX).await?.ok_or("an object is gone")?;
        let attributes = Attributes {
            content_type: stored.content_type.unwrap_or_default(),
            cache_control: stored.cache_control.unwrap_or_default(),
            content_encoding: None,
            sha256: rollcall::api::ContentHash::of(&bytes),
            writer: stored.writer,
            sequence: None,
        };
        objects.push(Object { below, bytes, attributes });
    }
    Ok(objects)
}

async fn create(bucket: &S3Bucket, key: String, object: &Object) -> Result<(), Failure> {
    bucket.create(&key, Body::Bytes(object.bytes.clone()), &object.attributes).await?;
    Ok(())
}
