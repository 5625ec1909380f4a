"""Listens to the exchange with a queue of its own and prints what happens, an object a line, until ctrl-c.

    listen.py                                        everything in all rooms
    listen.py --type message                         new messages only
    listen.py --type message --uri 040213b14a02451   those of one room
    listen.py --remove                               removes the queue and its subscription

The queue stays when this ends, and what happens meanwhile waits in it, for four days. Needs boto3, and TOPIC_ARN or --topic.
"""

import argparse
import collections
import json
import os
import sys

import boto3

# These are entries of a room's log. Each has an id, by which a repeat is known.
ENTRIES = ["message", "joined", "left", "owner", "edited", "deleted", "reacted", "unreacted"]

# So many entries are remembered. A program that acts on what it hears remembers for good, in the same place as what it has done.
REMEMBERED = 1000


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--topic", default=os.environ.get("TOPIC_ARN"), help="the exchange's ARN; $TOPIC_ARN if not given")
    arguments.add_argument("--queue", default="listen-py", help="the queue's name, without .fifo; programs with the same one share what comes")
    arguments.add_argument("--type", action="append", help="listen for this type of object only; can be repeated")
    arguments.add_argument("--uri", action="append", help="listen in this room only; can be repeated")
    arguments.add_argument("--remove", action="store_true", help="remove the queue and its subscription, and what is left in it")
    options = arguments.parse_args()
    if not options.topic:
        arguments.error("which exchange? Set TOPIC_ARN, or give --topic.")

    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    if options.remove:
        remove(sqs, sns, options.topic, f"{options.queue}.fifo")
        return
    # With a filter on the body, nothing comes that is no JSON object.
    filter_policy = {"uri": options.uri or [{"exists": True}]} | ({"type": options.type} if options.type else {})
    queue_url = bind(sqs, sns, options.topic, f"{options.queue}.fifo", filter_policy)
    print(f"Listening with the queue {options.queue}.fifo; --remove removes it.", file=sys.stderr, flush=True)
    try:
        listen(sqs, queue_url)
    except KeyboardInterrupt:
        pass


def bind(sqs, sns, topic_arn, queue_name, filter_policy):
    """Binds a queue to the exchange, or gives the one of last time this filter, and says where it is."""
    # A publisher's deduplication id need be unique in its room only, so the queue must not take it for more.
    attributes = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    queue_url = sqs.create_queue(QueueName=queue_name, Attributes=attributes)["QueueUrl"]
    queue_arn = arn_of(sqs, queue_url)
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy(queue_arn, topic_arn))})
    # Subscribing again with another filter is refused, or, by the laptop cloud, overlooked.
    if subscription_arn := subscription_of(sns, topic_arn, queue_arn):
        sns.set_subscription_attributes(SubscriptionArn=subscription_arn, AttributeName="FilterPolicy", AttributeValue=json.dumps(filter_policy))
    else:
        attributes = {"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(filter_policy)}
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes)
    return queue_url


def policy(queue_arn, topic_arn):
    """Lets the topic, and nobody else, send to the queue."""
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
    heard = collections.deque(maxlen=REMEMBERED)
    while True:
        received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in received.get("Messages", []):
            what = json.loads(message["Body"])
            entry = entry_of(what)
            if entry is None or entry not in heard:
                print(json.dumps(what, ensure_ascii=False), flush=True)
                heard.append(entry)
            # Only now that it has been handled: whatever is not deleted comes again after 30 seconds, and holds up its room until then.
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def entry_of(what):
    """Says which entry it is. What another program publishes is none, whatever it looks like."""
    return (what["uri"], what["id"]) if what.get("type") in ENTRIES and "id" in what else None


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
