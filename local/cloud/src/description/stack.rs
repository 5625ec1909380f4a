//! The names, ARNs and addresses of a stack's resources on this machine.

use serde_json::{Value, json};

use crate::template::Names;

/// The account, region and partition that everything here belongs to.
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
const DOMAIN: &str = "amazonaws.com";
/// Stands for the domain name of a CloudFront distribution.
const WEBSITE: &str = "website.cloudfront.net";

/// The addresses of the services on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Host and port of the HTTP and the WebSocket API.
    pub(crate) gateway: String,
    pub(crate) dynamodb: String,
    pub(crate) sns: String,
    pub(crate) sqs: String,
    pub(crate) ses: String,
}

/// A stack with its name and addresses: gives resources their names and attributes.
pub(crate) struct Stack<'a> {
    pub(crate) name: &'a str,
    pub(crate) addresses: &'a Addresses,
}

/// An ARN in this account and region.
pub(crate) fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

impl Stack<'_> {
    /// The name of a resource in its service.
    pub(super) fn name_of(&self, logical_id: &str, resource: &Value) -> String {
        let properties = &resource["Properties"];
        let given = ["TableName", "TopicName", "QueueName"].iter().find_map(|name| properties[name].as_str());
        let is_fifo = is_true(&properties["FifoQueue"]) || is_true(&properties["FifoTopic"]);
        match given {
            Some(name) => name.to_owned(),
            None => format!("{}-{logical_id}{}", self.name, if is_fifo { ".fifo" } else { "" }),
        }
    }

    /// Replaces the AWS addresses of APIs by those on this machine.
    pub(super) fn localize(&self, value: Value, api_ids: &[String]) -> Value {
        match value {
            Value::String(mut text) => {
                let here = &self.addresses.gateway;
                text = text.replace(&format!("https://{WEBSITE}"), &format!("http://{here}"));
                for id in api_ids {
                    let host = format!("{id}.execute-api.{REGION}.{DOMAIN}");
                    text = text.replace(&format!("wss://{host}"), &format!("ws://{here}"));
                    text = text.replace(&format!("https://{host}"), &format!("http://{here}"));
                }
                Value::String(text)
            }
            Value::Array(elements) => elements.into_iter().map(|element| self.localize(element, api_ids)).collect(),
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name, self.localize(value, api_ids))).collect())
            }
            plain => plain,
        }
    }
}

pub(super) fn api_id(logical_id: &str) -> String {
    logical_id.to_lowercase()
}

impl Names for Stack<'_> {
    fn reference(&self, logical_id: &str, resource: &Value) -> Value {
        let name = self.name_of(logical_id, resource);
        json!(match resource["Type"].as_str().unwrap_or_default() {
            "AWS::DynamoDB::Table" => name,
            "AWS::SNS::Topic" => arn("sns", &name),
            "AWS::SQS::Queue" => format!("{}/{ACCOUNT}/{name}", self.addresses.sqs),
            "AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi" => api_id(logical_id),
            _ => logical_id.to_owned(),
        })
    }

    fn attribute(&self, logical_id: &str, resource: &Value, attribute: &str) -> Option<Value> {
        let name = self.name_of(logical_id, resource);
        let kind = resource["Type"].as_str().unwrap_or_default();
        Some(json!(match (kind, attribute) {
            ("AWS::DynamoDB::Table", "Arn") => arn("dynamodb", &format!("table/{name}")),
            ("AWS::DynamoDB::Table", "StreamArn") => arn("dynamodb", &format!("table/{name}/stream/latest")),
            ("AWS::SNS::Topic", "TopicArn") => arn("sns", &name),
            ("AWS::SNS::Topic", "TopicName") => name,
            ("AWS::SQS::Queue", "Arn") => arn("sqs", &name),
            ("AWS::SQS::Queue", "QueueName") => name,
            ("AWS::SQS::Queue", "QueueUrl") => return Some(self.reference(logical_id, resource)),
            ("AWS::Serverless::Function", "Arn") => arn("lambda", &format!("function:{logical_id}")),
            ("AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi", "ApiId") => api_id(logical_id),
            ("AWS::CloudFront::Distribution", "DomainName") => WEBSITE.to_owned(),
            // Resources that exist only on AWS, such as roles and log groups, have placeholders as attributes.
            ("AWS::SNS::Topic" | "AWS::SQS::Queue" | "AWS::DynamoDB::Table" | "AWS::Serverless::Function", _) => {
                return None;
            }
            (_, attribute) => format!("{logical_id}.{attribute}"),
        }))
    }

    fn pseudo(&self, name: &str) -> Option<Value> {
        Some(match name {
            "AWS::Region" => json!(REGION),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!(DOMAIN),
            "AWS::StackName" => json!(self.name),
            "AWS::StackId" => json!(arn("cloudformation", &format!("stack/{}/local", self.name))),
            "AWS::NoValue" => Value::Null,
            _ => return None,
        })
    }
}

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_str() == Some("true")
}
