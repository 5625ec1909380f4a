#!/usr/bin/env bash
# Listens to the exchange with a queue of its own and prints what happens, an object a line, until ctrl-c. Only the AWS CLI is needed.
#
#     listen.sh                                    everything in all rooms
#     listen.sh '{"type": ["message"]}'            new messages only: any filter policy will do
#     listen.sh '{"uri": ["040213b14a02451"]}'     one room
#     listen.sh --remove                           removes the queue and its subscription
#
# The queue stays when this ends, and what happens meanwhile waits in it, for four days. Repeats are printed, too. Needs TOPIC_ARN.
set -euo pipefail

topic=${TOPIC_ARN:?"which exchange?"}
queue=listen-sh.fifo
# With a filter on the body, nothing comes that is no JSON object.
filter='{"uri": [{"exists": true}]}'
if [ $# -gt 0 ]; then filter=$1; fi

# Version 1 of the AWS CLI overlooks AWS_ENDPOINT_URL_SQS (https://github.com/aws/aws-cli/issues/8737).
sqs() { aws sqs "$@" ${AWS_ENDPOINT_URL_SQS:+--endpoint-url "$AWS_ENDPOINT_URL_SQS"} --output text; }

sns() { aws sns "$@" --output text; }

# A JSON text as a string within another.
quoted() { local text=${1//\\/\\\\}; printf '"%s"' "${text//\"/\\\"}"; }

arn_of() { sqs get-queue-attributes --queue-url "$1" --attribute-names QueueArn --query Attributes.QueueArn; }

subscription_of() {
    sns list-subscriptions-by-topic --topic-arn "$topic" --query "Subscriptions[?Endpoint=='$1'].SubscriptionArn" | tr -d '[:space:]'
}

if [ "$filter" = --remove ]; then
    url=$(sqs get-queue-url --queue-name "$queue" --query QueueUrl)
    subscription=$(subscription_of "$(arn_of "$url")")
    if [ -n "$subscription" ]; then sns unsubscribe --subscription-arn "$subscription"; fi
    sqs delete-queue --queue-url "$url"
    echo "Removed the queue $queue and its subscription." >&2
    exit
fi

# A publisher's deduplication id need be unique in its room only, so the queue must not take it for more.
url=$(sqs create-queue --queue-name "$queue" --query QueueUrl \
    --attributes FifoQueue=true,DeduplicationScope=messageGroup,FifoThroughputLimit=perMessageGroupId)
arn=$(arn_of "$url")

# Lets the topic, and nobody else, send to the queue.
policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
    "Resource": "'$arn'", "Condition": {"ArnEquals": {"aws:SourceArn": "'$topic'"}}}]}'
sqs set-queue-attributes --queue-url "$url" --attributes "{\"Policy\": $(quoted "${policy//$'\n'/}")}"

# Subscribing again with another filter is refused, or, by the laptop cloud, overlooked.
subscription=$(subscription_of "$arn")
if [ -n "$subscription" ]; then
    sns set-subscription-attributes --subscription-arn "$subscription" --attribute-name FilterPolicy --attribute-value "$filter"
else
    sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn" --attributes \
        "{\"RawMessageDelivery\": \"true\", \"FilterPolicyScope\": \"MessageBody\", \"FilterPolicy\": $(quoted "$filter")}" >/dev/null
fi
echo "Listening with the queue $queue; --remove removes it." >&2

while true; do
    message=$(sqs receive-message --queue-url "$url" --wait-time-seconds 20 --query 'Messages[0].[ReceiptHandle, Body]')
    if [ "$message" = None ]; then continue; fi
    # The receipt, a tab, and the body. Between JSON's tokens a line break means nothing, and within a string it cannot stand.
    body=${message#*$'\t'}
    printf '%s\n' "${body//$'\n'/ }"
    # Only now that it has been handled: whatever is not deleted comes again after 30 seconds, and holds up its room until then.
    sqs delete-message --queue-url "$url" --receipt-handle "${message%%$'\t'*}"
done
