//! SNS and SQS: the embedded services, with the limits that they do not have.

mod bridge;
mod dead_letters;
mod fifo_queue;
mod groups;
mod limits;
mod queues;
mod receives;
mod topics;

pub(super) use bridge::Bridge;
pub(crate) use queues::Queues;
pub(super) use topics::Topics;
