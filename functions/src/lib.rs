//! Confab's Lambda functions: a module for each endpoint, and the runtime that calls them with Lambda's events.
//!
//! All functions are one program, `bootstrap`. It and the laptop cloud look functions up by name.

#![deny(clippy::unwrap_used)]

mod http {
    pub(crate) mod account_routes;
    pub(crate) mod activate;
    pub(crate) mod create_chat;
    pub(crate) mod delete_account;
    pub(crate) mod delete_message;
    pub(crate) mod edit_message;
    pub(crate) mod exchange_token;
    pub(crate) mod export_account;
    pub(crate) mod export_chat;
    pub(crate) mod fallback;
    pub(crate) mod get_chat;
    pub(crate) mod join_chat;
    pub(crate) mod leave_chat;
    pub(crate) mod list_chats;
    pub(crate) mod list_members;
    pub(crate) mod list_messages;
    pub(crate) mod list_tokens;
    pub(crate) mod login;
    pub(crate) mod logout;
    pub(crate) mod logout_all;
    pub(crate) mod mark_read;
    pub(crate) mod me;
    pub(crate) mod post_message;
    pub(crate) mod react;
    pub(crate) mod register;
    pub(crate) mod request_activation;
    pub(crate) mod request_password_reset;
    pub(crate) mod reset_password;
    pub(crate) mod revoke_other_tokens;
    pub(crate) mod revoke_token;
    pub(crate) mod search_messages;
    pub(crate) mod set_password;
    pub(crate) mod set_username;
}
mod websocket;
mod background {
    pub(crate) mod deliver;
    pub(crate) mod erase_accounts;
    pub(crate) mod fanout;
    pub(crate) mod reconcile;
    pub(crate) mod relay;
    pub(crate) mod send_mail;
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
    "account-routes": PublicHttp(http::account_routes),
    "register": PublicHttp(http::register),
    "login": PublicHttp(http::login),
    "exchange-token": PublicHttp(http::exchange_token),
    "logout": Http(http::logout),
    "logout-all": Http(http::logout_all),
    "list-tokens": Http(http::list_tokens),
    "revoke-token": Http(http::revoke_token),
    "revoke-other-tokens": Http(http::revoke_other_tokens),
    "me": Http(http::me),
    "set-password": Http(http::set_password),
    "delete-account": Http(http::delete_account),
    "export-account": Http(http::export_account),
    "set-username": Http(http::set_username),
    "request-password-reset": PublicHttp(http::request_password_reset),
    "reset-password": PublicHttp(http::reset_password),
    "request-activation": PublicHttp(http::request_activation),
    "activate": PublicHttp(http::activate),
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
    "erase-accounts": Queue(background::erase_accounts),
    "relay": Stream(background::relay),
    "reconcile": Stream(background::reconcile),
    "send-mail": Queue(background::send_mail),
}

pub use runtime::{Error, Function, Handler, handler, handler_with_http_client, run};
