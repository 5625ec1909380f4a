// Listens to the exchange with a queue and prints events, one per line, or publishes to a chat.
//
//     dotnet run -- listen                                      all events of all chats, until ctrl-c
//     dotnet run -- listen '{"type": ["message"]}'              new messages only; accepts any filter policy
//     dotnet run -- listen --remove                             removes the queue and its subscription
//     dotnet run -- publish 040213b14a02451 '{"type": "weather", "degrees": 21.5}'
//
// The queue remains when the program ends, and keeps later events for four days. Needs TOPIC_ARN. The SDK reads credentials,
// the region, and for the laptop cloud AWS_ENDPOINT_URL_SNS and AWS_ENDPOINT_URL_SQS, from the environment.

using System.Text.Json;
using System.Text.Json.Nodes;
using Amazon.SimpleNotificationService;
using Amazon.SimpleNotificationService.Model;
using Amazon.SQS;
using Amazon.SQS.Model;

const string QueueName = "listen-csharp.fifo";

// These types are entries of a chat's log. Each has an id, which identifies repeats.
string[] entries = ["message", "joined", "left", "owner", "edited", "deleted", "reacted", "unreacted", "void"];

// The number of entries that are remembered. A program that acts on entries should store their ids, in the same transaction
// as the result.
const int Remembered = 1000;

var topic = Environment.GetEnvironmentVariable("TOPIC_ARN");
if (string.IsNullOrEmpty(topic))
{
    Console.Error.WriteLine("No exchange: set TOPIC_ARN.");
    return 2;
}
using var sns = new AmazonSimpleNotificationServiceClient();
using var sqs = new AmazonSQSClient();

switch (args)
{
    case ["publish", var uri, var json]:
        await Publish(uri, json);
        return 0;
    case ["listen", "--remove"]:
        await Remove();
        return 0;
    case ["listen"]:
        // A filter on the body excludes messages that are not JSON objects.
        await Listen(await Subscribe("""{"uri": [{"exists": true}]}"""));
        return 0;
    case ["listen", var filter]:
        await Listen(await Subscribe(filter));
        return 0;
    default:
        Console.Error.WriteLine("Usage: listen [FILTER | --remove] | publish URI OBJECT");
        return 2;
}

async Task Publish(string uri, string json)
{
    var node = JsonNode.Parse(json)!.AsObject();
    node["uri"] = uri;
    var published = await sns.PublishAsync(new PublishRequest
    {
        TopicArn = topic,
        Message = node.ToJsonString(),
        // A chat is a message group, in which order is kept.
        MessageGroupId = uri,
        // The topic drops an object whose id was used in the same chat within five minutes. A retry should use the same id.
        MessageDeduplicationId = Guid.NewGuid().ToString(),
    });
    Console.WriteLine(published.MessageId);
}

// Subscribes the queue to the exchange with this filter, creating it if needed, and returns its URL.
async Task<string> Subscribe(string filter)
{
    var created = await sqs.CreateQueueAsync(new CreateQueueRequest
    {
        QueueName = QueueName,
        Attributes = new Dictionary<string, string>
        {
            ["FifoQueue"] = "true",
            // Deduplication ids are unique within a chat only.
            ["DeduplicationScope"] = "messageGroup",
            ["FifoThroughputLimit"] = "perMessageGroupId",
        },
    });
    var queueArn = await ArnOf(created.QueueUrl);
    await sqs.SetQueueAttributesAsync(new SetQueueAttributesRequest
    {
        QueueUrl = created.QueueUrl,
        Attributes = new Dictionary<string, string> { ["Policy"] = Policy(queueArn) },
    });
    // Subscribing again with another filter is an error on AWS, and has no effect in the laptop cloud.
    if (await SubscriptionOf(queueArn) is { } subscription)
    {
        await sns.SetSubscriptionAttributesAsync(new SetSubscriptionAttributesRequest(subscription, "FilterPolicy", filter));
    }
    else
    {
        await sns.SubscribeAsync(new SubscribeRequest
        {
            TopicArn = topic,
            Protocol = "sqs",
            Endpoint = queueArn,
            Attributes = new Dictionary<string, string>
            {
                ["RawMessageDelivery"] = "true",
                ["FilterPolicyScope"] = "MessageBody",
                ["FilterPolicy"] = filter,
            },
        });
    }
    Console.Error.WriteLine($"Listening with the queue {QueueName}; --remove removes it.");
    return created.QueueUrl;
}

// Permits only the topic to send to the queue.
string Policy(string queueArn) => new JsonObject
{
    ["Version"] = "2012-10-17",
    ["Statement"] = new JsonArray(new JsonObject
    {
        ["Effect"] = "Allow",
        ["Principal"] = new JsonObject { ["Service"] = "sns.amazonaws.com" },
        ["Action"] = "sqs:SendMessage",
        ["Resource"] = queueArn,
        ["Condition"] = new JsonObject { ["ArnEquals"] = new JsonObject { ["aws:SourceArn"] = topic } },
    }),
}.ToJsonString();

async Task<string> ArnOf(string queueUrl)
{
    var response = await sqs.GetQueueAttributesAsync(new GetQueueAttributesRequest { QueueUrl = queueUrl, AttributeNames = ["QueueArn"] });
    return response.Attributes["QueueArn"];
}

async Task<string?> SubscriptionOf(string queueArn)
{
    string? next = null;
    do
    {
        var page = await sns.ListSubscriptionsByTopicAsync(new ListSubscriptionsByTopicRequest { TopicArn = topic, NextToken = next });
        // An empty list is null in version 4 of the SDK.
        if (page.Subscriptions?.Find(each => each.Endpoint == queueArn) is { } found)
        {
            return found.SubscriptionArn;
        }
        next = page.NextToken;
    } while (!string.IsNullOrEmpty(next));
    return null;
}

async Task Listen(string queueUrl)
{
    var seen = new Queue<(string, string)>();
    while (true)
    {
        var received = await sqs.ReceiveMessageAsync(new ReceiveMessageRequest { QueueUrl = queueUrl, MaxNumberOfMessages = 10, WaitTimeSeconds = 20 });
        foreach (var message in received.Messages ?? [])
        {
            if (EntryOf(message.Body) is not { } entry)
            {
                Print(message.Body);
            }
            else if (!seen.Contains(entry))
            {
                Print(message.Body);
                seen.Enqueue(entry);
                if (seen.Count > Remembered)
                {
                    seen.Dequeue();
                }
            }
            // After processing: a message that is not deleted blocks its chat and is delivered again after 30 seconds.
            await sqs.DeleteMessageAsync(queueUrl, message.ReceiptHandle);
        }
    }
}

// In JSON, a line break can only occur between tokens, so it can be replaced.
void Print(string body) => Console.WriteLine(body.Replace('\r', ' ').Replace('\n', ' '));

// Identifies an entry. Other events are not entries.
(string, string)? EntryOf(string body)
{
    using var document = JsonDocument.Parse(body);
    var root = document.RootElement;
    var isEntry = root.TryGetProperty("type", out var type) && entries.Contains(type.ToString());
    return isEntry && root.TryGetProperty("id", out var id) ? (root.GetProperty("uri").ToString(), id.ToString()) : null;
}

async Task Remove()
{
    string queueUrl;
    try
    {
        queueUrl = (await sqs.GetQueueUrlAsync(QueueName)).QueueUrl;
    }
    catch (QueueDoesNotExistException)
    {
        Console.Error.WriteLine($"There is no queue {QueueName}.");
        return;
    }
    if (await SubscriptionOf(await ArnOf(queueUrl)) is { } subscription)
    {
        await sns.UnsubscribeAsync(new UnsubscribeRequest { SubscriptionArn = subscription });
    }
    await sqs.DeleteQueueAsync(new DeleteQueueRequest { QueueUrl = queueUrl });
    Console.Error.WriteLine($"Removed the queue {QueueName} and its subscription.");
}
