//! Confab end to end, over real sockets: through a laptop cloud that each test starts on free ports, or against a deployment
//! (see `world`).

#![allow(clippy::unwrap_used, unreachable_pub)]

mod access;
mod accounts;
mod amendments;
mod calls;
mod chats;
mod convergence;
mod data;
mod delivery;
mod documents;
mod events;
mod exchange;
mod faults;
mod gateway;
mod golden;
mod guard;
mod importing;
mod layers;
mod limits;
mod logins;
mod members;
mod messages;
mod permissions;
mod presence;
mod process;
mod proxy;
mod reading;
mod requests;
mod search;
mod signature;
mod slow;
mod sockets;
mod website;
mod world;
