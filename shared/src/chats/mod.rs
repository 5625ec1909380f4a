//! Chats: their members, their logs, and everything that can be done in one.

pub mod access;
pub mod chat;
pub mod edit;
pub mod event;
pub mod export;
pub mod history;
pub mod leave;
pub mod list;
pub mod log;
pub mod members;
pub mod post;
pub mod publish;
pub mod reaction;
pub mod read_marker;
pub mod search;
pub mod unread;
