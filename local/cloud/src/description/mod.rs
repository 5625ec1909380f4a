//! What a resolved template describes, as far as it can run on this machine.

mod filter;
mod model;
mod properties;
mod resources;
mod stack;
mod throttling;
mod website_headers;

pub(crate) use model::{
    Cors, Description, Function, HttpApi, HttpRoute, QueueSource, RouteThrottling, StreamSource, Table, Throttling,
    WebSocketApi, WebSocketRoute,
};
pub(crate) use stack::{ACCOUNT, Addresses, REGION, Stack, arn};
