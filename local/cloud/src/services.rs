//! The AWS services that the functions call: DynamoDB, SNS and SQS, embedded and served on ports of their own, so that any
//! AWS client can talk to them.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sqs::config::BehaviorVersion;
use aws_types::{SdkConfig, region::Region};
use axum::body::Body;
use bytes::Bytes;
use dynoxide::{Database, errors::DynoxideError};
use http::{Method, Request, Response, StatusCode, request::Parts};
use rustack_sns_core::{
    config::SnsConfig,
    handler::RustackSnsHandler,
    provider::RustackSns,
    publisher::{DeliveryError, SqsPublisher},
};
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_model::input::SendMessageInput;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    StartError,
    data::Data,
    description::{Addresses, Description, REGION, Table},
    dynamodb,
    guard::{Guard, Hosts, Protocol, closed_to_pages},
    keys::{self, Keys, KnownKeys},
    listener::{self, TimeLimits},
};

/// How often items past their time are swept away. On AWS it takes up to days; nothing may depend on either.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The largest request that DynamoDB takes; SNS and SQS take less by themselves.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// What an AWS client of the service at this endpoint is made of.
pub(crate) fn client(endpoint: &str, keys: &Keys) -> SdkConfig {
    let credentials = Credentials::new(keys::CLIENT, keys.secret(keys::CLIENT), None, None, "laptop cloud");
    SdkConfig::builder()
        // It is on this machine: no TLS, and no proxy that the environment may name.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

/// The listeners of the three services.
pub(crate) struct Listeners {
    pub(crate) dynamodb: TcpListener,
    pub(crate) sns: TcpListener,
    pub(crate) sqs: TcpListener,
}

/// Who may call the services, and how slowly.
#[derive(Clone)]
pub(crate) struct Access<'a> {
    pub(crate) keys: KnownKeys,
    pub(crate) hosts: &'a [String],
    pub(crate) limits: TimeLimits,
}

impl Access<'_> {
    /// The guard of a service on this port.
    pub(crate) fn guard(&self, protocol: Protocol, port: u16, body_bytes: usize) -> Guard {
        let (keys, limits) = (self.keys.clone(), self.limits);
        Guard { protocol, hosts: Hosts::new(port, self.hosts), keys, limits, body_bytes }
    }
}

/// Serves DynamoDB (from `data`, or from memory), SNS and SQS until `stopped`.
pub(crate) fn serve(
    listeners: Listeners,
    data: Option<&Path>,
    access: &Access<'_>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<(Database, Data), StartError> {
    let (database, data) = crate::data::open(data)?;
    tasks.spawn(sweep(database.clone(), stopped.clone()));
    let queues = RustackSqs::new(SqsConfig {
        host: "127.0.0.1".to_owned(),
        port: port(&listeners.sqs)?,
        ..SqsConfig::default()
    });
    let queues = Arc::new(queues);
    let config = SnsConfig { host: "127.0.0.1".to_owned(), port: port(&listeners.sns)?, ..SnsConfig::default() };
    let topics = Arc::new(RustackSns::new(config, Arc::new(Bridge(queues.clone()))));
    let topics = Service::Sns(Arc::new(RustackSnsHandler::new(topics)));
    let queues = Service::Sqs(Arc::new(RustackSqsHandler::new(queues)));
    let services = [
        (listeners.dynamodb, Protocol::DynamoDb, Service::DynamoDb(database.clone())),
        (listeners.sns, Protocol::Sns, topics),
        (listeners.sqs, Protocol::Sqs, queues),
    ];
    for (listener, protocol, service) in services {
        let guard = access.guard(protocol, port(&listener)?, BODY_BYTES);
        let answer = move |request: Request<Body>, _: SocketAddr| {
            let (guard, service) = (guard.clone(), service.clone());
            Box::pin(async move {
                match guard.admit(request).await {
                    Ok((parts, body)) => closed_to_pages(service.answer(&parts, body).await),
                    Err(refusal) => refusal,
                }
            }) as futures_util::future::BoxFuture<'static, Response<Body>>
        };
        tasks.spawn(listener::serve(listener, access.limits, stopped.clone(), Arc::new(answer)));
    }
    Ok((database, data))
}

/// An embedded service.
#[derive(Clone)]
enum Service {
    DynamoDb(Database),
    Sns(Arc<RustackSnsHandler>),
    Sqs(Arc<RustackSqsHandler>),
}

impl Service {
    async fn answer(&self, parts: &Parts, body: Bytes) -> Response<Body> {
        let id = uuid::Uuid::new_v4().to_string();
        if parts.method != Method::POST {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
        match self {
            Self::DynamoDb(database) => dynamodb::answer(database, parts, &body),
            Self::Sns(handler) => {
                use rustack_sns_http::{dispatch, request, response, router};
                let operation = router::resolve_operation(&request::parse_form_params(&body));
                let answer = match operation {
                    Ok(operation) => dispatch::dispatch_operation(handler.as_ref(), operation, body).await,
                    Err(error) => Err(error),
                };
                answer.unwrap_or_else(|error| response::error_to_response(&error, &id)).map(Body::new)
            }
            Self::Sqs(handler) => {
                use rustack_sqs_http::{dispatch, response, router};
                let answer = match router::resolve_operation(&parts.headers) {
                    Ok(operation) => dispatch::dispatch_operation(handler.as_ref(), operation, body).await,
                    Err(error) => Err(error),
                };
                answer.unwrap_or_else(|error| response::error_to_response(&error, &id)).map(Body::new)
            }
        }
    }
}

fn port(listener: &TcpListener) -> Result<u16, StartError> {
    listener.local_addr().map(|address: SocketAddr| address.port()).map_err(|error| StartError::Data(error.to_string()))
}

async fn sweep(database: Database, stopped: watch::Receiver<bool>) {
    let stop = crate::stop(stopped);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(swept)) => tracing::debug!(swept, "expired items swept"),
            Ok(Err(error)) => tracing::warn!(%error, "expired items could not be swept"),
            Err(error) => tracing::warn!(%error, "expired items could not be swept"),
        }
    }
}

/// From a topic to the queues that are subscribed to it.
struct Bridge(Arc<RustackSqs>);

#[async_trait]
impl SqsPublisher for Bridge {
    fn validate(&self, queue_arn: &str) -> Result<(), DeliveryError> {
        let found = self.0.queue_url_for_arn(queue_arn);
        found.map(drop).map_err(|error| DeliveryError::Unsupported(error.to_string()))
    }

    async fn send_message(
        &self,
        queue_arn: &str,
        message_body: &str,
        message_group_id: Option<&str>,
        message_deduplication_id: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let failed = |reason: String| DeliveryError::SqsDeliveryFailed { queue_arn: queue_arn.to_owned(), reason };
        let input = SendMessageInput {
            queue_url: self.0.queue_url_for_arn(queue_arn).map_err(|error| failed(error.to_string()))?,
            message_body: message_body.to_owned(),
            message_group_id: message_group_id.map(str::to_owned),
            message_deduplication_id: message_deduplication_id.map(str::to_owned),
            ..SendMessageInput::default()
        };
        self.0.send_message(input).await.map(drop).map_err(|error| failed(error.to_string()))
    }
}

/// Creates the tables, queues, topics and subscriptions that the template describes. Tables may be there already.
pub(crate) async fn create(
    description: &Description,
    database: &Database,
    addresses: &Addresses,
    keys: &Keys,
) -> Result<(), StartError> {
    if !description.stream_sources.is_empty() {
        let prepared = crate::stream_source::prepare(database);
        prepared.map_err(|problem| StartError::Resource("The table of checkpoints".to_owned(), problem))?;
    }
    for table in &description.tables {
        create_table(database, table).map_err(|problem| StartError::Resource(table.name.clone(), problem))?;
    }
    let sns = aws_sdk_sns::Client::new(&client(&addresses.sns, keys));
    let sqs = aws_sdk_sqs::Client::new(&client(&addresses.sqs, keys));
    // A queue's dead-letter queue must be there before it.
    let mut queues: Vec<_> = description.queues.iter().collect();
    queues.sort_by_key(|queue| queue.attributes.contains_key("RedrivePolicy"));
    for queue in queues {
        let mut request = sqs.create_queue().queue_name(&queue.name);
        for (name, value) in &queue.attributes {
            request = request.attributes(name.as_str().into(), value);
        }
        let created = request.send().await;
        created.map_err(|error| {
            StartError::Resource(queue.name.clone(), aws_sdk_sqs::error::DisplayErrorContext(&error).to_string())
        })?;
    }
    for topic in &description.topics {
        let mut request = sns.create_topic().name(&topic.name);
        for (name, value) in &topic.attributes {
            request = request.attributes(name, value);
        }
        let created = request.send().await;
        created.map_err(|error| {
            StartError::Resource(topic.name.clone(), aws_sdk_sqs::error::DisplayErrorContext(&error).to_string())
        })?;
    }
    for subscription in &description.subscriptions {
        let mut request =
            sns.subscribe().topic_arn(&subscription.topic_arn).protocol("sqs").endpoint(&subscription.queue_arn);
        for (name, value) in &subscription.attributes {
            request = request.attributes(name, value);
        }
        let subscribed = request.send().await;
        subscribed.map_err(|error| {
            StartError::Resource(
                subscription.queue_arn.clone(),
                aws_sdk_sqs::error::DisplayErrorContext(&error).to_string(),
            )
        })?;
    }
    Ok(())
}

fn create_table(database: &Database, table: &Table) -> Result<(), String> {
    let request = serde_json::from_value(table.creation.clone()).map_err(|error| error.to_string())?;
    match database.create_table(request) {
        // With --data it is there from last time.
        Ok(_) | Err(DynoxideError::ResourceInUseException(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    if let Some(attribute) = &table.expires_by {
        let specification = json!({ "AttributeName": attribute, "Enabled": true });
        let request = json!({ "TableName": table.name, "TimeToLiveSpecification": specification });
        let request = serde_json::from_value(request).map_err(|error| error.to_string())?;
        match database.update_time_to_live(request) {
            // It says so where TTL is on already.
            Ok(_) | Err(DynoxideError::ValidationException(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// The variables by which AWS's clients find the services here.
pub(crate) fn environment(addresses: &Addresses, keys: &Keys) -> [(String, String); 7] {
    [
        ("AWS_ACCESS_KEY_ID", keys::CLIENT),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret(keys::CLIENT)),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ENDPOINT_URL_DYNAMODB", &addresses.dynamodb),
        ("AWS_ENDPOINT_URL_SNS", &addresses.sns),
        ("AWS_ENDPOINT_URL_SQS", &addresses.sqs),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
