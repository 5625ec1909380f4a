#!/usr/bin/env bash
# Publishes an object to a chat with the AWS CLI: all its subscribers receive it, on a socket or with a queue.
#
#     publish.sh 040213b14a02451 '"type": "weather", "degrees": 21.5'
#
# The second argument is the object's members, without `uri`. Needs TOPIC_ARN.
set -euo pipefail

uri=${1:?"usage: publish.sh URI MEMBERS"}
members=${2:?"usage: publish.sh URI MEMBERS"}

# A chat is a message group, in which order is kept. The topic drops an object whose deduplication id was used in the same
# chat within five minutes.
aws sns publish --topic-arn "${TOPIC_ARN:?"not set; it names the exchange"}" \
    --message-group-id "$uri" --message-deduplication-id "$(date +%s)-$$-$RANDOM" \
    --message "{\"uri\": \"$uri\", $members}" --query MessageId --output text
