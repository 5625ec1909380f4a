//! AWS: the table, the topic, the queues and the sockets.

pub mod sockets;
pub mod table;
