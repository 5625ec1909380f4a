//! What runs behind the APIs: consumers of the queues and of the table's stream.

pub mod deliver;
pub mod fanout;
pub mod reconcile;
pub mod relay;
