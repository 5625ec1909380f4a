//! Requests to SES
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html>).

use http::{Method, request::Parts};
use serde_json::Value;

use crate::{
    access::policy::{Call, Context, FROM_ADDRESS, FROM_DISPLAY_NAME, RECIPIENTS},
    description::arn,
    mail::Address,
};

/// What a request to send a mail asks for. A mail is sent for the identity of its sender's address or domain, whichever
/// is verified, so here both must be allowed, and its configuration set.
pub(super) fn calls(parts: &Parts, body: &Value) -> Vec<Call> {
    let sender = body["FromEmailAddress"].as_str().and_then(Address::parse);
    let is_send_email = parts.method == Method::POST && parts.uri.path() == "/v2/email/outbound-emails";
    let Some(sender) = sender.filter(|_| is_send_email) else { return Vec::new() };
    let recipients = ["ToAddresses", "CcAddresses", "BccAddresses"].into_iter();
    let recipients = recipients.flat_map(|name| body["Destination"][name].as_array().into_iter().flatten());
    let recipients = recipients.filter_map(|text| Some(Address::parse(text.as_str()?)?.address)).collect();
    let mut resources = match body["FromEmailAddressIdentityArn"].as_str() {
        Some(identity) => vec![identity.to_owned()],
        None => [&sender.address, &sender.domain].map(|name| arn("ses", &format!("identity/{name}"))).into(),
    };
    let set = body["ConfigurationSetName"].as_str();
    resources.extend(set.map(|name| arn("ses", &format!("configuration-set/{name}"))));
    let context = Context::from([
        (FROM_ADDRESS, vec![sender.address]),
        (FROM_DISPLAY_NAME, sender.display_name.into_iter().collect()),
        (RECIPIENTS, recipients),
    ]);
    resources.into_iter().map(|resource| Call::new("ses:SendEmail", resource, context.clone())).collect()
}
