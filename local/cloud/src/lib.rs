//! The laptop cloud: reads a SAM template and runs what it describes, in one process, on loopback: DynamoDB, SNS, SQS, an
//! HTTP API, a WebSocket API with `@connections`, event sources, and the functions themselves.
//!
//! It knows nothing of any application. What runs is in the template; what a function does is in the [`Functions`] it is given.

#![deny(clippy::unwrap_used)]

mod data;
mod description;
mod dynamodb;
mod filter;
mod for_each;
mod guard;
mod http_api;
mod keys;
mod lambda;
mod listener;
mod malformed;
mod parameters;
mod queue_source;
mod services;
mod socket_api;
mod stream_source;
mod template;
mod website;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::task::TaskTracker;

use description::{ACCOUNT, Addresses, Description, Stack};
use guard::{Guard, Hosts, Protocol};
use keys::KnownKeys;
use services::{Access, Listeners};

pub use keys::Keys;
pub use lambda::{Functions, Handler, Starter};
pub use listener::TimeLimits;
pub use template::{Template, TemplateError};

/// How long the parts get to finish what they are at when the cloud stops.
const GRACE: Duration = Duration::from_secs(3);

/// What to run, and how.
#[derive(Clone)]
pub struct Options {
    /// The template.
    pub template: Template,
    /// Values for its parameters that differ from their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The stack's name, which is part of most resources' names.
    pub stack_name: String,
    /// The ports.
    pub ports: Ports,
    /// The file that keeps the tables; without one they live in memory.
    pub data: Option<PathBuf>,
    /// Where functions run.
    pub functions: Functions,
    /// The folder with the files of a website, served beside the APIs: a file comes before a route.
    pub website: Option<PathBuf>,
    /// More environment variables for functions in this process; these win over all others.
    pub environment: BTreeMap<String, String>,
    /// What the access keys are derived from.
    pub keys: Keys,
    /// Names by which the APIs and services are reached beside those of the loopback interface, with or without a port.
    pub hosts: Vec<String>,
    /// How slow a client may be.
    pub limits: TimeLimits,
}

/// The ports to listen on; 0 stands for any that is free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The HTTP and the WebSocket API.
    pub gateway: u16,
    /// DynamoDB.
    pub dynamodb: u16,
    /// SNS.
    pub sns: u16,
    /// SQS.
    pub sqs: u16,
}

impl Ports {
    /// A port for the APIs, and the three that follow for the services.
    pub fn from(gateway: u16) -> Self {
        Self { gateway, dynamodb: gateway + 1, sns: gateway + 2, sqs: gateway + 3 }
    }
}

/// Why the cloud did not start, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A port cannot be listened on.
    #[error("Port {0} cannot be listened on ({1}): another one can be chosen with --port.")]
    Port(u16, std::io::Error),
    /// The file with the data cannot be opened.
    #[error("The data cannot be opened: {0}.")]
    Data(String),
    /// The secret that access keys are derived from cannot be had.
    #[error("The secret of the access keys cannot be kept in {0}: {1}.")]
    Keys(PathBuf, std::io::Error),
    /// A resource cannot be created.
    #[error("{0} cannot be created: {1}.")]
    Resource(String, String),
    /// The website's headers are none.
    #[error("The website cannot be served: {0}.")]
    Website(String),
    /// A function cannot be started.
    #[error("{0}.")]
    Function(String),
}

/// A running cloud. Dropping it stops it at once; [`Cloud::stop`] lets it finish what it is at.
pub struct Cloud {
    addresses: Addresses,
    description: Description,
    /// What stops first comes first: the gateways, the event sources, the services.
    stages: [Stage; 3],
    /// The sockets, which outlive the requests that opened them.
    sockets: TaskTracker,
    keys: Keys,
    _data: data::Data,
}

/// Parts that stop together.
struct Stage {
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Stage {
    fn new() -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, stopped, tasks: JoinSet::new() }
    }
}

/// What the template describes on these ports, without running it.
fn describe(options: &Options, addresses: &Addresses) -> Result<Description, StartError> {
    let stack = Stack { name: &options.stack_name, addresses };
    Ok(Description::of(options.template.resolve(&options.parameters, &stack)?, &stack)?)
}

fn addresses(ports: Ports) -> Addresses {
    Addresses {
        gateway: format!("127.0.0.1:{}", ports.gateway),
        dynamodb: format!("http://127.0.0.1:{}", ports.dynamodb),
        sns: format!("http://127.0.0.1:{}", ports.sns),
        sqs: format!("http://127.0.0.1:{}", ports.sqs),
    }
}

/// The variables that functions outside this process need to work with a cloud on these (fixed) ports.
///
/// # Errors
/// When the template is wrong.
pub fn function_environment(options: &Options) -> Result<BTreeMap<String, String>, StartError> {
    let addresses = addresses(options.ports);
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
    /// Says in one sentence what is in the way.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        // Before anything is started, what a mistake in the template would break later.
        describe(&options, &addresses(options.ports))?;
        let gateway = listen(options.ports.gateway).await?;
        let listeners = Listeners {
            dynamodb: listen(options.ports.dynamodb).await?,
            sns: listen(options.ports.sns).await?,
            sqs: listen(options.ports.sqs).await?,
        };
        let addresses = addresses(Ports {
            gateway: port_of(&gateway)?,
            dynamodb: port_of(&listeners.dynamodb)?,
            sns: port_of(&listeners.sns)?,
            sqs: port_of(&listeners.sqs)?,
        });
        let description = describe(&options, &addresses)?;
        let [mut gateway_stage, mut source_stage, mut service_stage] = [Stage::new(), Stage::new(), Stage::new()];
        let data = options.data.as_deref();
        let functions = description.functions.values().map(|function| function.name.clone());
        let access = Access {
            keys: KnownKeys::new(options.keys.clone(), functions),
            hosts: &options.hosts,
            limits: options.limits,
        };
        let (database, data) =
            services::serve(listeners, data, &access, &service_stage.stopped, &mut service_stage.tasks)?;
        services::create(&description, &database, &addresses, &options.keys).await?;

        let mut environment: BTreeMap<_, _> = services::environment(&addresses, &options.keys).into();
        environment.extend(options.environment);
        let lambda = lambda::Lambda::start(&description.functions, &options.functions, &environment, &options.keys);
        let lambda = Arc::new(lambda.map_err(StartError::Function)?);
        let sqs = aws_sdk_sqs::Client::new(&services::client(&addresses.sqs, &options.keys));
        let queue_url =
            |arn: &str| format!("{}/{ACCOUNT}/{}", addresses.sqs, arn.rsplit(':').next().unwrap_or_default());
        for source in description.stream_sources.clone() {
            let failures = source.failures.as_deref().map(|arn| (sqs.clone(), queue_url(arn)));
            let (stopped, tasks) = (&source_stage.stopped, &mut source_stage.tasks);
            stream_source::serve(source, &database, failures, &lambda, stopped, tasks);
        }
        for source in description.queue_sources.clone() {
            let url = queue_url(&source.queue_arn);
            queue_source::serve(source, url, &sqs, &lambda, &source_stage.stopped, &mut source_stage.tasks);
        }
        let sockets = TaskTracker::new();
        let website = |folder: &PathBuf| website::Website::new(folder, &description.website_headers);
        let port = port_of(&gateway)?;
        let gateways = Arc::new(Gateways {
            hosts: Hosts::new(port, &options.hosts),
            website: options.website.as_ref().map(website).transpose().map_err(StartError::Website)?,
            http: http_api::Gateway {
                api: description.http.clone(),
                lambda: lambda.clone(),
                domain: addresses.gateway.clone(),
                limits: options.limits,
            },
            sockets: description.sockets.clone().map(|api| {
                let (domain, stopped) = (addresses.gateway.clone(), gateway_stage.stopped.clone());
                socket_api::Gateway::new(api, lambda, domain, stopped, sockets.clone())
            }),
            connections: access.guard(Protocol::Connections, port, socket_api::MESSAGE_BYTES),
        });
        let answer = move |request: Request<Body>, peer: SocketAddr| -> BoxFuture<'static, Response<Body>> {
            let gateways = gateways.clone();
            Box::pin(async move { gateways.answer(request, peer).await })
        };
        let served = listener::serve(gateway, options.limits, gateway_stage.stopped.clone(), Arc::new(answer));
        gateway_stage.tasks.spawn(served);
        let stages = [gateway_stage, source_stage, service_stage];
        Ok(Self { addresses, description, stages, sockets, keys: options.keys, _data: data })
    }

    /// The address of the HTTP API.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addresses.gateway)
    }

    /// The address of the WebSocket API, where the template has one.
    pub fn websocket_url(&self) -> Option<String> {
        let api = self.description.sockets.as_ref()?;
        Some(format!("ws://{}/{}", self.addresses.gateway, api.stage))
    }

    /// The template's outputs.
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.description.outputs
    }

    /// The variables by which AWS's clients find the services.
    pub fn client_environment(&self) -> BTreeMap<String, String> {
        services::environment(&self.addresses, &self.keys).into()
    }

    /// The secret access key of an access key id, which is a function's name where a function uses it.
    pub fn secret_access_key(&self, access_key_id: &str) -> String {
        self.keys.secret(access_key_id)
    }

    /// Stops: requests under way are answered, sockets are closed and that is told to their function, batches under way are
    /// handled, and only then the services go.
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

/// What listens on the gateway's port.
struct Gateways {
    hosts: Hosts,
    website: Option<website::Website>,
    http: http_api::Gateway,
    sockets: Option<Arc<socket_api::Gateway>>,
    /// Before `@connections`.
    connections: Guard,
}

impl Gateways {
    async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        if let Some(sockets) = self.sockets.as_ref().filter(|sockets| sockets.owns(request.uri().path())) {
            return match sockets.connection_id(request.uri().path()) {
                Some(id) => match self.connections.admit(request).await {
                    Ok((parts, body)) => sockets.manage(&id, &parts.method, &body),
                    Err(refusal) => refusal,
                },
                None => {
                    let (parts, _) = request.into_parts();
                    if !self.hosts.admit(&parts) {
                        return http_api::unknown_host();
                    }
                    sockets.connect(parts, peer).await
                }
            };
        }
        let (parts, body) = request.into_parts();
        if !self.hosts.admit(&parts) {
            return http_api::unknown_host();
        }
        let file = match &self.website {
            Some(website) => {
                let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
                website.answer(method, uri, headers).await
            }
            None => None,
        };
        match file {
            Some(file) => file,
            None => self.http.answer(parts, body, peer).await,
        }
    }
}

async fn listen(port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| StartError::Port(port, error))
}

fn port_of(listener: &TcpListener) -> Result<u16, StartError> {
    listener.local_addr().map(|address| address.port()).map_err(|error| StartError::Port(0, error))
}

/// Waits until the cloud stops, or is dropped.
async fn stop(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
