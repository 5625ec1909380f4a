//! The configuration of the AWS SDK's clients.
//!
//! Lambda puts a role's credentials and region into the environment and never changes them within a sandbox, so the
//! credential chain of `aws-config` (profiles, SSO, instance metadata) would only lengthen a cold start.

use std::time::Duration;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::{BehaviorVersion, IdentityCache, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};

use crate::environment::Environment;

/// The configuration for a client of `service` (`DYNAMODB`, `SNS`, `SQS`). The variables that name another endpoint
/// than AWS's are those of AWS's SDKs: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>.
pub(super) fn config(environment: &Environment, service: &str) -> SdkConfig {
    let endpoint = environment.get(&format!("AWS_ENDPOINT_URL_{service}"));
    config_at(environment, endpoint.or_else(|| environment.get("AWS_ENDPOINT_URL")))
}

/// The configuration for a client of the service at `endpoint`, or at AWS's own.
pub(super) fn config_at(environment: &Environment, endpoint: Option<&str>) -> SdkConfig {
    let region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION"));
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.unwrap_or("us-east-1").to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials(environment)))
        // These credentials are at hand and never change.
        .identity_cache(IdentityCache::no_cache())
        // No response is a stream, and each attempt has a time-out.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts())
        .retry_config(retries());
    config.set_endpoint_url(endpoint.map(str::to_owned));
    let http = aws_smithy_http_client::Builder::new();
    config.set_http_client(Some(match (environment.http_client(), endpoint) {
        (Some(client), _) => client.clone(),
        // An emulator: no TLS, and no proxy that the environment may name.
        (None, Some(endpoint)) if endpoint.starts_with("http://") => http.build_http(),
        _ => http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
    }));
    config.build()
}

fn credentials(environment: &Environment) -> Credentials {
    Credentials::new(
        environment.get("AWS_ACCESS_KEY_ID").unwrap_or_default(),
        environment.get("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
        environment.get("AWS_SESSION_TOKEN").map(str::to_owned),
        None,
        "environment",
    )
}

/// Three attempts of two seconds within five, so that a function with ten seconds left always has time to answer.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500))
}
