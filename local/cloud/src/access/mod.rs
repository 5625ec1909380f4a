//! Who may call DynamoDB, SNS, SQS, SES and `@connections`.

mod calls;
mod guard;
mod hosts;
mod keys;
mod permissions;
mod policy;
mod private_file;
mod protocol;
mod rejection;

pub(crate) use guard::{Caller, Guard, closed_to_pages};
pub(crate) use hosts::Hosts;
pub use keys::Keys;
pub(crate) use keys::{CLIENT, KnownKeys};
pub(crate) use permissions::Permissions;
pub(crate) use private_file::make_private;
pub(crate) use protocol::Protocol;

use std::sync::Arc;

use crate::server::{Servers, TimeLimits};

/// Makes the guards of all services, and makes the services reachable.
#[derive(Clone)]
pub(crate) struct Access<'a> {
    pub(crate) keys: KnownKeys,
    /// The functions' permissions, if they are enforced.
    pub(crate) permissions: Option<Arc<Permissions>>,
    pub(crate) hosts: &'a [String],
    pub(crate) limits: TimeLimits,
    /// What functions in this process reach without a network.
    pub(crate) servers: Servers,
}

impl Access<'_> {
    /// The guard of a service on this port.
    pub(crate) fn guard(&self, protocol: Protocol, port: u16, body_bytes: usize) -> Guard {
        let (keys, permissions, limits) = (self.keys.clone(), self.permissions.clone(), self.limits);
        Guard { protocol, hosts: Hosts::new(port, self.hosts), keys, permissions, limits, body_bytes }
    }
}
