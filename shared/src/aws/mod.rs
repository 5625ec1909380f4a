//! AWS: the table, the topic, the queues and the sockets, each behind a client that knows nothing of chats.

mod client;
mod pace;
pub(crate) mod queue;
pub(crate) mod sockets;
pub(crate) mod table;
pub(crate) mod topic;
