//! The event source for DynamoDB Streams.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use confab_cloud::{Cloud, Functions, Template};
use serde_json::{Value, json};

use crate::world::{World, eventually, options};

/// The stream of a table, as the template sets it: filtered, in batches, bisected and retried, and finally reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_delivered_in_order_and_permanent_failures_are_reported() {
    let template = r#"
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
  Failures: { Type: AWS::SQS::Queue }
  Listener:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Things.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 4
            MaximumBatchingWindowInSeconds: 1
            MaximumRetryAttempts: 1
            BisectBatchOnFunctionError: true
            DestinationConfig: { OnFailure: { Destination: !GetAtt Failures.Arn } }
            FilterCriteria: { Filters: [{ Pattern: '{"eventName": ["INSERT"], "dynamodb": {"Keys": {"id": {"S": [{"prefix": "thing"}]}}}}' }] }
Outputs:
  Failures: { Value: !Ref Failures }
  Things: { Value: !Ref Things }
"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, template).unwrap();
    let batches: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let seen = batches.clone();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.data = Some(folder.path().join("data.db"));
    options.functions = Functions::InProcess(Arc::new(move |_, _, _| {
        let seen = seen.clone();
        Ok(Arc::new(move |event| {
            let event: Value = serde_json::from_str(event.payload.get()).unwrap();
            let records = event["Records"].as_array().unwrap();
            let ids: Vec<String> = records
                .iter()
                .map(|record| record["dynamodb"]["NewImage"]["id"]["S"].as_str().unwrap().to_owned())
                .collect();
            assert!(records.iter().all(|record| record["eventSource"] == "aws:dynamodb"));
            let fails = ids.iter().any(|id| id == "thing 3");
            seen.lock().unwrap().push(ids);
            Box::pin(async move { if fails { Err("thing 3 is too much".into()) } else { Ok(Value::Null) } })
        }))
    }));
    let cloud = Cloud::start(options.clone()).await.unwrap();
    let world = World { environment: cloud.client_environment(), ..World::at(0) };
    let table = cloud.outputs()["Things"].clone();
    let put = async |world: &World, id: String| {
        let put = world.dynamodb().put_item().table_name(&table);
        put.item("id", aws_sdk_dynamodb::types::AttributeValue::S(id)).send().await.unwrap();
    };
    for n in 0..6 {
        put(&world, format!("thing {n}")).await;
        put(&world, format!("nothing {n}")).await;
        // An update is not an insertion.
        put(&world, format!("nothing {n}")).await;
    }
    let handled = |batches: &Mutex<Vec<Vec<String>>>| batches.lock().unwrap().concat();
    eventually("everything is delivered", async || handled(&batches).contains(&"thing 5".to_owned())).await;
    let tried = handled(&batches);
    let count = |id: &str| tried.iter().filter(|tried| *tried == id).count();
    assert!(count("thing 3") > count("thing 5") && count("thing 5") == 1 && count("thing 0") >= 1, "{tried:?}");
    let failure = world.sqs().receive_message().queue_url(&cloud.outputs()["Failures"]).wait_time_seconds(10);
    let failure = failure.send().await.unwrap().messages.expect("the failure was not reported");
    let failure: Value = serde_json::from_str(failure[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(failure["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!((&failure["DDBStreamBatchInfo"]["batchSize"], &failure["version"]), (&json!(1), &json!("1.0")));

    // After a restart it continues at its position.
    cloud.stop().await;
    batches.lock().unwrap().clear();
    let cloud = Cloud::start(options).await.unwrap();
    let world = World { environment: cloud.client_environment(), ..World::at(0) };
    put(&world, "thing 6".to_owned()).await;
    eventually("the new one is delivered", async || !batches.lock().unwrap().is_empty()).await;
    assert_eq!(handled(&batches), ["thing 6"]);
}
