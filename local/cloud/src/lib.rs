//! The laptop cloud: reads a SAM template and runs what it describes, in one process, on loopback: DynamoDB, SNS, SQS,
//! SES, an HTTP API, a WebSocket API with `@connections`, event sources, and the functions.
//!
//! It runs any application: the template says what there is, and [`Functions`] says how functions are invoked.

#![deny(clippy::unwrap_used)]

mod access;
mod cloud;
mod description;
mod error;
mod gateway;
mod lambda;
mod like_aws;
mod mail;
mod options;
mod server;
mod services;
mod shutdown;
mod sources;
mod template;
mod usage;

pub use access::Keys;
pub use cloud::{Cloud, function_environment};
pub use error::StartError;
pub use lambda::{Functions, Handler, Starter};
pub use like_aws::LikeAws;
pub use options::{Options, Ports};
pub use server::TimeLimits;
pub use template::{Template, TemplateError};
pub use usage::{Amount, Usage};
