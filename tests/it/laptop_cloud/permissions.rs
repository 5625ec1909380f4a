//! IAM policies that are enforced, for a template that has nothing to do with chat.

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{AttributeValue, ConditionCheck, Delete, Get, Put, TransactGetItem, TransactWriteItem},
};
use confab_cloud::{Cloud, LikeAws};
use reqwest::Method;
use serde_json::Value;

use super::client;
use crate::{signature::Signer, world::World};

const TEMPLATE: &str = r#"
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }, { AttributeName: owner, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      GlobalSecondaryIndexes:
        - { IndexName: by-owner, KeySchema: [{ AttributeName: owner, KeyType: HASH }], Projection: { ProjectionType: ALL } }
  News: { Type: AWS::SNS::Topic, Properties: { TopicName: news } }
  Other: { Type: AWS::SNS::Topic, Properties: { TopicName: other } }
  Work: { Type: AWS::SQS::Queue, Properties: { QueueName: work } }
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      StageName: live
      Routes: { $default: { FunctionArn: !GetAtt Writer.Arn } }
  Writer:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - AWSLambdaBasicExecutionRole
        - Statement:
            - Effect: Allow
              Action: [dynamodb:PutItem, dynamodb:ConditionCheckItem]
              Resource: !GetAtt Things.Arn
              Condition: { "ForAllValues:StringLike": { dynamodb:LeadingKeys: ["A#*", "B#*"] } }
            - { Effect: Allow, Action: "dynamodb:Del*", Resource: !GetAtt Things.Arn, Condition: { "ForAllValues:StringLike": { dynamodb:LeadingKeys: ["A#*"] } } }
            - { Effect: Allow, Action: [dynamodb:BatchWriteItem, dynamodb:Query], Resource: "*", Condition: { "ForAllValues:StringLike": { dynamodb:LeadingKeys: ["A#*"] } } }
            - { Effect: Deny, Action: "dynamodb:*", Resource: "*", Condition: { "ForAnyValue:StringEquals": { dynamodb:LeadingKeys: ["A#secret"] } } }
            - { Effect: Allow, Action: "sns:Publish", Resource: !Ref News }
            - { Effect: Allow, Action: ["sqs:SendMessage"], Resource: !GetAtt Work.Arn }
            - { Effect: Allow, Action: ["execute-api:ManageConnections"], Resource: !Sub "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/live/GET/@connections/*" }
  Reader:
    Type: AWS::Serverless::Function
    Properties:
      Role: !GetAtt ReaderRole.Arn
      Policies: [{ Statement: [{ Effect: Allow, Action: "*", Resource: "*" }] }]
  ReaderRole:
    Type: AWS::IAM::Role
    Properties:
      ManagedPolicyArns: ["arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"]
      Policies:
        - PolicyName: reads
          PolicyDocument: { Statement: { Effect: Allow, Action: "dynamodb:GetItem", Resource: !GetAtt Things.Arn } }
"#;

async fn cloud(template: &str, permissions: bool) -> Result<Cloud, String> {
    let like_aws = LikeAws { permissions, ..LikeAws::default() };
    super::cloud(template, |_| Value::Null, like_aws).await.map_err(|error| error.to_string())
}

const TABLE: &str = "confab-Things";

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn put(id: &str) -> TransactWriteItem {
    TransactWriteItem::builder().put(Put::builder().table_name(TABLE).item("id", text(id)).build().unwrap()).build()
}

fn delete(id: &str) -> TransactWriteItem {
    let delete = Delete::builder().table_name(TABLE).key("id", text(id)).build().unwrap();
    TransactWriteItem::builder().delete(delete).build()
}

fn check(id: &str) -> TransactWriteItem {
    let check = ConditionCheck::builder().table_name(TABLE).key("id", text(id));
    let check = check.condition_expression("attribute_not_exists(id)").build().unwrap();
    TransactWriteItem::builder().condition_check(check).build()
}

/// The code and message of an error.
fn failure<T, E: ProvideErrorMetadata, R>(
    result: Result<T, aws_sdk_dynamodb::error::SdkError<E, R>>,
) -> Option<(String, String)> {
    let error = result.err()?;
    Some((error.code().unwrap().to_owned(), error.message().unwrap().to_owned()))
}

async fn transact(world: &World, items: Vec<TransactWriteItem>) -> Option<String> {
    let sent = world.dynamodb().transact_write_items().set_transact_items(Some(items)).send().await;
    failure(sent).map(|(code, _)| code)
}

const DENIED: &str = "AccessDeniedException";

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_do_what_its_policies_allow() {
    let cloud = cloud(TEMPLATE, true).await.unwrap();
    let (writer, reader) = (client(&cloud, Some("Writer")), client(&cloud, Some("Reader")));
    let put_item =
        async |id: &str| failure(writer.dynamodb().put_item().table_name(TABLE).item("id", text(id)).send().await);
    assert_eq!(put_item("A#1").await, None);
    assert_eq!(put_item("B#1").await, None);
    let (code, message) = put_item("C#1").await.unwrap();
    let expected = "User: arn:aws:sts::000000000000:assumed-role/confab-WriterRole/Writer is not authorized to perform: \
                    dynamodb:PutItem on resource: arn:aws:dynamodb:us-east-1:000000000000:table/confab-Things because \
                    no identity-based policy allows the dynamodb:PutItem action";
    assert_eq!((code.as_str(), message.as_str()), (DENIED, expected));
    let (_, message) = put_item("A#secret").await.unwrap();
    assert!(message.ends_with("with an explicit deny in an identity-based policy"), "{message}");

    let query = async |index: Option<&str>, key: &str, value: &str| {
        let query = writer.dynamodb().query().table_name(TABLE).set_index_name(index.map(str::to_owned));
        let query = query.key_condition_expression("#k = :v").expression_attribute_names("#k", key);
        failure(query.expression_attribute_values(":v", text(value)).send().await).map(|(code, _)| code)
    };
    assert_eq!(query(None, "id", "A#1").await, None);
    assert_eq!(query(None, "id", "B#1").await.as_deref(), Some(DENIED));
    assert_eq!(query(Some("by-owner"), "owner", "A#1").await, None);
    assert_eq!(query(Some("by-owner"), "owner", "x").await.as_deref(), Some(DENIED));
    let scan = writer.dynamodb().scan().table_name(TABLE).send().await;
    assert_eq!(failure(scan).unwrap().0, DENIED);
    let statement = writer.dynamodb().execute_statement().statement(format!(r#"SELECT * FROM "{TABLE}""#));
    assert_eq!(failure(statement.send().await).unwrap().0, DENIED);

    // The role's policies count, and not the function's own.
    let get = reader.dynamodb().get_item().table_name(TABLE).key("id", text("C#1"));
    assert_eq!(failure(get.send().await), None);
    let read = Get::builder().table_name(TABLE).key("id", text("C#1")).build().unwrap();
    let read = TransactGetItem::builder().get(read).build();
    assert_eq!(failure(reader.dynamodb().transact_get_items().transact_items(read).send().await), None);
    assert_eq!(failure(reader.dynamodb().list_tables().send().await).unwrap().0, DENIED);
    let queue = format!("{}/000000000000/work", reader.variable("AWS_ENDPOINT_URL_SQS"));
    assert_eq!(failure(reader.sqs().receive_message().queue_url(&queue).send().await), None);
}

/// A member is authorized by its own action, with its own key, without keys, and with the keys of all members.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_transaction_are_authorized_under_every_reading() {
    let cloud = cloud(TEMPLATE, true).await.unwrap();
    let writer = client(&cloud, Some("Writer"));
    assert_eq!(transact(&writer, vec![put("A#1"), put("B#1")]).await, None);
    assert_eq!(transact(&writer, vec![put("A#2"), check("B#2")]).await, None);
    assert_eq!(transact(&writer, vec![delete("A#1"), put("A#3")]).await, None);
    // `PutItem` is allowed for `B#4`, and `DeleteItem` for `A#4`, but not with the key of the other.
    assert_eq!(transact(&writer, vec![delete("A#4"), put("B#4")]).await.as_deref(), Some(DENIED));
    assert_eq!(transact(&writer, vec![put("A#5"), put("C#5")]).await.as_deref(), Some(DENIED));
    let admin = client(&cloud, None);
    let get = admin.dynamodb().get_item().table_name(TABLE).key("id", text("A#5")).send().await.unwrap();
    assert!(get.item.is_none(), "a denied transaction has written");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_denies_in_its_own_words() {
    let cloud = cloud(TEMPLATE, true).await.unwrap();
    let (writer, admin) = (client(&cloud, Some("Writer")), client(&cloud, None));
    let publish = async |topic: &str| {
        let topic = format!("arn:aws:sns:us-east-1:000000000000:{topic}");
        failure(writer.sns().publish().topic_arn(topic).message("x").send().await)
    };
    assert_eq!(publish("news").await, None);
    let (code, message) = publish("other").await.unwrap();
    assert_eq!(code, "AuthorizationError");
    assert!(
        message.contains("perform: SNS:Publish on resource: arn:aws:sns:us-east-1:000000000000:other "),
        "{message}"
    );
    let queue = format!("{}/000000000000/work", writer.variable("AWS_ENDPOINT_URL_SQS"));
    assert_eq!(failure(writer.sqs().send_message().queue_url(&queue).message_body("x").send().await), None);
    let (code, message) = failure(writer.sqs().receive_message().queue_url(&queue).send().await).unwrap();
    assert_eq!(code, "AccessDenied");
    assert!(message.contains("sqs:receivemessage on resource: arn:aws:sqs:us-east-1:000000000000:work "), "{message}");
    assert_eq!(failure(admin.sqs().receive_message().queue_url(&queue).send().await), None);

    let connection = async |world: &World, method: Method| {
        let mut request = world.request(method, "/live/@connections/x%3D").build().unwrap();
        Signer::new(world, "execute-api").sign(&mut request);
        world.client.execute(request).await.unwrap()
    };
    assert_eq!(connection(&writer, Method::GET).await.status(), 410);
    let denied = connection(&writer, Method::DELETE).await;
    assert_eq!(denied.status(), 403);
    assert_eq!(denied.headers()["x-amzn-errortype"], DENIED);
    let resource = "sockets/live/DELETE/@connections/x=";
    assert!(denied.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains(resource));
    assert_eq!(connection(&admin, Method::DELETE).await.status(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_denied_without_the_setting() {
    let cloud = cloud(TEMPLATE, false).await.unwrap();
    let writer = client(&cloud, Some("Writer"));
    assert_eq!(transact(&writer, vec![delete("A#4"), put("C#4")]).await, None);
    writer.dynamodb().scan().table_name(TABLE).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_policies_are_named() {
    let start = async |policies: &str, permissions| {
        let function = format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {{ Policies: {policies} }}\n"
        );
        cloud(&function, permissions).await.err()
    };
    for (policies, problem) in [
        ("[{ SQSSendMessagePolicy: { QueueName: q } }]", "the policy template SQSSendMessagePolicy"),
        ("AmazonDynamoDBFullAccess", "the managed policy AmazonDynamoDBFullAccess"),
        (
            "{ Statement: { Effect: Allow, Action: 'sqs:*', Resource: '*', Condition: { DateLessThan: { 'aws:CurrentTime': x } } } }",
            "the condition operator DateLessThan",
        ),
        (
            "{ Statement: { Effect: Allow, Action: 'sqs:*', Resource: '*', Condition: { StringEquals: { 'aws:SourceVpc': x } } } }",
            "the condition key aws:SourceVpc",
        ),
    ] {
        let expected = format!("The permissions cannot be enforced: F: {problem} is not supported.");
        assert_eq!(start(policies, true).await, Some(expected));
        assert_eq!(start(policies, false).await, None);
    }
}
