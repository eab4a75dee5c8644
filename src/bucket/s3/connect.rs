//! Settings -> SDK client: timeouts, retries, credentials, one connection pool.
//! Never asks the instance metadata service and never takes an endpoint from the environment; reads profile files only when
//! a profile was named.

use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::settings::{Credentials, S3Settings};
use super::slower::Slower;
use super::transport::Transport;
use crate::egress::Egress;

/// What one attempt may take besides moving the body. S3's own tail for small requests is a few seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The slowest body that still counts as moving: 256 uploads that share a line of 256 Mbit/s.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;

/// Loaded stores go silent for longer than the SDK's 20 s while they write a large body.
const STALL_GRACE: Duration = Duration::from_secs(60);

/// The SDK's attempts for one call: beyond that the caller's own backoff decides.
const ATTEMPTS_MAX: u32 = 3;

/// What reaches one bucket.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Who the client says it is.
    pub(super) credentials: SharedCredentialsProvider,
    /// The client's own connections, for requests that go past it. A second pool would hold a second set of root certificates.
    pub(super) connector: SharedHttpConnector,
}

/// Prepares the connection to one bucket; sends nothing yet.
pub(super) fn connection(settings: &S3Settings, egress: &Egress, slower: Slower) -> Connection {
    let transport = Transport::through(egress);
    let credentials = credentials(settings);
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(settings.region.clone()))
        .force_path_style(settings.force_path_style)
        .credentials_provider(credentials.clone())
        .http_client(transport.clone().sdk_client())
        .interceptor(slower)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        // The SDK's default budget of retries is shared by region: one broken store must not use up another's.
        .retry_partition(RetryPartition::custom("rollcall-bucket").build())
        .timeout_config(timeouts(0))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
        // We send SHA-256 ourselves; the SDK's own choice breaks several stores that are not AWS.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Connection { client: Client::from_conf(config.build()), credentials, connector: transport.connector() }
}

/// Timeouts for a call that moves `bytes`.
pub(super) fn timeouts(bytes: u64) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(patience(bytes)).build()
}

/// How long moving `bytes` may take.
pub(super) fn patience(bytes: u64) -> Duration {
    ATTEMPT_TIMEOUT + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

fn credentials(settings: &S3Settings) -> SharedCredentialsProvider {
    match &settings.credentials {
        Credentials::Static { access_key_id, secret_access_key, session_token } => SharedCredentialsProvider::new(
            aws_credential_types::Credentials::new(access_key_id, secret_access_key, session_token.clone(), None, "AssetStore"),
        ),
        Credentials::Ambient => SharedCredentialsProvider::new(ambient(&settings.region)),
        Credentials::Profile(name) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder().configure(&provider_config(&settings.region)).profile_name(name).build(),
        ),
    }
}

/// The SDK's default chain without profile files and without the instance metadata service, whose role is the node's, not ours.
fn ambient(region: &str) -> CredentialsProviderChain {
    let config = provider_config(region);
    CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("WebIdentityToken", WebIdentityTokenCredentialsProvider::builder().configure(&config).build())
        .or_else("PodIdentity", EcsCredentialsProvider::builder().configure(&config).build())
}

/// Over connections of its own: the endpoints of STS and of EKS Pod Identity (169.254.170.23) are named by the process's environment, never
/// by an object of the cluster, and are not public.
fn provider_config(region: &str) -> ProviderConfig {
    let http: SharedHttpClient = Transport::through(&Egress::unrestricted()).sdk_client();
    ProviderConfig::without_region()
        .with_region(Some(Region::new(region.to_owned())))
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_gets_more_time_than_a_small_one() {
        assert_eq!(patience(0), Duration::from_secs(30));
        assert_eq!(patience(500 * 1024 * 1024), Duration::from_secs(30 + 4000));
    }
}
