"""Publishes an object to a chat: all its subscribers receive it, on a socket or with a queue.

    publish.py 040213b14a02451 '{"type": "weather", "degrees": 21.5}'

It is not stored. Needs boto3, and TOPIC_ARN or --topic.
"""

import argparse
import json
import os
import uuid

import boto3


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--topic", default=os.environ.get("TOPIC_ARN"), help="the exchange's ARN; default: $TOPIC_ARN")
    arguments.add_argument("--once", metavar="ID", help="do nothing if this ID was published to this chat within five minutes")
    arguments.add_argument("uri", help="the chat's uri")
    arguments.add_argument("object", type=json.loads, help="a JSON object; its `type` must not be one of Confab's")
    options = arguments.parse_args()
    if not options.topic:
        arguments.error("no exchange: set TOPIC_ARN, or pass --topic.")
    if not isinstance(options.object, dict):
        arguments.error("not a JSON object.")

    published = boto3.client("sns").publish(
        TopicArn=options.topic,
        Message=json.dumps(options.object | {"uri": options.uri}),
        # A chat is a message group, in which order is kept.
        MessageGroupId=options.uri,
        MessageDeduplicationId=options.once or str(uuid.uuid4()),
    )
    print(published["MessageId"])


if __name__ == "__main__":
    main()
