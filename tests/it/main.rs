//! Confab end to end, over real sockets: through a laptop cloud that each test starts on free ports, or against a deployment
//! (see `world`).

#![allow(clippy::unwrap_used, unreachable_pub)]

mod access;
mod accounts;
mod batches;
mod calls;
mod characters;
mod chats;
mod convergence;
mod cost;
mod data_file;
mod delivery;
mod documents;
mod events;
mod exchange;
mod faults;
mod frame_sizes;
mod golden;
mod guard;
mod hot_chats;
mod identity;
mod import;
mod laptop_cloud;
mod layers;
mod limits;
mod login_throttling;
mod members;
mod message_changes;
mod messages;
mod permissions;
mod presence;
mod process;
mod proxy;
mod read_markers;
mod reconnecting;
mod relay;
mod requests;
mod search;
mod signature;
mod slow_clients;
mod slow_gateway;
mod sockets;
mod start_up;
mod website;
mod world;
