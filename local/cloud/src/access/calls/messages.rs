//! Requests to SNS and SQS
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html>).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    access::policy::{Call, Context},
    description::arn,
};

/// What a request to SNS asks for; nothing if it has no action.
pub(super) fn sns(body: &[u8]) -> Option<Call> {
    let form: BTreeMap<_, _> = form_urlencoded::parse(body).collect();
    // A batch needs the permission to publish one message.
    let action = form.get("Action")?.strip_suffix("Batch").unwrap_or(form.get("Action")?);
    let named = ["TopicArn", "TargetArn", "ResourceArn", "PhoneNumber"].iter().find_map(|name| form.get(*name));
    let resource = match (named, form.get("SubscriptionArn"), form.get("Name")) {
        (Some(named), ..) => named.to_string(),
        // A subscription's ARN is its topic's, and an id.
        (_, Some(subscription), _) => subscription.rsplit_once(':').map_or("*", |(topic, _)| topic).to_owned(),
        (_, _, Some(name)) => arn("sns", name),
        _ => "*".to_owned(),
    };
    Some(Call::new(format!("sns:{action}"), resource, Context::new()))
}

/// What a request to SQS asks for.
pub(super) fn sqs(operation: &str, body: &Value) -> Call {
    // A batch needs the permission for one message.
    let action = operation.strip_suffix("Batch").unwrap_or(operation);
    let name = body["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).or(body["QueueName"].as_str());
    let resource = body["SourceArn"].as_str().map_or_else(|| arn("sqs", name.unwrap_or("*")), str::to_owned);
    Call::new(format!("sqs:{action}"), resource, Context::new())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn topics_and_queues_are_named() {
        let topic = arn("sns", "news");
        for (form, action, resource) in [
            (format!("Action=Publish&TopicArn={topic}"), "sns:Publish", &*topic),
            (format!("Action=PublishBatch&TopicArn={topic}"), "sns:Publish", &topic),
            ("Action=CreateTopic&Name=news".to_owned(), "sns:CreateTopic", &topic),
            (format!("Action=Unsubscribe&SubscriptionArn={topic}:id"), "sns:Unsubscribe", &topic),
            ("Action=ListTopics".to_owned(), "sns:ListTopics", "*"),
        ] {
            let call = sns(form.as_bytes()).unwrap();
            assert_eq!((&*call.action, &*call.resource), (action, resource));
        }
        assert!(sns(b"x=y").is_none());
        let queue = arn("sqs", "work");
        for (operation, body, action, resource) in [
            ("SendMessage", json!({ "QueueUrl": "http://localhost/0/work" }), "sqs:SendMessage", &*queue),
            ("DeleteMessageBatch", json!({ "QueueUrl": "http://localhost/0/work" }), "sqs:DeleteMessage", &queue),
            ("GetQueueUrl", json!({ "QueueName": "work" }), "sqs:GetQueueUrl", &queue),
            ("StartMessageMoveTask", json!({ "SourceArn": queue }), "sqs:StartMessageMoveTask", &queue),
            ("ListQueues", json!({}), "sqs:ListQueues", &arn("sqs", "*")),
        ] {
            let call = sqs(operation, &body);
            assert_eq!((&*call.action, &*call.resource), (action, resource));
        }
    }
}
