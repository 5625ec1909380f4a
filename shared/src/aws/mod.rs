//! AWS: the table, the topic, the queues, the sockets and mail, each behind a client that knows nothing of chats.

mod client;
pub(crate) mod mail;
mod pace;
pub(crate) mod queue;
pub(crate) mod sockets;
pub(crate) mod table;
pub(crate) mod topic;
