//! The laptop cloud: its gateway, its templates, its functions and its streams. Needs separate laptop clouds.

mod functions;
mod http;
mod permissions;
mod stream;
mod template;
mod websocket;
