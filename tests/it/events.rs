//! The sample events in `events/`: each function has one, and answers it. Needs a cloud of its own.

use std::{fs, path::Path};

use serde_json::{Value, value::RawValue};

use crate::world::{World, options};

#[tokio::test(flavor = "multi_thread")]
async fn each_function_answers_its_sample_event() {
    let world = World::own(options()).await;
    let mut environment = world.environment.clone();
    environment.insert("WEBSOCKET_ENDPOINT".to_owned(), world.websocket_url.replace("ws://", "http://"));
    for (name, _) in confab_functions::FUNCTIONS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("there is no {}", path.display()));
        let payload: Box<RawValue> = serde_json::from_str(&text).unwrap();
        let function = confab_functions::handler(name, &environment).unwrap();
        let event = lambda_runtime::LambdaEvent::new(payload, lambda_runtime::Context::default());
        let answer: Value = function(event).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let status = answer["statusCode"].as_u64().unwrap_or(200);
        assert!(status < 500, "{name}: {answer}");
        assert!(answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "{name}: {answer}");
    }
}
