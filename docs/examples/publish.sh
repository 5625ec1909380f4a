#!/usr/bin/env bash
# Publishes an object into a room with the AWS CLI: whoever listens there, on a socket or with a queue, gets it.
#
#     publish.sh 040213b14a02451 '"type": "weather", "degrees": 21.5'
#
# The second argument is the object's members, without `uri`. Needs TOPIC_ARN.
set -euo pipefail

uri=${1:?"usage: publish.sh URI MEMBERS"}
members=${2:?"usage: publish.sh URI MEMBERS"}

# Order is kept within a message group, and a room is one. What has a deduplication id that the room had in the last five minutes is dropped.
aws sns publish --topic-arn "${TOPIC_ARN:?"which exchange?"}" \
    --message-group-id "$uri" --message-deduplication-id "$(date +%s)-$$-$RANDOM" \
    --message "{\"uri\": \"$uri\", $members}" --query MessageId --output text
