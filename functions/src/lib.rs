//! Confab's Lambda functions: a module per endpoint, and what turns Lambda's events into their arguments.
//!
//! `src/bin/` has a binary for each; the laptop cloud finds the same functions by name.

#![deny(clippy::unwrap_used)]

pub mod background;
pub mod http;
mod http_event;
mod runtime;
pub mod websocket;

/// Declares each function: the module that it is, the constant by which its binary names it, and what it is called with.
macro_rules! functions {
    ($($name:literal $constant:ident = $kind:ident($($module:ident)::+);)*) => {
        $(
            #[doc = concat!("The function `", $name, "`.")]
            pub const $constant: Function = Function::$kind(|confab, input| Box::pin($($module)::+::handle(confab, input)));
        )*

        /// Every function, by the name of its binary.
        pub const FUNCTIONS: &[(&str, Function)] = &[$(($name, $constant)),*];
    };
}

functions! {
    "register" REGISTER = Http(http::register);
    "login" LOGIN = Http(http::login);
    "logout" LOGOUT = Http(http::logout);
    "logout-all" LOGOUT_ALL = Http(http::logout_all);
    "me" ME = Http(http::me);
    "set-password" SET_PASSWORD = Http(http::set_password);
    "create-chat" CREATE_CHAT = Http(http::create_chat);
    "list-chats" LIST_CHATS = Http(http::list_chats);
    "get-chat" GET_CHAT = Http(http::get_chat);
    "list-members" LIST_MEMBERS = Http(http::list_members);
    "join-chat" JOIN_CHAT = Http(http::join_chat);
    "leave-chat" LEAVE_CHAT = Http(http::leave_chat);
    "export-chat" EXPORT_CHAT = Http(http::export_chat);
    "list-messages" LIST_MESSAGES = Http(http::list_messages);
    "search-messages" SEARCH_MESSAGES = Http(http::search_messages);
    "post-message" POST_MESSAGE = Http(http::post_message);
    "edit-message" EDIT_MESSAGE = Http(http::edit_message);
    "delete-message" DELETE_MESSAGE = Http(http::delete_message);
    "react" REACT = Http(http::react);
    "mark-read" MARK_READ = Http(http::mark_read);
    "fallback" FALLBACK = Http(http::fallback);
    "ws-connect" WS_CONNECT = Open(websocket::connect);
    "ws-disconnect" WS_DISCONNECT = Close(websocket::disconnect);
    "ws-subscribe" WS_SUBSCRIBE = Act(websocket::subscribe);
    "ws-unsubscribe" WS_UNSUBSCRIBE = Act(websocket::unsubscribe);
    "ws-send" WS_SEND = Act(websocket::send);
    "ws-edit" WS_EDIT = Act(websocket::edit);
    "ws-delete" WS_DELETE = Act(websocket::delete);
    "ws-react" WS_REACT = Act(websocket::react);
    "ws-read" WS_READ = Act(websocket::read);
    "ws-typing" WS_TYPING = Act(websocket::typing);
    "ws-default" WS_DEFAULT = Act(websocket::default);
    "fanout" FANOUT = Queue(background::fanout);
    "deliver" DELIVER = Queue(background::deliver);
    "relay" RELAY = Stream(background::relay);
    "reconcile" RECONCILE = Stream(background::reconcile);
}

pub use runtime::{Error, Function, Handler, handler, run};
