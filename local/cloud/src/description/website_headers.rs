//! The headers of a website's files.

use std::collections::BTreeMap;

use serde_json::Value;

/// The headers of a response headers policy
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-cloudfront-responseheaderspolicy-securityheadersconfig.html>).
/// `Strict-Transport-Security` is left out, since there is no HTTPS on a laptop.
pub(super) fn policy_headers(properties: &Value) -> BTreeMap<String, String> {
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
