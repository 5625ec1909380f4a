//! Delivery in real time: from the exchange and the table's stream to the sockets.

pub mod batch;
mod connect;
pub(crate) mod delivery;
mod fanout;
pub(crate) mod frame;
mod notification;
mod presence;
mod read_markers;
pub(crate) mod recovery;
mod relay;
pub mod stream;
pub(crate) mod subscription;
