//! `rollcall publish`: a build's folder goes into a bucket, from a pipeline or a laptop.
//! Never needs a cluster, and never does anything that the upload engine does not do for the controller.

use std::path::Path;
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::BuildManifestSpec;
use crate::bucket::s3::{Credentials, S3Bucket, S3Settings};
use crate::cli::{OutputArg, PublishArgs};
use crate::clock::SystemClock;
use crate::manifest::Layout;
use crate::roles::RoleError;
use crate::source::folder::{self, Selection};
use crate::upload::{self, PARALLEL, Progress, Publish, Published, Publisher, Tools};

/// Publishes, and says what was done.
///
/// # Errors
/// Says what stands against it.
pub async fn run(args: PublishArgs, cancel: CancellationToken) -> Result<(), RoleError> {
    let (bucket, prefix) = target(&args.to)?;
    let settings = S3Settings {
        bucket,
        region: args.store.region.clone(),
        force_path_style: args.store.endpoint.is_some(),
        endpoint: args.store.endpoint.clone(),
        credentials: Credentials::Ambient,
    };
    let tools = Tools { bucket: Arc::new(S3Bucket::connect(&settings)?), clock: Arc::new(SystemClock), parallel: PARALLEL };
    let request = Publish {
        layout: Layout::new("", &prefix),
        release: args.release.clone(),
        version: args.version.clone(),
        names: BuildManifestSpec::default(),
        publisher: Publisher::Anybody,
        base_urls: Vec::new(),
    };
    let selection = Selection { include: patterns(&args.include)?, exclude: patterns(&args.exclude)?.unwrap_or_default() };
    let build = folder::read(Path::new(&args.folder), selection);
    let published = upload::publish(&tools, &request, build, &watch::Sender::new(Progress::default()), &cancel).await?;
    tell(&args, &published);
    Ok(())
}

/// Bucket and prefix of `s3://BUCKET/PREFIX/`.
pub(crate) fn target(to: &str) -> Result<(String, String), RoleError> {
    let wrong = || format!("--to {to:?}: expected s3://BUCKET/PREFIX/, the prefix ending with /");
    let (bucket, prefix) = to.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    if bucket.is_empty() || !(prefix.is_empty() || prefix.ends_with('/')) {
        Err(wrong().into())
    } else {
        Ok((bucket.into(), prefix.into()))
    }
}

fn patterns(typed: &[String]) -> Result<Option<GlobSet>, RoleError> {
    let mut set = GlobSetBuilder::new();
    for pattern in typed {
        set.add(Glob::new(pattern)?);
    }
    Ok(if typed.is_empty() { None } else { Some(set.build()?) })
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn tell(args: &PublishArgs, published: &Published) {
    let (record, progress) = (&published.record, &published.progress);
    match args.output {
        OutputArg::Text => println!(
            "published {} as {}: {} objects sent ({} bytes), {} were there already",
            record.version, record.digest, progress.objects_sent, progress.bytes_sent, progress.objects_reused
        ),
        OutputArg::Json => println!(
            "{}",
            json!({
                "version": record.version,
                "digest": record.digest,
                "files": record.files,
                "bytes": record.bytes,
                "objectsSent": progress.objects_sent,
                "objectsReused": progress.objects_reused,
                "bytesSent": progress.bytes_sent,
            })
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_bucket_and_a_prefix_that_ends_with_a_slash() {
        assert_eq!(target("s3://web/shop/").unwrap(), ("web".to_owned(), "shop/".to_owned()));
        assert_eq!(target("s3://web/").unwrap(), ("web".to_owned(), String::new()));
        for wrong in ["web/shop/", "s3://web", "s3:///shop/", "s3://web/shop"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
