//! The laptop cloud: its gateway, its templates, its functions and its streams. Needs separate laptop clouds.

mod functions;
mod http;
mod permissions;
mod small_cloud;
mod stream;
mod table_limits;
mod template;
mod websocket;
