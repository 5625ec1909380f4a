//! `--like-aws`: the limits of SNS and SQS.

use std::time::Duration;

use aws_sdk_sns::{error::ProvideErrorMetadata, types::PublishBatchRequestEntry};
use aws_sdk_sqs::types::{MessageSystemAttributeName, SendMessageBatchRequestEntry};
use confab_cloud::LikeAws;
use futures_util::future::join_all;

use super::small_cloud::{idle, output, sns, sqs, start};
use crate::world::{World, eventually};

const TEMPLATE: &str = "
Resources:
  News: { Type: AWS::SNS::Topic, Properties: { TopicName: news.fifo, FifoTopic: true, ContentBasedDeduplication: true } }
  Letters: { Type: AWS::SQS::Queue, Properties: { QueueName: letters } }
  Dead: { Type: AWS::SQS::Queue, Properties: { QueueName: dead.fifo, FifoQueue: true } }
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: orders.fifo
      FifoQueue: true
      ContentBasedDeduplication: true
      VisibilityTimeout: 600
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2 }
Outputs:
  News: { Value: !Ref News }
  Letters: { Value: !Ref Letters }
  Orders: { Value: !Ref Orders }
  Dead: { Value: !Ref Dead }
";

const FORBIDDEN: &str = "it ends with \u{FFFF}";

fn letter(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

fn news(id: &str, message: &str) -> PublishBatchRequestEntry {
    PublishBatchRequestEntry::builder().id(id).message(message).message_group_id("a").build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_have_the_characters_of_xml() {
    let world = start(TEMPLATE, LikeAws { messages_characters: true, ..LikeAws::default() }, idle()).await;
    let (sqs, sns) = (sqs(&world), sns(&world));
    let letters = output(&world, "Letters");
    let sent = sqs.send_message().queue_url(letters).message_body(FORBIDDEN).send().await;
    assert_eq!(sent.unwrap_err().code(), Some("InvalidMessageContents"));
    sqs.send_message().queue_url(letters).message_body("\u{FFFD}, \u{10FFFF} and \t").send().await.unwrap();
    let batch = sqs.send_message_batch().queue_url(letters).entries(letter("good", "hello"));
    let answer = batch.entries(letter("bad", FORBIDDEN)).send().await.unwrap();
    assert_eq!((answer.successful().len(), answer.successful()[0].id()), (1, "good"));
    assert_eq!((answer.failed()[0].id(), answer.failed()[0].code()), ("bad", "InvalidMessageContents"));

    let topic = output(&world, "News");
    let published = sns.publish().topic_arn(topic).message(FORBIDDEN).message_group_id("a").send().await;
    assert_eq!(published.unwrap_err().code(), Some("InvalidParameter"));
    for (entries, good) in [(vec![news("good", "hello"), news("bad", FORBIDDEN)], 1), (vec![news("bad", FORBIDDEN)], 0)]
    {
        let batch = sns.publish_batch().topic_arn(topic).set_publish_batch_request_entries(Some(entries));
        let answer = batch.send().await.unwrap();
        assert_eq!((answer.successful().len(), answer.failed().len()), (good, 1));
        assert_eq!((answer.failed()[0].id(), answer.failed()[0].code()), ("bad", "InvalidParameter"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_limits() {
    let world = start(TEMPLATE, LikeAws { messages_batches: true, ..LikeAws::default() }, idle()).await;
    let (sqs, sns) = (sqs(&world), sns(&world));
    let large = "x".repeat(200 * 1024);
    let letters = |entries| {
        let batch = sqs.send_message_batch().queue_url(output(&world, "Letters"));
        async { batch.set_entries(Some(entries)).send().await.err().map(|error| error.code().unwrap().to_owned()) }
    };
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    assert_eq!(letters(ids[..5].iter().map(|id| letter(id, &large)).collect()).await, None);
    let code = letters(ids[..6].iter().map(|id| letter(id, &large)).collect()).await.unwrap();
    assert!(code.ends_with("BatchRequestTooLong"), "{code}");
    let code = letters(vec![letter("a b", "hello")]).await.unwrap();
    assert!(code.ends_with("InvalidBatchEntryId"), "{code}");
    let code = letters(ids.iter().map(|id| letter(id, "hello")).collect()).await.unwrap();
    assert!(code.ends_with("TooManyEntriesInBatchRequest"), "{code}");

    let publish = |entries| {
        let batch = sns.publish_batch().topic_arn(output(&world, "News"));
        let batch = batch.set_publish_batch_request_entries(Some(entries));
        async { batch.send().await.err().map(|error| error.code().unwrap().to_owned()) }
    };
    assert_eq!(publish(vec![news("1", &large)]).await, None);
    assert_eq!(publish(vec![news("1", &large), news("2", &large)]).await.as_deref(), Some("BatchRequestTooLong"));
    assert_eq!(publish(vec![news("ü", "hello")]).await.as_deref(), Some("InvalidBatchEntryId"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_settings_all_of_it_is_sent() {
    let world = start(TEMPLATE, LikeAws::default(), idle()).await;
    let (large, letters) = ("x".repeat(200 * 1024), output(&world, "Letters"));
    sqs(&world).send_message().queue_url(letters).message_body(FORBIDDEN).send().await.unwrap();
    let entries = (0..10).map(|n| news(&format!("{n} ü"), &format!("{large}{n}"))).collect();
    let batch = sns(&world).publish_batch().topic_arn(output(&world, "News"));
    let answer = batch.set_publish_batch_request_entries(Some(entries)).send().await.unwrap();
    assert_eq!((answer.successful().len(), answer.failed().len()), (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_group_has_a_rate() {
    let world = start(TEMPLATE, LikeAws { messages_group_rate: Some(10), ..LikeAws::default() }, idle()).await;
    let publish = |group: &'static str| {
        let publish = sns(&world).publish().topic_arn(output(&world, "News")).message("hello").message_group_id(group);
        async { publish.send().await.err().map(|error| error.code().unwrap().to_owned()) }
    };
    let send = |group: &'static str| {
        let send = sqs(&world).send_message().queue_url(output(&world, "Orders")).message_body("hello");
        let send = send.message_group_id(group);
        async { send.send().await.err().map(|error| error.code().unwrap().to_owned()) }
    };
    eventually("the topic's group is throttled", async || {
        let codes: Vec<String> = join_all((0..20).map(|_| publish("hot"))).await.into_iter().flatten().collect();
        codes.iter().any(|code| code == "Throttling")
    })
    .await;
    eventually("the queue's group is throttled", async || {
        let codes: Vec<String> = join_all((0..20).map(|_| send("hot"))).await.into_iter().flatten().collect();
        codes.iter().any(|code| code == "ThrottlingException")
    })
    .await;
    assert_eq!((publish("cold").await, send("cold").await), (None, None));
}

/// The bodies and receipts of a receive.
async fn receive(world: &World, queue: &str, seconds: i32) -> Vec<(String, String)> {
    let receive = sqs(world).receive_message().queue_url(output(world, queue)).max_number_of_messages(10);
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All).wait_time_seconds(seconds);
    let messages = receive.send().await.unwrap().messages.unwrap_or_default();
    messages.into_iter().map(|message| (message.body.unwrap(), message.receipt_handle.unwrap())).collect()
}

async fn order(world: &World, group: &str, n: usize) {
    let send = sqs(world).send_message().queue_url(output(world, "Orders")).message_group_id(group);
    send.message_body(format!("{group}{n}")).send().await.unwrap();
}

async fn change_visibility(world: &World, receipt: &str) {
    let change = sqs(world).change_message_visibility().queue_url(output(world, "Orders"));
    change.receipt_handle(receipt).visibility_timeout(0).send().await.unwrap();
}

fn bodies(messages: &[(String, String)]) -> Vec<&str> {
    messages.iter().map(|(body, _)| body.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_returns_ten_of_a_group_in_order() {
    let world = start(TEMPLATE, LikeAws::default(), idle()).await;
    for n in 0..12 {
        order(&world, "b", n).await;
    }
    order(&world, "a", 0).await;
    let first = receive(&world, "Orders", 20).await;
    assert_eq!(bodies(&first), ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"]);
    // The group is blocked until all of them are deleted or visible again.
    assert_eq!(bodies(&receive(&world, "Orders", 20).await), ["a0"]);
    let delete = |receipt: String| {
        let delete = sqs(&world).delete_message().queue_url(output(&world, "Orders")).receipt_handle(receipt);
        async { delete.send().await.unwrap() }
    };
    for (_, receipt) in &first[..8] {
        delete(receipt.clone()).await;
    }
    change_visibility(&world, &first[9].1).await;
    assert!(receive(&world, "Orders", 0).await.is_empty());
    let (waiting, _) = tokio::join!(receive(&world, "Orders", 20), change_visibility(&world, &first[8].1));
    assert_eq!(bodies(&waiting), ["b8", "b9", "b10", "b11"]);

    // Those that were received twice are moved to the dead-letter queue, the others are received again.
    for (_, receipt) in &waiting {
        change_visibility(&world, receipt).await;
    }
    assert_eq!(bodies(&receive(&world, "Orders", 20).await), ["b10", "b11"]);
    assert_eq!(bodies(&receive(&world, "Dead", 20).await), ["b8", "b9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_receive_gets_what_is_sent_or_returns() {
    let world = start(TEMPLATE, LikeAws::default(), idle()).await;
    let send = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        order(&world, "a", 0).await;
    };
    let (received, ()) = tokio::join!(receive(&world, "Orders", 20), send);
    assert_eq!(bodies(&received), ["a0"]);
    let batch = sqs(&world).change_message_visibility_batch().queue_url(output(&world, "Orders"));
    let entry = aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry::builder().id("0");
    let entry = entry.receipt_handle(&received[0].1).visibility_timeout(1).build().unwrap();
    let answer = batch.entries(entry).send().await.unwrap();
    assert_eq!((answer.successful().len(), answer.failed().len()), (1, 0));
    assert_eq!(bodies(&receive(&world, "Orders", 20).await), ["a0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_a_receive_returns_one_of_a_group() {
    let world = start(TEMPLATE, LikeAws { messages_group_batches: false, ..LikeAws::default() }, idle()).await;
    order(&world, "a", 0).await;
    order(&world, "a", 1).await;
    assert_eq!(bodies(&receive(&world, "Orders", 20).await), ["a0"]);
}
