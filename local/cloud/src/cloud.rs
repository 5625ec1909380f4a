//! A running cloud: starts and stops all parts.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use dynoxide::Database;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    access::{Access, Hosts, Keys, KnownKeys, Permissions, Protocol},
    description::{ACCOUNT, Addresses, Description, Stack},
    error::StartError,
    gateway::{Documentation, Gateway, HttpGateway, MESSAGE_BYTES, MailPages, WebSocketGateway, Website},
    lambda::{Lambda, StartContext},
    mail::Mailbox,
    options::{Options, Ports},
    server::{self, Answer, Servers},
    services::{self, Data, Listeners, Queues, Services},
    shutdown::Stage,
    sources::{self, DeadLetters},
    usage::{Meter, Usage},
};

/// How long each stage may take to stop.
const GRACE: Duration = Duration::from_secs(3);

/// A running cloud. Dropping it stops it at once; [`Cloud::stop`] stops it gracefully.
pub struct Cloud {
    addresses: Addresses,
    description: Description,
    /// In the order in which they stop: the gateway, the event sources, the services.
    stages: [Stage; 3],
    /// The tasks of the sockets, which outlive the requests that open them.
    sockets: TaskTracker,
    keys: Keys,
    meter: Meter,
    _data: Data,
}

/// What the template describes on these addresses, without running it.
fn describe(options: &Options, addresses: &Addresses) -> Result<Description, StartError> {
    let stack = Stack { name: &options.stack_name, addresses };
    Ok(Description::of(options.template.resolve(&options.parameters, &stack)?, &stack)?)
}

/// The variables that functions outside this process need to use a cloud on these (fixed) ports.
///
/// # Errors
/// When the template is wrong.
pub fn function_environment(options: &Options) -> Result<BTreeMap<String, String>, StartError> {
    let addresses = options.ports.addresses();
    let mut environment: BTreeMap<_, _> = services::environment(&addresses, &options.keys).into();
    for function in describe(options, &addresses)?.functions.into_values() {
        environment.extend(function.environment);
    }
    Ok(environment)
}

impl Cloud {
    /// Starts what the template describes, and returns once all of it answers.
    ///
    /// # Errors
    /// The first problem, in one sentence.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        // Finds mistakes in the template before anything is started.
        describe(&options, &options.ports.addresses())?;
        let gateway = listen(options.listen, options.ports.gateway).await?;
        let listeners = Listeners {
            dynamodb: listen(options.listen, options.ports.dynamodb).await?,
            sns: listen(options.listen, options.ports.sns).await?,
            sqs: listen(options.listen, options.ports.sqs).await?,
            ses: listen(options.listen, options.ports.ses).await?,
        };
        let ports = Ports {
            gateway: port_of(&gateway)?,
            dynamodb: port_of(&listeners.dynamodb)?,
            sns: port_of(&listeners.sns)?,
            sqs: port_of(&listeners.sqs)?,
            ses: port_of(&listeners.ses)?,
        };
        let addresses = ports.addresses();
        let description = describe(&options, &addresses)?;
        let [mut gateway_stage, mut source_stage, mut service_stage] = [Stage::new(), Stage::new(), Stage::new()];
        let functions = description.functions.values().map(|function| function.name.clone());
        let permissions = options.like_aws.permissions.then(|| Permissions::of(&description, &options.stack_name));
        let meter = Meter::new(options.metering);
        let access = Access {
            keys: KnownKeys::new(options.keys.clone(), functions),
            permissions: permissions.transpose().map_err(StartError::Permissions)?.map(Arc::new),
            hosts: &options.hosts,
            limits: options.limits,
            servers: Servers::default(),
        };
        let mailbox = Arc::new(Mailbox::new(format!("http://{}", addresses.gateway)));
        let Services { database, data, queues } = services::serve(
            listeners,
            options.data.as_deref(),
            &access,
            &options.like_aws,
            &meter,
            &mailbox,
            &mut service_stage,
        )?;
        if !description.stream_sources.is_empty() {
            let prepared = sources::prepare_checkpoints(&database);
            prepared.map_err(|problem| StartError::Resource("The table of checkpoints".to_owned(), problem))?;
        }
        services::create(&description, &database, &addresses, &options.keys).await?;
        let mut environment: BTreeMap<_, _> = services::environment(&addresses, &options.keys).into();
        environment.extend(options.environment.clone());
        let concurrency = options.like_aws.lambda_concurrency;
        let context =
            StartContext { environment: &environment, http_client: &access.servers.client(), keys: &options.keys };
        let lambda = Lambda::start(&description.functions, &options.functions, &context, concurrency, &meter);
        let lambda = Arc::new(lambda.map_err(StartError::Function)?);
        let stage = &mut source_stage;
        start_sources(&description, &addresses, &options.keys, &database, &queues, &lambda, stage);
        let sockets = start_gateway(gateway, &description, &options, &access, &lambda, mailbox, &mut gateway_stage)?;
        let stages = [gateway_stage, source_stage, service_stage];
        Ok(Self { addresses, description, stages, sockets, keys: options.keys, meter, _data: data })
    }

    /// The address of the HTTP API.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addresses.gateway)
    }

    /// The address of the WebSocket API, if the template has one.
    pub fn websocket_url(&self) -> Option<String> {
        let api = self.description.websocket.as_ref()?;
        Some(format!("ws://{}/{}", self.addresses.gateway, api.stage))
    }

    /// The template's outputs.
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.description.outputs
    }

    /// The variables by which AWS clients find the services.
    pub fn client_environment(&self) -> BTreeMap<String, String> {
        services::environment(&self.addresses, &self.keys).into()
    }

    /// The secret access key of an access key id. A function's access key id is its name.
    pub fn secret_access_key(&self, access_key_id: &str) -> String {
        self.keys.secret(access_key_id)
    }

    /// What AWS would have billed for until now, if `Options::metering` is set.
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Stops gracefully: answers the requests in progress, closes the sockets and invokes `$disconnect` for each,
    /// completes the batches in progress, and then stops the services.
    pub async fn stop(mut self) {
        self.sockets.close();
        for (place, stage) in self.stages.iter_mut().enumerate() {
            // It has no receiver only if the stage has stopped already.
            let _ = stage.stop.send(true);
            let finish = async {
                while stage.tasks.join_next().await.is_some() {}
                if place == 0 {
                    self.sockets.wait().await;
                }
            };
            let _ = tokio::time::timeout(GRACE, finish).await;
        }
    }
}

fn start_sources(
    description: &Description,
    addresses: &Addresses,
    keys: &Keys,
    database: &Database,
    queues: &Arc<Queues>,
    lambda: &Arc<Lambda>,
    stage: &mut Stage,
) {
    let client = aws_sdk_sqs::Client::new(&services::client_config(&addresses.sqs, keys));
    let queue_url = |arn: &str| format!("{}/{ACCOUNT}/{}", addresses.sqs, arn.rsplit(':').next().unwrap_or_default());
    for source in description.stream_sources.clone() {
        let queue = source.failures.as_deref().map(queue_url);
        let dead_letters = queue.map(|queue_url| DeadLetters { client: client.clone(), queue_url });
        sources::serve_stream(source, database, dead_letters, lambda, stage);
    }
    for source in description.queue_sources.clone() {
        let url = queue_url(&source.queue_arn);
        sources::serve_queue(source, url, queues, lambda, stage);
    }
}

fn start_gateway(
    listener: TcpListener,
    description: &Description,
    options: &Options,
    access: &Access<'_>,
    lambda: &Arc<Lambda>,
    mailbox: Arc<Mailbox>,
    stage: &mut Stage,
) -> Result<TaskTracker, StartError> {
    let port = port_of(&listener)?;
    let domain = format!("127.0.0.1:{port}");
    let sockets = TaskTracker::new();
    let website = options.website.as_deref().map(|folder| Website::new(folder, &description.website_headers));
    let documentation = options.documentation.as_deref().map(Documentation::new);
    let websocket = description.websocket.clone().map(|api| {
        let (stopped, tasks) = (stage.stopped.clone(), sockets.clone());
        WebSocketGateway::new(api, lambda.clone(), domain.clone(), stopped, tasks, &options.like_aws)
    });
    let api = description.http.clone();
    let gateway = Arc::new(Gateway {
        hosts: Hosts::new(port, &options.hosts),
        mail: MailPages::new(port, mailbox),
        documentation: documentation.transpose().map_err(StartError::Website)?,
        website: website.transpose().map_err(StartError::Website)?,
        http: HttpGateway::new(api, lambda.clone(), domain, options.limits, &options.like_aws),
        websocket,
        connections: access.guard(Protocol::Connections, port, MESSAGE_BYTES),
    });
    let answer: Answer = Arc::new(move |request: Request<Body>, peer: SocketAddr| {
        let gateway = gateway.clone();
        Box::pin(async move { gateway.answer(request, peer).await }) as BoxFuture<'static, Response<Body>>
    });
    access.servers.add(port, &answer);
    stage.tasks.spawn(server::serve(listener, options.limits, stage.stopped.clone(), answer));
    Ok(sockets)
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind((address, port)).await.map_err(|error| StartError::Port(port, error))
}

fn port_of(listener: &TcpListener) -> Result<u16, StartError> {
    listener.local_addr().map(|address| address.port()).map_err(|error| StartError::Port(0, error))
}
