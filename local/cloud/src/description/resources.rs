//! Reads the description from a resolved template.

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    filter::Filter,
    model::{
        Description, Function, HttpRoute, NamedResource, QueueSource, StreamSource, Subscription, Table, WebSocketApi,
        WebSocketRoute,
    },
    properties::{EventProperties, FunctionProperties, QueueEvent, StreamEvent, WebSocketProperties},
    stack::{Stack, api_id, arn},
    throttling::throttling,
    website_headers::policy_headers,
};
use crate::template::{Names, Resolved, TemplateError};

const TOPIC_ATTRIBUTES: [&str; 3] = ["FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope"];
const QUEUE_ATTRIBUTES: [&str; 9] = [
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
];

impl Description {
    /// What a resolved template describes, in a stack.
    pub(crate) fn of(resolved: Resolved, stack: &Stack<'_>) -> Result<Self, TemplateError> {
        let is_api = |resource: &Value| resource["Type"].as_str().is_some_and(|kind| kind.ends_with("Api"));
        let apis = resolved.resources.iter().filter(|(_, resource)| is_api(resource));
        let api_ids: Vec<String> = apis.map(|(id, _)| api_id(id)).collect();
        let mut description = Self::default();
        for (logical_id, resource) in resolved.resources {
            let resource = stack.localize(resource, &api_ids);
            let added = description.add(&logical_id, &resource, stack);
            added.map_err(|problem| TemplateError::wrong(format!("{logical_id}: {problem}")))?;
        }
        for (name, value) in resolved.outputs {
            if let Value::String(text) = stack.localize(value, &api_ids) {
                description.outputs.insert(name, text);
            }
        }
        description.check()?;
        Ok(description)
    }

    fn add(&mut self, logical_id: &str, resource: &Value, stack: &Stack<'_>) -> Result<(), String> {
        let properties = &resource["Properties"];
        let name = stack.name_of(logical_id, resource);
        match resource["Type"].as_str().ok_or("it has no Type")? {
            "AWS::Serverless::Function" => self.add_function(logical_id, resource)?,
            "AWS::Serverless::HttpApi" => {
                self.http.cors = properties.get("CorsConfiguration").map(read).transpose()?;
                self.http.throttling = throttling(properties)?;
            }
            "AWS::Serverless::WebSocketApi" => self.add_websocket_api(logical_id, properties)?,
            "AWS::IAM::Role" => {
                let arn = stack.attribute(logical_id, resource, "Arn").unwrap_or_default();
                self.roles.insert(arn.as_str().unwrap_or_default().to_owned(), properties.clone());
            }
            "AWS::DynamoDB::Table" => self.add_table(name, properties)?,
            "AWS::SNS::Topic" => {
                self.topics.push(NamedResource { name, attributes: attributes(properties, &TOPIC_ATTRIBUTES) });
            }
            "AWS::SQS::Queue" => {
                self.queues.push(NamedResource { name, attributes: attributes(properties, &QUEUE_ATTRIBUTES) });
            }
            // Subscriptions of e-mail addresses and phone numbers have no counterpart here.
            "AWS::SNS::Subscription" if properties["Protocol"] == "sqs" => self.add_subscription(properties)?,
            "AWS::CloudFront::ResponseHeadersPolicy" => self.website_headers = policy_headers(properties),
            // Policies, log groups and alarms have none either.
            _ => {}
        }
        Ok(())
    }

    fn add_table(&mut self, name: String, properties: &Value) -> Result<(), String> {
        let mut creation = properties.clone();
        let expires_by = creation["TimeToLiveSpecification"]["AttributeName"].as_str().map(str::to_owned);
        let members = creation.as_object_mut().ok_or("it has no Properties")?;
        for only_on_aws in ["TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification"] {
            members.remove(only_on_aws);
        }
        members.insert("TableName".to_owned(), json!(name));
        if let Some(stream) = members.get_mut("StreamSpecification") {
            stream["StreamEnabled"] = json!(true);
        }
        self.tables.push(Table { creation, name, expires_by });
        Ok(())
    }

    fn add_subscription(&mut self, properties: &Value) -> Result<(), String> {
        let text = |name: &str| properties[name].as_str().map(str::to_owned).ok_or(format!("it has no {name}"));
        let attributes = attributes(properties, &["RawMessageDelivery", "FilterPolicy", "FilterPolicyScope"]);
        let (topic_arn, queue_arn) = (text("TopicArn")?, text("Endpoint")?);
        self.subscriptions.push(Subscription { topic_arn, queue_arn, attributes });
        Ok(())
    }

    fn add_function(&mut self, logical_id: &str, resource: &Value) -> Result<(), String> {
        let properties: FunctionProperties = read(&resource["Properties"])?;
        // If one binary has several functions, the handler is the function's name. Otherwise a Rust function's handler
        // is `bootstrap` by convention, and its binary has the name.
        let handler = resource["Properties"]["Handler"].as_str().filter(|handler| *handler != "bootstrap");
        let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
        let variables = properties.environment.variables.into_iter();
        let environment =
            variables.map(|(name, value)| (name, value.as_str().map_or(value.to_string(), str::to_owned)));
        let function = Function {
            name: handler.or(binary).unwrap_or(logical_id).to_owned(),
            timeout: Duration::from_secs(properties.timeout),
            memory: properties.memory_size / 1024.0,
            environment: environment.collect(),
            policies: properties.policies,
            role: properties.role,
        };
        self.functions.insert(logical_id.to_owned(), function);
        for event in properties.events.into_values() {
            self.add_event(logical_id, event)?;
        }
        Ok(())
    }

    fn add_event(&mut self, function: &str, event: EventProperties) -> Result<(), String> {
        let text = |name: &str| event.properties[name].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "HttpApi" => {
                let (method, path) = (text("Method").to_uppercase(), text("Path"));
                let function = function.to_owned();
                self.http.routes.push(HttpRoute { method, path, function });
            }
            "SQS" => {
                let event: QueueEvent = read(&event.properties)?;
                self.queue_sources.push(QueueSource {
                    queue_arn: event.queue,
                    function: function.to_owned(),
                    batch_size: event.batch_size,
                    reports_failures: reports_failures(&event.function_response_types),
                    concurrency: event.scaling_config.maximum_concurrency,
                });
            }
            "DynamoDB" => self.stream_sources.push(stream_source(function, &event.properties)?),
            kind => return Err(format!("events of type {kind} are not supported")),
        }
        Ok(())
    }

    fn add_websocket_api(&mut self, logical_id: &str, properties: &Value) -> Result<(), String> {
        let throttling = throttling(properties)?;
        let properties: WebSocketProperties = read(properties)?;
        let expression = &properties.route_selection_expression;
        let selection = expression.trim_matches(['$', '{', '}']).strip_prefix("request.body.");
        let selection = selection.ok_or(format!("the RouteSelectionExpression {expression} is not supported"))?;
        let mut routes = BTreeMap::new();
        for (key, route) in properties.routes {
            let function = route.function_arn.rsplit(':').next().unwrap_or_default().to_owned();
            routes.insert(
                key,
                WebSocketRoute { function, responds: route.route_response_selection_expression.is_some() },
            );
        }
        let selection = selection.split('.').map(str::to_owned).collect();
        self.websocket =
            Some(WebSocketApi { id: api_id(logical_id), stage: properties.stage_name, selection, routes, throttling });
        Ok(())
    }

    /// Checks that every function, queue and stream that another resource refers to exists.
    fn check(&self) -> Result<(), TemplateError> {
        let routes = self.websocket.iter().flat_map(|api| api.routes.values().map(|route| &route.function));
        if let Some(function) = routes.into_iter().find(|function| !self.functions.contains_key(*function)) {
            return Err(TemplateError::wrong(format!("there is no function {function}")));
        }
        let queues: Vec<String> = self.queues.iter().map(|queue| arn("sqs", &queue.name)).collect();
        if let Some(source) = self.queue_sources.iter().find(|source| !queues.contains(&source.queue_arn)) {
            return Err(TemplateError::wrong(format!("there is no queue {}", source.queue_arn)));
        }
        let destinations = self.stream_sources.iter().filter_map(|source| source.failures.as_ref());
        if let Some(arn) = destinations.into_iter().find(|arn| !queues.contains(arn)) {
            return Err(TemplateError::wrong(format!("there is no queue {arn}")));
        }
        let has_stream = |source: &StreamSource| {
            let table = self.tables.iter().find(|table| table.name == source.table);
            table.is_some_and(|table| table.creation.get("StreamSpecification").is_some())
        };
        if let Some(source) = self.stream_sources.iter().find(|source| !has_stream(source)) {
            return Err(TemplateError::wrong(format!("there is no table {} with a stream", source.table)));
        }
        Ok(())
    }
}

fn stream_source(function: &str, properties: &Value) -> Result<StreamSource, String> {
    let event: StreamEvent = read(properties)?;
    // -1, the default of both limits, stands for none.
    let limit = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Ok(StreamSource {
        table: event.stream.split('/').nth(1).unwrap_or_default().to_owned(),
        function: function.to_owned(),
        starting_position: event.starting_position,
        batch_size: event.batch_size,
        window: Duration::from_secs(event.maximum_batching_window_in_seconds),
        filter: Filter::read(event.filter_criteria.filters.iter().map(|filter| filter.pattern.as_str()))?,
        retries: limit(event.maximum_retry_attempts),
        record_age: limit(event.maximum_record_age_in_seconds).map(Duration::from_secs),
        bisects: event.bisect_batch_on_function_error,
        reports_failures: reports_failures(&event.function_response_types),
        failures: event.destination_config.on_failure.map(|on| on.destination),
    })
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn reports_failures(response_types: &[String]) -> bool {
    response_types.iter().any(|kind| kind == "ReportBatchItemFailures")
}

/// The named properties as attributes of SNS and SQS, whose values are all text.
fn attributes(properties: &Value, names: &[&str]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    names.iter().filter_map(|name| Some(((*name).to_owned(), text(properties.get(*name)?)))).collect()
}
