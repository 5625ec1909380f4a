//! How AWS clients reach the services.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sqs::config::BehaviorVersion;
use aws_types::{SdkConfig, region::Region};

use crate::{
    access::{self, Keys},
    description::{Addresses, REGION},
};

/// The configuration of a client for the service at this endpoint.
pub(crate) fn client_config(endpoint: &str, keys: &Keys) -> SdkConfig {
    let credentials = Credentials::new(access::CLIENT, keys.secret(access::CLIENT), None, None, "laptop cloud");
    SdkConfig::builder()
        // The endpoint is on this machine: no TLS, and no proxy from the environment.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

/// The variables by which AWS clients find the services.
pub(crate) fn environment(addresses: &Addresses, keys: &Keys) -> [(String, String); 9] {
    [
        ("AWS_ACCESS_KEY_ID", access::CLIENT),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret(access::CLIENT)),
        // These keys have none; one that is left over from elsewhere would be rejected.
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ENDPOINT_URL_DYNAMODB", &addresses.dynamodb),
        ("AWS_ENDPOINT_URL_SNS", &addresses.sns),
        ("AWS_ENDPOINT_URL_SQS", &addresses.sqs),
        ("AWS_ENDPOINT_URL_SESV2", &addresses.ses),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
