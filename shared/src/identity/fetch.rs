//! Fetching a JSON Web Key Set, with the HTTP client of the AWS SDK.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use http::Uri;
use http_body_util::{BodyExt, Limited};

use super::keys::KeySet;
use crate::{Error, Result, error::Cause};

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A set of ten RSA keys with their certificates has about 30 KB.
const MAX_BYTES: usize = 128 * 1024;

/// Fetches a set, without following redirects.
///
/// # Errors
/// [`Error::Busy`] if it does not arrive in time and whole.
pub(super) async fn fetch(url: &Uri) -> Result<KeySet> {
    match tokio::time::timeout(TIMEOUT, get(url)).await {
        Ok(Ok(keys)) => Ok(keys),
        Ok(Err(cause)) => Err(Error::Busy(Some(format!("the keys at {url} cannot be fetched: {cause}").into()))),
        Err(_) => Err(Error::Busy(Some(format!("the keys at {url} did not arrive in time").into()))),
    }
}

async fn get(url: &Uri) -> Result<KeySet, Cause> {
    // It happens every ten minutes, so a pool of connections would gain nothing.
    let connector = match url.scheme_str() {
        Some("http") => Connector::builder().build_http(),
        _ => Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build(),
    };
    let request = http::Request::get(url.clone()).header("accept", "application/json");
    let request = HttpRequest::try_from(request.body(aws_smithy_types::body::SdkBody::empty())?)?;
    let response = connector.call(request).await?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("the status is {status}").into());
    }
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await?.to_bytes();
    let keys = KeySet::read(serde_json::from_slice(&body)?)?;
    match keys.is_empty() {
        true => Err("there are none for RS256, ES256 or EdDSA".into()),
        false => Ok(keys),
    }
}
