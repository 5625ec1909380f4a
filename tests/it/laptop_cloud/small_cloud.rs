//! A laptop cloud of a small template, with settings of `--like-aws`.

use std::{collections::BTreeMap, fs, sync::Arc};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use confab_cloud::{Cloud, Functions, Handler, LikeAws, Template};

use crate::world::{World, options};

/// Starts a cloud with this template, whose functions are all `handler`. It has no settings but these.
pub async fn start(template: &str, like_aws: LikeAws, handler: Handler) -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, template).unwrap();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.functions = Functions::InProcess(Arc::new(move |_, _, _| Ok(handler.clone())));
    options.like_aws = like_aws;
    let cloud = Cloud::start(options).await.unwrap();
    let websocket_url = cloud.websocket_url().unwrap_or_default();
    let (http_url, environment) = (cloud.http_url(), cloud.client_environment());
    World { http_url, websocket_url, environment, cloud: Some(cloud), ..World::at(0) }
}

/// A function that does nothing.
pub fn idle() -> Handler {
    Arc::new(|_| Box::pin(std::future::ready(Ok(serde_json::Value::Null))))
}

/// An output of the template.
pub fn output<'a>(world: &'a World, name: &str) -> &'a str {
    &world.cloud.as_ref().unwrap().outputs()[name]
}

/// Clients without retries, to see each response.
pub fn dynamodb(world: &World) -> aws_sdk_dynamodb::Client {
    let client = world.dynamodb();
    let config = client.config().to_builder().retry_config(RetryConfig::disabled());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

pub fn sns(world: &World) -> aws_sdk_sns::Client {
    let client = world.sns();
    aws_sdk_sns::Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
}

pub fn sqs(world: &World) -> aws_sdk_sqs::Client {
    let client = world.sqs();
    aws_sdk_sqs::Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
}
