//! What a function is told at start: its environment variables, and the AWS credentials and endpoints among them.
//!
//! Lambda puts a role's credentials and region into the environment and never changes them within a sandbox, so the
//! credential chain of `aws-config` (profiles, SSO, instance metadata) would be start-up time spent for nothing.

use std::{collections::BTreeMap, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};

use crate::{Error, Result};

/// A function's environment variables.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    /// The variable `name`, or nothing where it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variable `name`.
    ///
    /// # Errors
    /// When it is unset or empty.
    pub fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::internal(format!("the environment variable {name} is not set")))
    }

    /// What an SDK client of `service` (`DYNAMODB`, `SNS`, `SQS`) is made of.
    pub(crate) fn client(&self, service: &str) -> SdkConfig {
        self.client_at(self.endpoint(service))
    }

    /// The same with the endpoint given, or AWS's own.
    pub(crate) fn client_at(&self, endpoint: Option<&str>) -> SdkConfig {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials()))
            .timeout_config(timeouts())
            .retry_config(retries());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        let http = aws_smithy_http_client::Builder::new();
        config.set_http_client(Some(match endpoint {
            // An emulator's: no TLS, and no way through a proxy that the environment may name.
            Some(endpoint) if endpoint.starts_with("http://") => http.build_http(),
            _ => http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        }));
        config.build()
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(
            self.get("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            self.get("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
            self.get("AWS_SESSION_TOKEN").map(str::to_owned),
            None,
            "environment",
        )
    }

    fn region(&self) -> String {
        self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION")).unwrap_or("us-east-1").to_owned()
    }

    /// The endpoint of `service` (`DYNAMODB`, `SNS`, `SQS`) where it is not AWS's own.
    /// The variables are those of AWS's SDKs: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>.
    fn endpoint(&self, service: &str) -> Option<&str> {
        self.get(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| self.get("AWS_ENDPOINT_URL"))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// How long a call out may take, and how often it is tried: three attempts of two seconds within five, so that a
/// function with ten seconds to run always has time left to answer.
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
