//! `--like-aws`: the limit of concurrent executions.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use confab_cloud::{Handler, LikeAws};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use super::small_cloud::{output, start};
use crate::world::{DEADLINE, World, eventually};

const TEMPLATE: &str = "
Resources:
  Work: { Type: AWS::SQS::Queue, Properties: { VisibilityTimeout: 1 } }
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
  Everything:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Any: { Type: HttpApi }
        Work: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn } }
        Things:
          Type: DynamoDB
          Properties: { Stream: !GetAtt Things.StreamArn, StartingPosition: TRIM_HORIZON, MaximumRetryAttempts: 0 }
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: ws
      RouteSelectionExpression: $request.body.action
      Routes: { $default: { FunctionArn: !GetAtt Everything.Arn } }
Outputs:
  Work: { Value: !Ref Work }
  Things: { Value: !Ref Things }
";

/// What the function has seen, and permits for the requests that wait.
#[derive(Default)]
struct Function {
    records: Mutex<Vec<Value>>,
    running: Mutex<usize>,
    permits: Option<Semaphore>,
}

impl Function {
    fn new() -> Arc<Self> {
        Arc::new(Self { permits: Some(Semaphore::new(0)), ..Self::default() })
    }

    fn handler(self: &Arc<Self>) -> Handler {
        let function = self.clone();
        Arc::new(move |event| {
            let function = function.clone();
            let event: Value = serde_json::from_str(event.payload.get()).unwrap();
            Box::pin(async move {
                if let Some(records) = event["Records"].as_array() {
                    function.records.lock().unwrap().extend(records.clone());
                } else if event["rawPath"] == "/slow" {
                    *function.running.lock().unwrap() += 1;
                    function.permits.as_ref().unwrap().acquire().await.unwrap().forget();
                }
                Ok(json!({ "statusCode": 200, "body": "done" }))
            })
        })
    }

    async fn runs(&self, count: usize) {
        eventually("the function runs", async || *self.running.lock().unwrap() == count).await;
    }

    fn finish(&self, count: usize) {
        self.permits.as_ref().unwrap().add_permits(count);
    }

    fn record(&self, source: &str) -> Option<Value> {
        self.records.lock().unwrap().iter().find(|record| record["eventSource"] == source).cloned()
    }
}

async fn get(world: &World, path: &str) -> (u16, String) {
    let response = world.client.get(format!("{}{path}", world.http_url)).timeout(DEADLINE).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_above_the_limit_are_throttled() {
    let function = Function::new();
    let like_aws = LikeAws { lambda_concurrency: Some(1), ..LikeAws::default() };
    let world = start(TEMPLATE, like_aws, function.handler()).await;
    let throttled = async {
        function.runs(1).await;
        assert_eq!(get(&world, "/").await, (503, r#"{"message":"Service Unavailable"}"#.to_owned()));
        let (mut socket, _) = tokio_tungstenite::connect_async(&world.websocket_url).await.unwrap();
        socket.send(Message::text("{}")).await.unwrap();
        let answer = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer["message"], "Internal server error");

        let (work, things) = (output(&world, "Work"), output(&world, "Things"));
        world.sqs().send_message().queue_url(work).message_body("work").send().await.unwrap();
        let put = world.dynamodb().put_item().table_name(things).item("id", AttributeValue::S("1".to_owned()));
        put.send().await.unwrap();
        eventually("the message is in flight", async || {
            let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
            let attributes = world.sqs().get_queue_attributes().queue_url(work).attribute_names(name.clone());
            attributes.send().await.unwrap().attributes.unwrap()[&name] == "1"
        })
        .await;
        assert!(function.records.lock().unwrap().is_empty());
        function.finish(1);
    };
    let (slow, ()) = tokio::join!(get(&world, "/slow"), throttled);
    assert_eq!(slow, (200, "done".to_owned()));
    // The message returns after the visibility time-out, and has been received before. The stream waits.
    eventually("the message is handled", async || function.record("aws:sqs").is_some()).await;
    let record = function.record("aws:sqs").unwrap();
    assert_ne!(record["attributes"]["ApproximateReceiveCount"], "1");
    eventually("the change is handled", async || function.record("aws:dynamodb").is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_counts_until_its_end_and_without_the_setting_not_at_all() {
    let function = Function::new();
    let like_aws = LikeAws { lambda_concurrency: Some(2), ..LikeAws::default() };
    for (like_aws, third) in [(like_aws, 503), (LikeAws::default(), 200)] {
        *function.running.lock().unwrap() = 0;
        let world = start(TEMPLATE, like_aws, function.handler()).await;
        let more = async {
            function.runs(2).await;
            assert_eq!(get(&world, "/").await.0, third);
            function.finish(2);
        };
        let all = tokio::join!(get(&world, "/slow"), get(&world, "/slow"), more);
        assert_eq!((all.0.0, all.1.0), (200, 200));
        assert_eq!(get(&world, "/").await.0, 200);
    }
}
