//! Where a build goes: a bucket and a prefix, and how they are reached. Never makes a request.

use std::str::FromStr;

use crate::api::AssetStoreSpec;
use crate::api::store::{ReplicaSpec, WriteGuard};
use crate::bucket::s3::{Credentials, S3Settings};
use crate::cli::StoreArgs;
use crate::lint::{Host, HostRole, hosts_of};
use crate::manifest::Layout;

/// The limit of `spec.version`.
const VERSION_CHARS_MAX: usize = 128;

/// `s3://BUCKET/PREFIX/`; the prefix may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    /// Name of the bucket.
    pub bucket: String,
    /// What stands in front of every key; empty, or ends with `/`.
    pub prefix: String,
}

impl FromStr for BucketUrl {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("expected s3://BUCKET/PREFIX/: {why}");
        let rest = typed.strip_prefix("s3://").ok_or_else(|| wrong("it begins with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // A prefix without its last slash is what people type first.
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let KeyPrefix(prefix) = format!("{prefix}{slash}").parse().map_err(wrong)?;
        if bucket.is_empty() { Err(wrong("the name of the bucket is missing")) } else { Ok(Self { bucket: bucket.into(), prefix }) }
    }
}

/// A folder in a bucket, as AssetStores and AssetReleases may name it: empty, or ending with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(pub String);

impl FromStr for KeyPrefix {
    type Err = &'static str;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_inner);
        let is_prefix = typed.is_empty() || typed.strip_suffix('/').is_some_and(|names| names.split('/').all(is_name));
        if is_prefix {
            Ok(Self(typed.to_owned()))
        } else {
            Err("expected folder names of letters, digits, dots, hyphens and underscores, each followed by / and none starting with a dot")
        }
    }
}

/// The name of a version, as an AssetRelease may name it.
///
/// # Errors
/// Says what a name is.
pub fn version_label(typed: &str) -> Result<String, String> {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if (1..=VERSION_CHARS_MAX).contains(&typed.len()) && !typed.starts_with(['.', '+', '-']) && typed.bytes().all(is_label) {
        Ok(typed.to_owned())
    } else {
        Err(format!(
            "expected 1 to {VERSION_CHARS_MAX} letters, digits, dots, underscores, plus and hyphens, not beginning with a dot, plus or hyphen"
        ))
    }
}

/// How to reach a bucket, as typed.
fn settings(bucket: &str, store: &StoreArgs) -> S3Settings {
    S3Settings {
        bucket: bucket.to_owned(),
        region: store.region.clone(),
        force_path_style: store.path_style.unwrap_or(store.endpoint.is_some()),
        endpoint: store.endpoint.clone(),
        credentials: store.profile.clone().map_or(Credentials::Ambient, Credentials::Profile),
    }
}

/// A place for builds.
#[derive(Debug)]
pub struct Target {
    /// How its bucket is reached.
    pub settings: S3Settings,
    /// Where in it everything lies.
    pub layout: Layout,
    /// What keeps writers from each other's objects.
    pub guard: WriteGuard,
    /// URLs under which visitors find the prefix, as far as they are known.
    pub base_urls: Vec<String>,
    /// Hosts that visitors must not be sent to.
    pub(super) hosts: Vec<Host>,
}

impl Target {
    /// As typed, without a cluster.
    pub(super) fn typed(url: &BucketUrl, store: &StoreArgs) -> Self {
        let settings = settings(&url.bucket, store);
        let hosts = store.endpoint.as_deref().and_then(|endpoint| Host::of_url(HostRole::Endpoint, endpoint)).into_iter().collect();
        let (layout, guard) = (Layout::new("", &url.prefix), store.write_guard.map(WriteGuard::from).unwrap_or_default());
        Self { settings, layout, guard, base_urls: Vec::new(), hosts }
    }

    /// As an AssetStore says; what is typed goes before it.
    pub(super) fn of_store(spec: &AssetStoreSpec, prefix: &str, mut settings: S3Settings, typed: &StoreArgs) -> Self {
        if let Some(endpoint) = &typed.endpoint {
            settings.endpoint = Some(endpoint.clone());
        }
        settings.force_path_style = typed.path_style.unwrap_or(settings.force_path_style || typed.endpoint.is_some());
        Self {
            settings,
            layout: Layout::new(spec.bucket.prefix.as_deref().unwrap_or_default(), prefix),
            guard: typed.write_guard.map_or(spec.write_guard, WriteGuard::from),
            base_urls: vec![format!("{}{prefix}", spec.public_url)],
            hosts: hosts_of(spec),
        }
    }

    /// As an AssetStore says of one of its replicas.
    pub(super) fn of_replica(replica: &ReplicaSpec, prefix: &str, settings: S3Settings) -> Self {
        let layout = Layout::new(replica.bucket.prefix.as_deref().unwrap_or_default(), prefix);
        Self { settings, layout, guard: WriteGuard::Conditional, base_urls: Vec::new(), hosts: Vec::new() }
    }

    /// For messages: `prefix "shop/" of bucket "web"`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("prefix {:?} of bucket {:?}", self.layout.prefix(), self.settings.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_bucket_and_a_prefix_with_or_without_its_last_slash() {
        let url = |bucket: &str, prefix: &str| Ok(BucketUrl { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!("s3://web/shop/".parse(), url("web", "shop/"));
        assert_eq!("s3://web/".parse(), url("web", ""));
        assert_eq!("s3://web/shop".parse(), url("web", "shop/"), "typed without the last slash");
        assert_eq!("s3://web".parse(), url("web", ""));
        for wrong in [
            "web/shop/",
            "s3://",
            "s3:///shop/",
            "http://web/shop/",
            "s3://web//",
            "s3://web//shop/",
            "s3://web/a//b/",
            "s3://web/a b/",
            "s3://web/.rollcall/",
        ] {
            assert!(wrong.parse::<BucketUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_version_is_named_as_an_asset_release_may_name_it() {
        for good in ["v1", "2026.11.20-3", "1.0+b_7", "_x"] {
            assert_eq!(version_label(good), Ok(good.to_owned()));
        }
        for wrong in ["", ".x", "-x", "a/b", "a b", &"x".repeat(129)] {
            assert!(version_label(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_means_path_style_unless_told() {
        let store = |endpoint: Option<&str>, path_style, profile: Option<&str>| StoreArgs {
            endpoint: endpoint.map(Into::into),
            region: "us-east-1".into(),
            path_style,
            profile: profile.map(Into::into),
            write_guard: None,
        };
        let settings = |store: &StoreArgs| Target::typed(&"s3://web/".parse().unwrap(), store).settings;
        assert!(!settings(&store(None, None, None)).force_path_style);
        assert!(settings(&store(None, Some(true), None)).force_path_style);
        assert!(settings(&store(Some("http://minio"), None, None)).force_path_style);
        assert!(!settings(&store(Some("http://minio"), Some(false), None)).force_path_style);
        assert_eq!(settings(&store(None, None, None)).credentials, Credentials::Ambient);
        assert_eq!(settings(&store(None, None, Some("ci"))).credentials, Credentials::Profile("ci".into()));
    }
}
