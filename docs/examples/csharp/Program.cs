// Listens to the exchange with a queue of its own and prints what happens, an object a line, or publishes into a room.
//
//     dotnet run -- listen                                      everything in all rooms, until ctrl-c
//     dotnet run -- listen '{"type": ["message"]}'              new messages only: any filter policy will do
//     dotnet run -- listen --remove                             removes the queue and its subscription
//     dotnet run -- publish 040213b14a02451 '{"type": "weather", "degrees": 21.5}'
//
// The queue stays when this ends, and what happens meanwhile waits in it, for four days. Needs TOPIC_ARN. The SDK itself takes credentials, the
// region, and for the laptop cloud AWS_ENDPOINT_URL_SNS and AWS_ENDPOINT_URL_SQS, from the environment.

using System.Text.Json;
using System.Text.Json.Nodes;
using Amazon.SimpleNotificationService;
using Amazon.SimpleNotificationService.Model;
using Amazon.SQS;
using Amazon.SQS.Model;

const string QueueName = "listen-csharp.fifo";

// These are entries of a room's log. Each has an id, by which a repeat is known.
string[] entries = ["message", "joined", "left", "owner", "edited", "deleted", "reacted", "unreacted"];

// So many entries are remembered. A program that acts on what it hears remembers for good, in the same place as what it has done.
const int Remembered = 1000;

var topic = Environment.GetEnvironmentVariable("TOPIC_ARN");
if (string.IsNullOrEmpty(topic))
{
    Console.Error.WriteLine("Which exchange? Set TOPIC_ARN.");
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
        // With a filter on the body, nothing comes that is no JSON object.
        await Listen(await Bind("""{"uri": [{"exists": true}]}"""));
        return 0;
    case ["listen", var filter]:
        await Listen(await Bind(filter));
        return 0;
    default:
        Console.Error.WriteLine("Usage: listen [FILTER | --remove] | publish URI OBJECT");
        return 2;
}

async Task Publish(string uri, string json)
{
    var what = JsonNode.Parse(json)!.AsObject();
    what["uri"] = uri;
    var published = await sns.PublishAsync(new PublishRequest
    {
        TopicArn = topic,
        Message = what.ToJsonString(),
        // Order is kept within a message group, and a room is one.
        MessageGroupId = uri,
        // What has one that the room had in the last five minutes is dropped. A program that tries again gives the same.
        MessageDeduplicationId = Guid.NewGuid().ToString(),
    });
    Console.WriteLine(published.MessageId);
}

// Binds a queue to the exchange, or gives the one of last time this filter, and says where it is.
async Task<string> Bind(string filter)
{
    var created = await sqs.CreateQueueAsync(new CreateQueueRequest
    {
        QueueName = QueueName,
        Attributes = new Dictionary<string, string>
        {
            ["FifoQueue"] = "true",
            // A publisher's deduplication id need be unique in its room only, so the queue must not take it for more.
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
    // Subscribing again with another filter is refused, or, by the laptop cloud, overlooked.
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

// Lets the topic, and nobody else, send to the queue.
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
    var answer = await sqs.GetQueueAttributesAsync(new GetQueueAttributesRequest { QueueUrl = queueUrl, AttributeNames = ["QueueArn"] });
    return answer.Attributes["QueueArn"];
}

async Task<string?> SubscriptionOf(string queueArn)
{
    string? next = null;
    do
    {
        var page = await sns.ListSubscriptionsByTopicAsync(new ListSubscriptionsByTopicRequest { TopicArn = topic, NextToken = next });
        // A list that is empty is null in version 4 of the SDK.
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
    var heard = new Queue<(string, string)>();
    while (true)
    {
        var received = await sqs.ReceiveMessageAsync(new ReceiveMessageRequest { QueueUrl = queueUrl, MaxNumberOfMessages = 10, WaitTimeSeconds = 20 });
        foreach (var message in received.Messages ?? [])
        {
            if (EntryOf(message.Body) is not { } entry)
            {
                Print(message.Body);
            }
            else if (!heard.Contains(entry))
            {
                Print(message.Body);
                heard.Enqueue(entry);
                if (heard.Count > Remembered)
                {
                    heard.Dequeue();
                }
            }
            // Only now that it has been handled: whatever is not deleted comes again after 30 seconds, and holds up its room until then.
            await sqs.DeleteMessageAsync(queueUrl, message.ReceiptHandle);
        }
    }
}

// Between JSON's tokens a line break means nothing, and within a string it cannot stand.
void Print(string body) => Console.WriteLine(body.Replace('\r', ' ').Replace('\n', ' '));

// Says which entry it is. What another program publishes is none, whatever it looks like.
(string, string)? EntryOf(string body)
{
    using var document = JsonDocument.Parse(body);
    var what = document.RootElement;
    var isEntry = what.TryGetProperty("type", out var type) && entries.Contains(type.ToString());
    return isEntry && what.TryGetProperty("id", out var id) ? (what.GetProperty("uri").ToString(), id.ToString()) : null;
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
