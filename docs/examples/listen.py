"""Listens to the exchange with a queue and prints events, one per line, until ctrl-c.

    listen.py                                        all events of all chats
    listen.py --type message                         new messages only
    listen.py --type message --uri 040213b14a02451   new messages of one chat
    listen.py --remove                               removes the queue and its subscription

The queue remains when the program ends, and keeps later events for four days. Needs boto3, and TOPIC_ARN or --topic.
"""

import argparse
import collections
import json
import os
import sys

import boto3

# These types are entries of a chat's log. Each has an id, which identifies repeats.
ENTRIES = ["message", "joined", "left", "owner", "edited", "deleted", "reacted", "unreacted", "void"]

# The number of entries that are remembered. A program that acts on entries should store their ids, in the same
# transaction as the result.
REMEMBERED = 1000


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--topic", default=os.environ.get("TOPIC_ARN"), help="the exchange's ARN; default: $TOPIC_ARN")
    arguments.add_argument("--queue", default="listen-py", help="the queue's name, without .fifo; programs with the same queue share its events")
    arguments.add_argument("--type", action="append", help="only events of this type; can be repeated")
    arguments.add_argument("--uri", action="append", help="only events of this chat; can be repeated")
    arguments.add_argument("--remove", action="store_true", help="remove the queue, the events in it, and its subscription")
    options = arguments.parse_args()
    if not options.topic:
        arguments.error("no exchange: set TOPIC_ARN, or pass --topic.")

    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    if options.remove:
        remove(sqs, sns, options.topic, f"{options.queue}.fifo")
        return
    # A filter on the body excludes messages that are not JSON objects.
    filter_policy = {"uri": options.uri or [{"exists": True}]} | ({"type": options.type} if options.type else {})
    queue_url = subscribe(sqs, sns, options.topic, f"{options.queue}.fifo", filter_policy)
    print(f"Listening with the queue {options.queue}.fifo; --remove removes it.", file=sys.stderr, flush=True)
    try:
        listen(sqs, queue_url)
    except KeyboardInterrupt:
        pass


def subscribe(sqs, sns, topic_arn, queue_name, filter_policy):
    """Subscribes the queue to the exchange with this filter, creating it if needed, and returns its URL."""
    # Deduplication ids are unique within a chat only.
    attributes = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    queue_url = sqs.create_queue(QueueName=queue_name, Attributes=attributes)["QueueUrl"]
    queue_arn = arn_of(sqs, queue_url)
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy(queue_arn, topic_arn))})
    # Subscribing again with another filter is an error on AWS, and has no effect in the laptop cloud.
    if subscription_arn := subscription_of(sns, topic_arn, queue_arn):
        sns.set_subscription_attributes(SubscriptionArn=subscription_arn, AttributeName="FilterPolicy", AttributeValue=json.dumps(filter_policy))
    else:
        attributes = {"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(filter_policy)}
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes)
    return queue_url


def policy(queue_arn, topic_arn):
    """Permits only the topic to send to the queue."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def arn_of(sqs, queue_url):
    return sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def subscription_of(sns, topic_arn, queue_arn):
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
    subscriptions = (subscription for page in pages for subscription in page["Subscriptions"])
    return next((each["SubscriptionArn"] for each in subscriptions if each["Endpoint"] == queue_arn), None)


def listen(sqs, queue_url):
    seen = collections.deque(maxlen=REMEMBERED)
    while True:
        received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in received.get("Messages", []):
            event = json.loads(message["Body"])
            entry = entry_of(event)
            if entry is None or entry not in seen:
                print(json.dumps(event, ensure_ascii=False), flush=True)
                seen.append(entry)
            # After processing: a message that is not deleted blocks its chat and is delivered again after 30 seconds.
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def entry_of(event):
    """Identifies an entry. Other events are not entries."""
    return (event["uri"], event["id"]) if event.get("type") in ENTRIES and "id" in event else None


def remove(sqs, sns, topic_arn, queue_name):
    try:
        queue_url = sqs.get_queue_url(QueueName=queue_name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        print(f"There is no queue {queue_name}.", file=sys.stderr)
        return
    if subscription_arn := subscription_of(sns, topic_arn, arn_of(sqs, queue_url)):
        sns.unsubscribe(SubscriptionArn=subscription_arn)
    sqs.delete_queue(QueueUrl=queue_url)
    print(f"Removed the queue {queue_name} and its subscription.", file=sys.stderr)


if __name__ == "__main__":
    main()
