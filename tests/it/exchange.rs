//! The exchange: other programs publish to a chat or listen to it with nothing but AWS clients.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::world::{World, template, unique};

#[tokio::test(flavor = "multi_thread")]
async fn any_program_can_publish_to_a_chat() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (uri, other) = (user.start_chat().await, user.start_chat().await);
    let (mut socket, mut elsewhere) = (user.subscribed(&uri).await, user.subscribed(&other).await);
    let pretty = format!("{{\n  \"uri\": \"{uri}\",\n  \"type\": \"weather\",\n  \"degrees\": 21.50\n}}");
    world.publish(&uri, &pretty).await;
    assert_eq!(socket.next().await, json!({"uri": uri, "type": "weather", "degrees": 21.50}));
    user.post(&other, "quiet here").await;
    assert_eq!(elsewhere.next().await["message"], "quiet here");
    assert!(user.history(&uri).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sns_envelopes_are_unwrapped() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let inner = json!({"uri": uri, "type": "weather"});
    let envelope = json!({"Type": "Notification", "MessageId": unique("m"), "Message": inner.to_string()});
    let send = world.sqs().send_message().queue_url(world.variable("FANOUT_QUEUE_URL")).message_group_id(&uri);
    send.message_deduplication_id(unique("d")).message_body(envelope.to_string()).send().await.unwrap();
    assert_eq!(socket.next().await, inner);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_receives_the_events_of_one_chat() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (uri, other) = (user.start_chat().await, user.start_chat().await);
    let (sqs, sns) = (world.sqs(), world.sns());
    let name = format!("{}.fifo", unique("listener"));
    let created =
        sqs.create_queue().queue_name(&name).attributes(QueueAttributeName::FifoQueue, "true").send().await.unwrap();
    let queue_url = created.queue_url.unwrap();
    let attributes = sqs.get_queue_attributes().queue_url(&queue_url).attribute_names(QueueAttributeName::QueueArn);
    let arn = attributes.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let topic = world.variable("TOPIC_ARN");
    let subscribe = sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(&arn);
    let subscribe = subscribe.attributes("RawMessageDelivery", "true").attributes("FilterPolicyScope", "MessageBody");
    subscribe.attributes("FilterPolicy", json!({"uri": [uri]}).to_string()).send().await.unwrap();

    for n in 0..3 {
        user.post(&other, &format!("other {n}")).await;
        user.post(&uri, &format!("this {n}")).await;
    }
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let received = sqs.receive_message().queue_url(&queue_url).wait_time_seconds(10).send().await.unwrap();
        for message in received.messages.unwrap_or_default() {
            let body: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
            assert_eq!(
                (&body["uri"], &body["type"], &body["user"]["id"]),
                (&json!(uri), &json!("message"), &json!(user.id))
            );
            let message_text = body["message"].as_str().unwrap().to_owned();
            // The emulator's PublishBatch, which the relay uses, ignores deduplication ids
            // (https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html).
            if !(world.emulator() && texts.contains(&message_text)) {
                texts.push(message_text);
            }
            let receipt = message.receipt_handle.unwrap();
            sqs.delete_message().queue_url(&queue_url).receipt_handle(receipt).send().await.unwrap();
        }
    }
    assert_eq!(texts, ["this 0", "this 1", "this 2"]);
    let left = sqs.receive_message().queue_url(&queue_url).wait_time_seconds(1).send().await.unwrap();
    assert!(world.emulator() || left.messages.unwrap_or_default().is_empty());
}

/// In the template, since no emulator moves what SNS cannot deliver.
#[test]
fn what_sns_cannot_deliver_is_dead_lettered() {
    let template = template();
    let resources = template.body()["Resources"].as_object().unwrap();
    let redrive = &resources["FanoutSubscription"]["Properties"]["RedrivePolicy"];
    assert_eq!(redrive["deadLetterTargetArn"], json!({"Fn::GetAtt": ["DeadLetters", "Arn"]}));
    assert_eq!(resources["DeadLetters"]["Properties"]["FifoQueue"], true, "as its topic");
    let mut policies = resources.values().filter(|resource| resource["Type"] == "AWS::SQS::QueuePolicy");
    let allows = |policy: &Value| {
        let statement = &policy["Properties"]["PolicyDocument"]["Statement"][0];
        statement["Principal"]["Service"] == "sns.amazonaws.com"
            && statement["Resource"] == redrive["deadLetterTargetArn"]
            && statement["Condition"]["ArnEquals"]["aws:SourceArn"] == json!({"Ref": "Topic"})
    };
    assert!(policies.any(allows), "SNS may not send to it");
    assert!(resources.contains_key("DeadLettersAlarm"));
}
