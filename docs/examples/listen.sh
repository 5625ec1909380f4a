#!/usr/bin/env bash
# Listens to the exchange with a queue and prints events, one per line, until ctrl-c. Needs only the AWS CLI.
#
#     listen.sh                                    all events of all chats
#     listen.sh '{"type": ["message"]}'            new messages only; accepts any filter policy
#     listen.sh '{"uri": ["040213b14a02451"]}'     all events of one chat
#     listen.sh --remove                           removes the queue and its subscription
#
# The queue remains when the script ends, and keeps later events for four days. Repeats are printed, too. Needs TOPIC_ARN.
set -euo pipefail

topic=${TOPIC_ARN:?"not set; it names the exchange"}
queue=listen-sh.fifo
# A filter on the body excludes messages that are not JSON objects.
filter='{"uri": [{"exists": true}]}'
if [ $# -gt 0 ]; then filter=$1; fi

# Version 1 of the AWS CLI ignores AWS_ENDPOINT_URL_SQS (https://github.com/aws/aws-cli/issues/8737).
sqs() { aws sqs "$@" ${AWS_ENDPOINT_URL_SQS:+--endpoint-url "$AWS_ENDPOINT_URL_SQS"} --output text; }

sns() { aws sns "$@" --output text; }

# A JSON document as a string within another.
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

# Deduplication ids are unique within a chat only.
url=$(sqs create-queue --queue-name "$queue" --query QueueUrl \
    --attributes FifoQueue=true,DeduplicationScope=messageGroup,FifoThroughputLimit=perMessageGroupId)
arn=$(arn_of "$url")

# Permits only the topic to send to the queue.
policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
    "Resource": "'$arn'", "Condition": {"ArnEquals": {"aws:SourceArn": "'$topic'"}}}]}'
sqs set-queue-attributes --queue-url "$url" --attributes "{\"Policy\": $(quoted "${policy//$'\n'/}")}"

# Subscribing again with another filter is an error on AWS, and has no effect in the laptop cloud.
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
    # The receipt handle, a tab, and the body. In JSON, a line break can only occur between tokens, so it can be replaced.
    body=${message#*$'\t'}
    printf '%s\n' "${body//$'\n'/ }"
    # After processing: a message that is not deleted blocks its chat and is delivered again after 30 seconds.
    sqs delete-message --queue-url "$url" --receipt-handle "${message%%$'\t'*}"
done
