//! How a bucket is reached, checked. Never shows a secret in its debug form.

use std::fmt;

use crate::api::store::BucketSpec;
use crate::bucket::BucketError;

/// How to reach one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Region of the bucket; stores that have no regions accept any.
    pub region: String,
    /// URL of the store's S3 API when it is not AWS: `http(s)://host[:port][/path]`.
    pub endpoint: Option<String>,
    /// The bucket's name stands in the path, not in the host name.
    pub force_path_style: bool,
    /// Who writes.
    pub credentials: Credentials,
}

impl S3Settings {
    /// The bucket that an AssetStore, a replica or a source names.
    #[must_use]
    pub fn at(bucket: &BucketSpec, credentials: Credentials) -> Self {
        Self {
            bucket: bucket.name.clone(),
            region: bucket.region.clone(),
            endpoint: bucket.endpoint.clone(),
            force_path_style: bucket.force_path_style,
            credentials,
        }
    }
}

/// Who writes.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// These keys.
    Static {
        /// Access key id.
        access_key_id: String,
        /// Secret access key.
        secret_access_key: String,
        /// Session token of temporary keys.
        session_token: Option<String>,
    },
    /// What the process finds around it: environment variables, web identity (IRSA), EKS Pod Identity; never the instance metadata service.
    Ambient,
    /// A profile of the user's `~/.aws` files; for people and pipelines, never for the controller.
    Profile(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(..)"),
            Self::Ambient => f.write_str("Ambient"),
            Self::Profile(name) => write!(f, "Profile({name:?})"),
        }
    }
}

impl Credentials {
    /// The keys that a Secret of an AssetStore holds; `text` answers what stands under a name of it.
    ///
    /// # Errors
    /// The name of a key that is missing or empty.
    pub fn of_keys(text: impl Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        let required = |key: &'static str| text(key).filter(|text| !text.is_empty()).ok_or(key);
        Ok(Self::Static {
            access_key_id: required("accessKeyId")?,
            secret_access_key: required("secretAccessKey")?,
            session_token: text("sessionToken"),
        })
    }
}

impl S3Settings {
    /// Refuses an endpoint that is not one, or that carries a password: endpoints are shown in errors.
    pub(super) fn check(&self) -> Result<(), BucketError> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let fault = match url::Url::parse(endpoint) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "it begins with neither http:// nor https://".to_owned(),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "it carries a user name or password".to_owned(),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "it has a query or a fragment".to_owned(),
            Ok(_) => return Ok(()),
        };
        Err(BucketError::Refused { operation: "connect", key: self.bucket.clone(), cause: format!("the endpoint is not one: {fault}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> S3Settings {
        let credentials = Credentials::Static {
            access_key_id: "AKID".to_owned(),
            secret_access_key: "very-secret".to_owned(),
            session_token: Some("token-secret".to_owned()),
        };
        let (bucket, region) = ("web".to_owned(), "us-east-1".to_owned());
        S3Settings { bucket, region, endpoint: Some(endpoint.to_owned()), force_path_style: true, credentials }
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_credentials() {
        for good in ["http://127.0.0.1:9000", "https://s3.example.com", "http://gateway/s3/"] {
            assert_eq!(settings(good).check(), Ok(()), "{good}");
        }
        for bad in ["", "minio:9000", "ftp://minio", "http://me:pw@minio", "http://me@minio", "http://minio?x=1", "http://minio#x"] {
            let error = settings(bad).check().expect_err(bad);
            assert!(!error.to_string().contains("pw"), "{error}");
        }
    }

    #[test]
    fn the_debug_form_has_no_secret() {
        let shown = format!("{:?}", settings("http://minio"));
        assert!(!shown.contains("secret") || !shown.contains("very-secret"), "{shown}");
        assert!(!shown.contains("token-secret") && !shown.contains("AKID"), "{shown}");
    }
}
