//! A website: the files of a folder, as CloudFront would serve them from a bucket, with the headers of the template's
//! response headers policy.

use std::{collections::BTreeMap, path::Path};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
};
use serde_json::Value;
use tower::ServiceExt;
use tower_http::services::ServeDir;

/// The files and their headers.
#[derive(Clone, Debug)]
pub(crate) struct Website {
    files: ServeDir,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Website {
    /// Files of a folder, which need not be there yet.
    ///
    /// # Errors
    /// Says which header cannot be one.
    pub(crate) fn new(folder: &Path, headers: &BTreeMap<String, String>) -> Result<Self, String> {
        let header = |(name, value): (&String, &String)| {
            let header = name.parse().ok().zip(HeaderValue::from_str(value).ok());
            header.ok_or_else(|| format!("{name}: {value} is no header"))
        };
        let headers = headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { files: ServeDir::new(folder).append_index_html_on_directories(true), headers })
    }

    /// Answers a request, of which the body does not matter, with a file, if there is one for it.
    pub(crate) async fn answer(&self, method: Method, uri: Uri, mut headers: HeaderMap) -> Option<Response<Body>> {
        if ![Method::GET, Method::HEAD].contains(&method) {
            return None;
        }
        if !is_one_range(&headers) {
            headers.remove(header::RANGE);
        }
        let mut request = Request::new(Body::empty());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        // Its errors are answers, too.
        let Ok(response) = self.files.clone().oneshot(request).await;
        // Conditions and ranges that a file does not meet are answers about it.
        let of_a_file = [StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED, StatusCode::RANGE_NOT_SATISFIABLE];
        if !response.status().is_success() && !of_a_file.contains(&response.status()) {
            return None;
        }
        let mut response = response.map(Body::new);
        response.headers_mut().extend(self.headers.iter().cloned());
        Some(response)
    }
}

/// Whether a request is for one range of bytes. A server may ignore any other `Range`, and answer with the whole file, as S3 does
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-14.2>).
fn is_one_range(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return false };
    let ends = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    ends.is_some_and(|(first, last)| {
        let number = |end: &str| end.parse::<u64>().is_ok() && !end.starts_with('+');
        match (first, last) {
            ("", last) => number(last),
            (first, "") => number(first),
            // One that ends before it begins is no range.
            (first, last) => number(first) && number(last) && first.parse::<u64>().ok() <= last.parse::<u64>().ok(),
        }
    })
}

/// The headers of a response headers policy
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-cloudfront-responseheaderspolicy-securityheadersconfig.html>).
/// That a browser shall insist on HTTPS is not said on a laptop.
pub(crate) fn policy_headers(properties: &Value) -> BTreeMap<String, String> {
    let config = &properties["ResponseHeadersPolicyConfig"];
    let security = &config["SecurityHeadersConfig"];
    let mut headers = BTreeMap::new();
    if security["ContentTypeOptions"].is_object() {
        headers.insert("x-content-type-options".to_owned(), "nosniff".to_owned());
    }
    for (name, part, member) in [
        ("content-security-policy", "ContentSecurityPolicy", "ContentSecurityPolicy"),
        ("referrer-policy", "ReferrerPolicy", "ReferrerPolicy"),
        ("x-frame-options", "FrameOptions", "FrameOption"),
    ] {
        if let Some(value) = security[part][member].as_str() {
            headers.insert(name.to_owned(), value.to_owned());
        }
    }
    for header in config["CustomHeadersConfig"]["Items"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (header["Header"].as_str(), header["Value"].as_str()) {
            headers.insert(name.to_owned(), value.to_owned());
        }
    }
    headers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_told_from_others() {
        let is_one = |text: &str| is_one_range(&HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]));
        assert!(["bytes=0-1", "bytes=5-", "bytes=-5"].iter().all(|range| is_one(range)));
        for range in ["bytes=0-1,3-4", "bytes=-", "bytes=a-b", "bytes=5-1", "lines=0-1", "bytes", "bytes=+1-2", ""] {
            assert!(!is_one(range), "{range}");
        }
    }
}
