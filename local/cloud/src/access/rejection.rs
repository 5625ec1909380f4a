//! Rejections in the format of each service, so that its SDKs understand them
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{permissions::Denied, policy::Denial, protocol::Protocol};

/// What is wrong with a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    Missing,
    Incomplete,
    UnknownKey,
    Mismatch,
    Expired,
}

impl SignatureError {
    /// The exception of JSON protocols, the code of query protocols, and the message.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Missing => (
                "MissingAuthenticationTokenException",
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
            Self::Incomplete => (
                "IncompleteSignatureException",
                "IncompleteSignature",
                "Authorization header requires existence of Credential, SignedHeaders, Signature and X-Amz-Date.",
            ),
            Self::UnknownKey => (
                "UnrecognizedClientException",
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Self::Mismatch => (
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details.",
            ),
            Self::Expired => (
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
                "Signature expired: the request must be signed within five minutes of its arrival.",
            ),
        }
    }
}

/// The response to a request without a valid signature.
pub(super) fn unsigned(protocol: Protocol, error: SignatureError) -> Response<Body> {
    let (exception, code, text) = error.words();
    rejection(protocol, exception, code, text)
}

/// The response to a request that the caller's policies do not allow. Services differ in the action's case.
pub(super) fn denied(protocol: Protocol, denied: &Denied) -> Response<Body> {
    let Denied { principal, action, resource, denial } = denied;
    let (code, action) = match protocol {
        Protocol::Sns => ("AuthorizationError", action.replacen("sns:", "SNS:", 1)),
        Protocol::Sqs => ("AccessDenied", action.to_lowercase()),
        Protocol::DynamoDb | Protocol::Connections => ("AccessDenied", action.clone()),
    };
    let reason = match denial {
        Denial::Implicit => format!("because no identity-based policy allows the {action} action"),
        Denial::Explicit => "with an explicit deny in an identity-based policy".to_owned(),
    };
    let text = format!("User: {principal} is not authorized to perform: {action} on resource: {resource} {reason}");
    tracing::warn!("{text}");
    rejection(protocol, "AccessDeniedException", code, &text)
}

fn rejection(protocol: Protocol, exception: &'static str, code: &str, text: &str) -> Response<Body> {
    let id = uuid::Uuid::new_v4().to_string();
    let (status, content_type, body) = match protocol {
        Protocol::Sns => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>");
            let xml = format!(
                r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{error}<RequestId>{id}</RequestId></ErrorResponse>"#
            );
            (StatusCode::FORBIDDEN, "text/xml", xml)
        }
        Protocol::Connections => (StatusCode::FORBIDDEN, "application/json", json!({ "message": text }).to_string()),
        Protocol::DynamoDb | Protocol::Sqs => {
            // Only DynamoDB answers 400.
            let is_dynamodb = protocol == Protocol::DynamoDb;
            let status = if is_dynamodb { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
            let kind = format!("com.amazon.coral.service#{exception}");
            (status, "application/x-amz-json-1.0", json!({ "__type": kind, "message": text }).to_string())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let (Protocol::Sqs, Ok(code)) = (protocol, HeaderValue::try_from(format!("{code};Sender"))) {
        headers.insert("x-amzn-query-error", code);
    }
    response
}
