//! What to run, and how.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use crate::{
    access::Keys, description::Addresses, lambda::Functions, like_aws::LikeAws, server::TimeLimits, template::Template,
};

/// What to run, and how.
#[derive(Clone)]
pub struct Options {
    /// The template.
    pub template: Template,
    /// Values for its parameters that differ from their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The stack's name, which is part of most resources' names.
    pub stack_name: String,
    /// The address to listen on. Loopback, except in a container, whose own network keeps others out.
    pub listen: IpAddr,
    /// The ports.
    pub ports: Ports,
    /// The file that stores the tables; without one they are in memory.
    pub data: Option<PathBuf>,
    /// Where functions run.
    pub functions: Functions,
    /// The folder of a website's files, served on the port of the APIs. A file takes precedence over a route.
    pub website: Option<PathBuf>,
    /// The folder of documentation, served under `/docs/` once it is there.
    pub documentation: Option<PathBuf>,
    /// Additional environment variables for functions in this process. They override all others.
    pub environment: BTreeMap<String, String>,
    /// The access keys.
    pub keys: Keys,
    /// Names of the APIs and services in addition to those of the loopback interface, with or without a port.
    pub hosts: Vec<String>,
    /// Limits for slow clients.
    pub limits: TimeLimits,
    /// How much the cloud behaves like AWS.
    pub like_aws: LikeAws,
    /// Whether to count what AWS would bill for ([`Cloud::usage`](crate::Cloud::usage)).
    pub metering: bool,
}

/// The ports to listen on; 0 stands for any free port.
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
    /// SES.
    pub ses: u16,
}

impl Ports {
    /// A port for the APIs, and the next four for the services.
    pub fn from(gateway: u16) -> Self {
        Self { gateway, dynamodb: gateway + 1, sns: gateway + 2, sqs: gateway + 3, ses: gateway + 4 }
    }

    pub(crate) fn addresses(self) -> Addresses {
        Addresses {
            gateway: format!("127.0.0.1:{}", self.gateway),
            dynamodb: format!("http://127.0.0.1:{}", self.dynamodb),
            sns: format!("http://127.0.0.1:{}", self.sns),
            sqs: format!("http://127.0.0.1:{}", self.sqs),
            ses: format!("http://127.0.0.1:{}", self.ses),
        }
    }
}
