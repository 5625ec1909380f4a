//! The AWS services that the functions call: DynamoDB, SNS and SQS, embedded and served on ports of their own, so that any
//! AWS client can talk to them.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sqs::config::BehaviorVersion;
use aws_types::{SdkConfig, region::Region};
use dynoxide::{Database, errors::DynoxideError};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustack_sns_core::{
    config::SnsConfig,
    handler::RustackSnsHandler,
    provider::RustackSns,
    publisher::{DeliveryError, SqsPublisher},
};
use rustack_sns_http::service::{SnsHttpConfig, SnsHttpService};
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::service::{SqsHttpConfig, SqsHttpService};
use rustack_sqs_model::input::SendMessageInput;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    StartError,
    description::{Addresses, Description, REGION, Table},
};

/// How often items past their time are swept away. On AWS it takes up to days; nothing may depend on either.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What an AWS client of the service at this endpoint is made of.
pub(crate) fn client(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("local", "local", None, None, "laptop cloud");
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

/// Serves DynamoDB (from `data`, or from memory), SNS and SQS until `stopped`.
pub(crate) fn serve(
    listeners: Listeners,
    data: Option<&Path>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Database, StartError> {
    let database = open(data).map_err(StartError::Data)?;
    let (served, stop) = (database.clone(), stopped.clone());
    tasks.spawn(async move {
        if let Err(error) = dynoxide::server::serve_with_shutdown(listeners.dynamodb, served, crate::stop(stop)).await {
            tracing::error!(error, "DynamoDB stopped");
        }
    });
    tasks.spawn(sweep(database.clone(), stopped.clone()));

    let port = port(&listeners.sqs)?;
    let config = SqsConfig { host: "127.0.0.1".to_owned(), port, ..SqsConfig::default() };
    let queues = Arc::new(RustackSqs::new(config));
    let service = SqsHttpService::new(Arc::new(RustackSqsHandler::new(queues.clone())), SqsHttpConfig::default());
    tasks.spawn(serve_hyper(listeners.sqs, service, stopped.clone()));

    let port = self::port(&listeners.sns)?;
    let config = SnsConfig { host: "127.0.0.1".to_owned(), port, ..SnsConfig::default() };
    let topics = Arc::new(RustackSns::new(config, Arc::new(Bridge(queues))));
    let service = SnsHttpService::new(Arc::new(RustackSnsHandler::new(topics)), SnsHttpConfig::default());
    tasks.spawn(serve_hyper(listeners.sns, service, stopped.clone()));
    Ok(database)
}

/// Opens the database, and gives its streams what they lack: an index, without which each write takes longer the more have gone
/// before it, and an end, which on AWS comes after a day.
fn open(data: Option<&Path>) -> Result<Database, String> {
    let place = match data {
        Some(path) => path.to_string_lossy().into_owned(),
        // In memory, by a name under which it can be opened twice (https://www.sqlite.org/inmemorydb.html#sharedmemdb).
        None => format!("file:{}?mode=memory&cache=shared", uuid::Uuid::new_v4().simple()),
    };
    let database = Database::new(&place).map_err(|error| error.to_string())?;
    let connection = rusqlite::Connection::open(&place).map_err(|error| error.to_string())?;
    let streams = "CREATE INDEX IF NOT EXISTS laptop_cloud_streams
                       ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
                   DELETE FROM _stream_records WHERE created_at < unixepoch() - 24 * 3600;";
    connection.execute_batch(streams).map_err(|error| error.to_string())?;
    Ok(database)
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

async fn serve_hyper<S, B>(listener: TcpListener, service: S, stopped: watch::Receiver<bool>)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync,
{
    let stop = crate::stop(stopped);
    tokio::pin!(stop);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely; trying again at once would do nothing but spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service.clone());
        connections.spawn(async move {
            // A client that goes away in the middle of a request is no news.
            let _ = connection.await;
        });
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
) -> Result<(), StartError> {
    if !description.stream_sources.is_empty() {
        let prepared = crate::stream_source::prepare(database);
        prepared.map_err(|problem| StartError::Resource("The table of checkpoints".to_owned(), problem))?;
    }
    for table in &description.tables {
        create_table(database, table).map_err(|problem| StartError::Resource(table.name.clone(), problem))?;
    }
    let sns = aws_sdk_sns::Client::new(&client(&addresses.sns));
    let sqs = aws_sdk_sqs::Client::new(&client(&addresses.sqs));
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
pub(crate) fn environment(addresses: &Addresses) -> [(String, String); 7] {
    [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ENDPOINT_URL_DYNAMODB", &addresses.dynamodb),
        ("AWS_ENDPOINT_URL_SNS", &addresses.sns),
        ("AWS_ENDPOINT_URL_SQS", &addresses.sqs),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
