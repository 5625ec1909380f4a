//! The laptop cloud: its gateway, its templates, its functions and its streams. Needs separate laptop clouds.

mod concurrency;
mod functions;
mod http;
mod message_limits;
mod permissions;
mod settings;
mod small_cloud;
mod stream;
mod table_limits;
mod template;
mod websocket;
