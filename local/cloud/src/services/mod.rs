//! The AWS services that functions call, DynamoDB, SNS, SQS and SES: embedded, and served on separate ports, so that any AWS
//! client can use them.

mod client;
mod content;
mod data;
mod dynamodb;
mod mail;
mod messages;
mod metered;
mod request_tokens;
mod resources;
mod service;
mod table_limits;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::body::Body;
use dynoxide::Database;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use rustack_sns_core::{config::SnsConfig, provider::RustackSns};
use rustack_sqs_core::{config::SqsConfig, provider::RustackSqs};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    access::{Access, Protocol, closed_to_pages},
    error::StartError,
    like_aws::LikeAws,
    mail::Mailbox,
    server::{self, Answer},
    shutdown::{self, Stage},
    usage::Meter,
};
pub(crate) use client::{client_config, environment};
pub(crate) use data::Data;
use mail::Ses;
pub(crate) use messages::Queues;
use messages::{Bridge, Topics};
pub(crate) use resources::create;
use service::Service;
use table_limits::LimitedDatabase;

/// How often expired items are deleted. On AWS that takes up to days; nothing may depend on either.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The largest request to DynamoDB and to SES. SNS and SQS check their smaller limits themselves.
const BODY_BYTES: usize = 16 * 1024 * 1024;
const MAIL_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The listeners of the services.
pub(crate) struct Listeners {
    pub(crate) dynamodb: TcpListener,
    pub(crate) sns: TcpListener,
    pub(crate) sqs: TcpListener,
    pub(crate) ses: TcpListener,
}

/// The services that are served, for those within the cloud.
pub(crate) struct Services {
    pub(crate) database: Database,
    pub(crate) data: Data,
    pub(crate) queues: Arc<Queues>,
}

/// Serves DynamoDB (from the file `data`, or from memory), SNS, SQS and SES until the stage stops.
pub(crate) fn serve(
    listeners: Listeners,
    data: Option<&Path>,
    access: &Access<'_>,
    like_aws: &LikeAws,
    meter: &Meter,
    mailbox: &Arc<Mailbox>,
    stage: &mut Stage,
) -> Result<Services, StartError> {
    let (database, data) = data::open(data)?;
    stage.tasks.spawn(sweep(database.clone(), stage.stopped.clone()));
    let tables = LimitedDatabase::new(database.clone(), like_aws);
    let (limited, stopped) = (tables.clone(), stage.stopped.clone());
    stage.tasks.spawn(async move {
        shutdown::wait(stopped).await;
        limited.complete().await;
    });
    let queues = RustackSqs::new(SqsConfig {
        host: "127.0.0.1".to_owned(),
        port: port(&listeners.sqs)?,
        ..SqsConfig::default()
    });
    let queues = Arc::new(queues);
    let config = SnsConfig { host: "127.0.0.1".to_owned(), port: port(&listeners.sns)?, ..SnsConfig::default() };
    let topics = Arc::new(RustackSns::new(config, Arc::new(Bridge(queues.clone()))));
    let topics = Service::Sns(Arc::new(Topics::new(topics, like_aws)));
    let queues = Arc::new(Queues::new(&queues, like_aws));
    let services = [
        (listeners.dynamodb, Protocol::DynamoDb, Service::DynamoDb(tables)),
        (listeners.sns, Protocol::Sns, topics),
        (listeners.sqs, Protocol::Sqs, Service::Sqs(queues.clone())),
        (listeners.ses, Protocol::Ses, Service::Ses(Arc::new(Ses::new(mailbox)))),
    ];
    for (listener, protocol, service) in services {
        let port = port(&listener)?;
        let body_bytes = if protocol == Protocol::Ses { MAIL_BODY_BYTES } else { BODY_BYTES };
        let guard = access.guard(protocol, port, body_bytes);
        let meter = meter.clone();
        let answer: Answer = Arc::new(move |request: Request<Body>, _: SocketAddr| {
            let (guard, service, meter) = (guard.clone(), service.clone(), meter.clone());
            Box::pin(async move {
                match guard.admit(request).await {
                    Ok((parts, body)) => closed_to_pages(metered::answer(&meter, &service, &parts, body).await),
                    Err(rejection) => rejection,
                }
            }) as BoxFuture<'static, Response<Body>>
        });
        access.servers.add(port, &answer);
        stage.tasks.spawn(server::serve(listener, access.limits, stage.stopped.clone(), answer));
    }
    Ok(Services { database, data, queues })
}

fn port(listener: &TcpListener) -> Result<u16, StartError> {
    listener.local_addr().map(|address: SocketAddr| address.port()).map_err(|error| StartError::Data(error.to_string()))
}

async fn sweep(database: Database, stopped: watch::Receiver<bool>) {
    let stop = shutdown::wait(stopped);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(swept)) => tracing::debug!(swept, "expired items deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "expired items could not be deleted"),
            Err(error) => tracing::warn!(%error, "expired items could not be deleted"),
        }
    }
}
