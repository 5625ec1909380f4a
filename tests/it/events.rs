//! The sample events in `events/`, one for each kind: every function handles the sample of its kind. Needs a separate
//! laptop cloud.

use std::{fs, path::Path};

use confab_functions::Function;
use serde_json::{Value, value::RawValue};

use crate::world::{LINK_BASE, World, options};

#[tokio::test(flavor = "multi_thread")]
async fn every_function_handles_its_sample_event() {
    let world = World::own(options()).await;
    let mut environment = world.environment.clone();
    environment.insert("WEBSOCKET_ENDPOINT".to_owned(), world.websocket_url.replace("ws://", "http://"));
    environment.insert("MAIL_SENDER".to_owned(), "no-reply@chat.example".to_owned());
    environment.insert("MAIL_LINK_BASE".to_owned(), LINK_BASE.to_owned());
    for (name, function) in confab_functions::FUNCTIONS {
        let sample = match function {
            Function::Queue(_) if *name == "send-mail" => "send-mail",
            Function::Http(_) | Function::PublicHttp(_) => "post-message",
            Function::WebSocket(_) => "ws-message",
            Function::Queue(_) => "fanout",
            Function::Stream(_) => "relay",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{sample}.json"));
        let payload: Box<RawValue> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let function = confab_functions::handler(name, &environment).unwrap();
        let event = lambda_runtime::LambdaEvent::new(payload, lambda_runtime::Context::default());
        let answer: Value = function(event).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let status = answer["statusCode"].as_u64().unwrap_or(200);
        assert!(status < 500, "{name}: {answer}");
        assert!(answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "{name}: {answer}");
    }
}
