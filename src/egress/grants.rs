//! For whom the controller's own cloud identity may be used. Nobody, unless the operator says so.
//! Never an endpoint, a bucket or a key that no grant names: whoever may write an AssetStore chooses all three.

use std::str::FromStr;

use serde::Deserialize;

/// The operator's permission to use the ambient credentials. Empty lists and texts allow nothing by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AmbientGrant {
    /// Namespaces whose objects may use them.
    pub namespaces: Vec<String>,
    /// Name of the bucket.
    pub bucket: String,
    /// What keys must begin with: empty for the whole bucket, else ending with `/`.
    #[serde(default)]
    pub prefix: String,
    /// The endpoint that the requests may go to; empty for AWS itself, which no object can name otherwise than by a region.
    #[serde(default)]
    pub endpoint: String,
}

/// Not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a grant of ambient credentials: {cause}; expected JSON like {{\"namespaces\": [\"shop\"], \"bucket\": \"web-assets\", \"prefix\": \"shop/\"}}"
)]
pub struct InvalidGrant {
    given: String,
    cause: String,
}

impl FromStr for AmbientGrant {
    type Err = InvalidGrant;

    fn from_str(given: &str) -> Result<Self, InvalidGrant> {
        let invalid = |cause: String| InvalidGrant { given: given.to_owned(), cause };
        let grant: Self = serde_json::from_str(given).map_err(|error| invalid(error.to_string()))?;
        if grant.namespaces.is_empty() || grant.namespaces.iter().any(String::is_empty) || grant.bucket.is_empty() {
            return Err(invalid("namespaces and bucket must be named".to_owned()));
        }
        if !(grant.prefix.is_empty() || grant.prefix.ends_with('/')) || grant.prefix.starts_with('/') {
            return Err(invalid("the prefix must end with / and not begin with it".to_owned()));
        }
        Ok(grant)
    }
}

/// What a namespaced object wants to use them for.
#[derive(Debug, Clone, Copy)]
pub struct AmbientUse<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Its endpoint, if it names one.
    pub endpoint: Option<&'a str>,
    /// The bucket.
    pub bucket: &'a str,
    /// What all keys that are read or written begin with.
    pub prefix: &'a str,
}

impl AmbientUse<'_> {
    /// The grant that would cover this, as the chart's value has it.
    #[must_use]
    pub fn value(self) -> String {
        let text = |name: &str, value: &str| if value.is_empty() { String::new() } else { format!(", {name}: {value:?}") };
        let (prefix, endpoint) = (text("prefix", self.prefix), text("endpoint", self.endpoint.unwrap_or_default()));
        format!("{{namespaces: [{}], bucket: {}{prefix}{endpoint}}}", self.namespace, self.bucket)
    }
}

/// All grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AmbientGrants(pub Vec<AmbientGrant>);

impl AmbientGrants {
    /// Whether one of them covers this.
    #[must_use]
    pub fn cover(&self, asked: AmbientUse<'_>) -> bool {
        self.0.iter().any(|grant| {
            grant.namespaces.iter().any(|namespace| namespace == asked.namespace)
                && grant.bucket == asked.bucket
                && asked.prefix.starts_with(&grant.prefix)
                && trimmed(asked.endpoint.unwrap_or_default()) == trimmed(&grant.endpoint)
        })
    }
}

fn trimmed(endpoint: &str) -> &str {
    endpoint.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(grant: &str, namespace: &str, bucket: &str, prefix: &str, endpoint: Option<&str>) -> bool {
        AmbientGrants(vec![grant.parse().unwrap()]).cover(AmbientUse { namespace, endpoint, bucket, prefix })
    }

    #[test]
    fn nothing_is_granted_that_the_operator_did_not_name() {
        assert!(!AmbientGrants::default().cover(AmbientUse { namespace: "shop", endpoint: None, bucket: "web", prefix: "shop/" }));
        let aws = r#"{"namespaces": ["shop", "blog"], "bucket": "web", "prefix": "shop/"}"#;
        for (namespace, bucket, prefix, endpoint, expected) in [
            ("shop", "web", "shop/", None, true),
            ("blog", "web", "shop/admin/", None, true),
            ("other", "web", "shop/", None, false),
            ("shop", "web2", "shop/", None, false),
            ("shop", "web", "", None, false),
            ("shop", "web", "shop", None, false),
            ("shop", "web", "shop-evil/", None, false),
            ("shop", "web", "shop/", Some("https://evil.example.com"), false),
            ("shop", "web", "shop/", Some("https://s3.amazonaws.com"), false),
        ] {
            assert_eq!(cover(aws, namespace, bucket, prefix, endpoint), expected, "{namespace} {bucket} {prefix} {endpoint:?}");
        }
        let own = r#"{"namespaces": ["shop"], "bucket": "web", "endpoint": "https://minio.example.com/"}"#;
        assert!(cover(own, "shop", "web", "any/", Some("https://minio.example.com")));
        for other in
            [None, Some("http://minio.example.com"), Some("https://minio.example.com:9000"), Some("https://minio.example.com.evil.com")]
        {
            assert!(!cover(own, "shop", "web", "any/", other), "{other:?}");
        }
    }

    #[test]
    fn a_grant_that_is_not_complete_is_refused_at_the_start() {
        for bad in [
            "",
            "{}",
            r#"{"bucket": "web"}"#,
            r#"{"namespaces": [], "bucket": "web"}"#,
            r#"{"namespaces": [""], "bucket": "web"}"#,
            r#"{"namespaces": ["shop"], "bucket": ""}"#,
            r#"{"namespaces": ["shop"], "bucket": "web", "prefix": "shop"}"#,
            r#"{"namespaces": ["shop"], "bucket": "web", "prefix": "/"}"#,
            r#"{"namespaces": ["shop"], "bucket": "web", "prefx": "shop/"}"#,
        ] {
            assert!(bad.parse::<AmbientGrant>().is_err(), "{bad}");
        }
    }
}
