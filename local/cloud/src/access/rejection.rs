//! Rejections in the format of each service, so that its SDKs understand them
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{permissions::Denied, policy::Denial, protocol::Protocol};
use crate::server::{BodyError, unreadable};

/// What is wrong with a request's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    Missing,
    Incomplete,
    UnknownKey,
    /// It is for this other region.
    Region(String),
    /// It is not for this service.
    Service(&'static str),
    /// It is for another day than the request's.
    Date,
    Mismatch,
    Expired,
}

impl SignatureError {
    /// The exception of JSON protocols, and the code of query protocols.
    fn codes(&self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("MissingAuthenticationTokenException", "MissingAuthenticationToken"),
            Self::Incomplete => ("IncompleteSignatureException", "IncompleteSignature"),
            Self::UnknownKey => ("UnrecognizedClientException", "InvalidClientTokenId"),
            _ => ("InvalidSignatureException", "SignatureDoesNotMatch"),
        }
    }

    /// AWS's message.
    fn text(&self) -> String {
        let text = match self {
            Self::Region(region) => {
                return format!("Credential should be scoped to a valid region, not '{region}'. ");
            }
            Self::Service(service) => return format!("Credential should be scoped to correct service: '{service}'. "),
            Self::Missing => "Request is missing Authentication Token",
            Self::Incomplete => {
                "Authorization header requires existence of Credential, SignedHeaders, Signature and X-Amz-Date."
            }
            Self::UnknownKey => "The security token included in the request is invalid.",
            Self::Date => "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
            Self::Mismatch => {
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
            }
            Self::Expired => "Signature expired: the request must be signed within five minutes of its arrival.",
        };
        text.to_owned()
    }
}

/// The response to a request without a valid signature.
pub(super) fn unsigned(protocol: Protocol, error: &SignatureError) -> Response<Body> {
    let (exception, code) = error.codes();
    rejection(protocol, exception, code, &error.text())
}

/// The response to a request of `@connections` that is too large
/// (<https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/connections-connectionid.html>).
pub(super) fn payload_too_large() -> Response<Body> {
    let mut response = unreadable(BodyError::TooLarge);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("PayloadTooLargeException"));
    response
}

/// The response to a request that the caller's policies do not allow. Services differ in the action's case.
pub(super) fn denied(protocol: Protocol, denied: &Denied) -> Response<Body> {
    let Denied { principal, action, resource, denial } = denied;
    let (code, action) = match protocol {
        Protocol::Sns => ("AuthorizationError", action.replacen("sns:", "SNS:", 1)),
        Protocol::Sqs => ("AccessDenied", action.to_lowercase()),
        Protocol::DynamoDb | Protocol::Ses | Protocol::Connections => ("AccessDenied", action.clone()),
    };
    let reason = match denial {
        Denial::Implicit => format!("because no identity-based policy allows the {action} action"),
        Denial::Explicit => "with an explicit deny in an identity-based policy".to_owned(),
    };
    // SES words it differently (https://github.com/symfony/symfony/issues/51461).
    let text = match protocol {
        Protocol::Ses => format!("User `{principal}' is not authorized to perform `{action}' on resource `{resource}'"),
        _ => format!("User: {principal} is not authorized to perform: {action} on resource: {resource} {reason}"),
    };
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
        Protocol::Ses | Protocol::Connections => {
            (StatusCode::FORBIDDEN, "application/json", json!({ "message": text }).to_string())
        }
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
