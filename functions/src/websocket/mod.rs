//! The WebSocket API: a module for each route.

pub mod connect;
pub mod default;
pub mod delete;
pub mod disconnect;
pub mod edit;
pub mod react;
pub mod read;
pub mod send;
pub mod subscribe;
pub mod typing;
pub mod unsubscribe;
