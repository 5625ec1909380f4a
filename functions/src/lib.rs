//! Confab's Lambda functions: a module per endpoint, and what turns Lambda's events into their arguments.
//!
//! `src/bin/` has a binary for each; the laptop cloud finds the same functions by name.

#![deny(clippy::unwrap_used)]

mod http_event;
mod runtime;

/// Declares each function: the module that it is, the constant by which its binary names it, and what it is called with.
macro_rules! functions {
    ($($name:literal $constant:ident = $kind:ident($module:ident);)*) => {
        $(
            pub mod $module;

            #[doc = concat!("The function `", $name, "`.")]
            pub const $constant: Function = Function::$kind(|confab, input| Box::pin($module::handle(confab, input)));
        )*

        /// Every function, by the name of its binary.
        pub const FUNCTIONS: &[(&str, Function)] = &[$(($name, $constant)),*];
    };
}

functions! {
    "register" REGISTER = Http(register);
    "login" LOGIN = Http(login);
    "logout" LOGOUT = Http(logout);
    "logout-all" LOGOUT_ALL = Http(logout_all);
    "me" ME = Http(me);
    "set-password" SET_PASSWORD = Http(set_password);
    "create-session" CREATE_SESSION = Http(create_session);
    "list-sessions" LIST_SESSIONS = Http(list_sessions);
    "get-session" GET_SESSION = Http(get_session);
    "list-members" LIST_MEMBERS = Http(list_members);
    "join-session" JOIN_SESSION = Http(join_session);
    "leave-session" LEAVE_SESSION = Http(leave_session);
    "export-session" EXPORT_SESSION = Http(export_session);
    "list-messages" LIST_MESSAGES = Http(list_messages);
    "search-messages" SEARCH_MESSAGES = Http(search_messages);
    "post-message" POST_MESSAGE = Http(post_message);
    "edit-message" EDIT_MESSAGE = Http(edit_message);
    "delete-message" DELETE_MESSAGE = Http(delete_message);
    "react" REACT = Http(react);
    "mark-read" MARK_READ = Http(mark_read);
    "fallback" FALLBACK = Http(fallback);
    "ws-connect" WS_CONNECT = Open(ws_connect);
    "ws-disconnect" WS_DISCONNECT = Close(ws_disconnect);
    "ws-subscribe" WS_SUBSCRIBE = Act(ws_subscribe);
    "ws-unsubscribe" WS_UNSUBSCRIBE = Act(ws_unsubscribe);
    "ws-send" WS_SEND = Act(ws_send);
    "ws-edit" WS_EDIT = Act(ws_edit);
    "ws-delete" WS_DELETE = Act(ws_delete);
    "ws-react" WS_REACT = Act(ws_react);
    "ws-read" WS_READ = Act(ws_read);
    "ws-typing" WS_TYPING = Act(ws_typing);
    "ws-default" WS_DEFAULT = Act(ws_default);
    "fanout" FANOUT = Queue(fanout);
    "deliver" DELIVER = Queue(deliver);
    "relay" RELAY = Stream(relay);
    "settle" SETTLE = Stream(settle);
}

pub use runtime::{Error, Function, Handler, handler, run};
