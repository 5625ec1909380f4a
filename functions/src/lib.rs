//! Confab's Lambda functions: a module for each endpoint, and the runtime that calls them with Lambda's events.
//!
//! All functions are one program, `bootstrap`. It and the laptop cloud look functions up by name.

#![deny(clippy::unwrap_used)]

mod http {
    pub(crate) mod create_chat;
    pub(crate) mod delete_message;
    pub(crate) mod edit_message;
    pub(crate) mod export_chat;
    pub(crate) mod fallback;
    pub(crate) mod get_chat;
    pub(crate) mod join_chat;
    pub(crate) mod leave_chat;
    pub(crate) mod list_chats;
    pub(crate) mod list_members;
    pub(crate) mod list_messages;
    pub(crate) mod login;
    pub(crate) mod logout;
    pub(crate) mod logout_all;
    pub(crate) mod mark_read;
    pub(crate) mod me;
    pub(crate) mod post_message;
    pub(crate) mod react;
    pub(crate) mod register;
    pub(crate) mod search_messages;
    pub(crate) mod set_password;
}
mod websocket;
mod background {
    pub(crate) mod deliver;
    pub(crate) mod fanout;
    pub(crate) mod reconcile;
    pub(crate) mod relay;
}
mod runtime;

/// Declares the functions: the name of each, which is its `Handler` in the template, what it is invoked with, and its
/// module.
macro_rules! functions {
    ($($name:literal: $kind:ident($($module:ident)::+),)*) => {
        /// Every function, by its name.
        pub const FUNCTIONS: &[(&str, Function)] =
            &[$(($name, Function::$kind(|confab, input| Box::pin($($module)::+::handle(confab, input))))),*];
    };
}

functions! {
    "register": PublicHttp(http::register),
    "login": PublicHttp(http::login),
    "logout": Http(http::logout),
    "logout-all": Http(http::logout_all),
    "me": Http(http::me),
    "set-password": Http(http::set_password),
    "create-chat": Http(http::create_chat),
    "list-chats": Http(http::list_chats),
    "get-chat": Http(http::get_chat),
    "list-members": Http(http::list_members),
    "join-chat": Http(http::join_chat),
    "leave-chat": Http(http::leave_chat),
    "export-chat": Http(http::export_chat),
    "list-messages": Http(http::list_messages),
    "search-messages": Http(http::search_messages),
    "post-message": Http(http::post_message),
    "edit-message": Http(http::edit_message),
    "delete-message": Http(http::delete_message),
    "react": Http(http::react),
    "mark-read": Http(http::mark_read),
    "fallback": Http(http::fallback),
    "ws-message": WebSocket(websocket),
    "fanout": Queue(background::fanout),
    "deliver": Queue(background::deliver),
    "relay": Stream(background::relay),
    "reconcile": Stream(background::reconcile),
}

pub use runtime::{Error, Function, Handler, handler, handler_with_http_client, run};
