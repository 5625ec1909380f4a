//! The laptop cloud: its gateway, its templates, its functions and its streams. Needs separate laptop clouds.

mod concurrency;
mod functions;
mod gateway_limits;
mod http;
mod mail;
mod message_limits;
mod permissions;
mod settings;
mod small_cloud;
mod stream;
mod table_limits;
mod template;
mod websocket;

use std::{collections::BTreeMap, fs, sync::Arc};

use confab_cloud::{Cloud, Functions, LikeAws, StartError, Template};
use serde_json::Value;

use crate::world::{World, options};

/// The cloud of a template that has nothing to do with chat, all of whose functions answer events in the same way.
async fn cloud(template: &str, answer: fn(Value) -> Value, like_aws: LikeAws) -> Result<Cloud, StartError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, template).unwrap();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.functions = Functions::InProcess(Arc::new(move |_, _, _| {
        Ok(Arc::new(move |event| {
            let answer = answer(serde_json::from_str(event.payload.get()).unwrap());
            Box::pin(async move { Ok(answer) })
        }))
    }));
    options.like_aws = like_aws;
    Cloud::start(options).await
}

/// A client of such a cloud, with the key of one of its functions or that of all other programs.
fn client(cloud: &Cloud, function: Option<&str>) -> World {
    let mut environment = cloud.client_environment();
    if let Some(function) = function {
        environment.insert("AWS_ACCESS_KEY_ID".to_owned(), function.to_owned());
        environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), cloud.secret_access_key(function));
    }
    let (http_url, websocket_url) = (cloud.http_url(), cloud.websocket_url().unwrap_or_default());
    World { http_url, websocket_url, environment, client: reqwest::Client::new(), cloud: None }
}
