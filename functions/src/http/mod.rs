//! The HTTP endpoints: a module for each.

pub mod create_chat;
pub mod delete_message;
pub mod edit_message;
pub mod export_chat;
pub mod fallback;
pub mod get_chat;
pub mod join_chat;
pub mod leave_chat;
pub mod list_chats;
pub mod list_members;
pub mod list_messages;
pub mod login;
pub mod logout;
pub mod logout_all;
pub mod mark_read;
pub mod me;
pub mod post_message;
pub mod react;
pub mod register;
pub mod search_messages;
pub mod set_password;
