"""Publishes an object into a room: whoever listens there, on a socket or with a queue, gets it.

    publish.py 040213b14a02451 '{"type": "weather", "degrees": 21.5}'

It is told and not stored. Needs boto3, and TOPIC_ARN or --topic.
"""

import argparse
import json
import os
import uuid

import boto3


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--topic", default=os.environ.get("TOPIC_ARN"), help="the exchange's ARN; $TOPIC_ARN if not given")
    arguments.add_argument("--once", metavar="ID", help="if it was published in this room with the same ID in the last five minutes, do nothing")
    arguments.add_argument("uri", help="the room")
    arguments.add_argument("object", type=json.loads, help="a JSON object; its `type` must be none of Confab's own")
    options = arguments.parse_args()
    if not options.topic:
        arguments.error("which exchange? Set TOPIC_ARN, or give --topic.")
    if not isinstance(options.object, dict):
        arguments.error("only an object can be published.")

    published = boto3.client("sns").publish(
        TopicArn=options.topic,
        Message=json.dumps(options.object | {"uri": options.uri}),
        # Order is kept within a message group, and a room is one.
        MessageGroupId=options.uri,
        MessageDeduplicationId=options.once or str(uuid.uuid4()),
    )
    print(published["MessageId"])


if __name__ == "__main__":
    main()
