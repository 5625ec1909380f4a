//! Delivery: from the exchange and the table's stream to the sockets.

pub mod batch;
pub mod delivery;
pub mod fanout;
pub mod presence;
pub mod stream;
