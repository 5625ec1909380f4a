//! The functions' policies: what the template grants, and the statements that grant what was recorded.

use std::collections::{BTreeMap, BTreeSet};

use confab_shared::key::Partition;
use serde_json::Value;

use crate::{
    proxy::{Call, Proxy},
    world::template,
};

/// A function, an action, and its scope: the prefix of a partition key, or a resource.
pub type Grant = (String, String, String);

fn grant(function: &str, action: &str, scope: &str) -> Grant {
    (function.to_owned(), action.to_owned(), scope.to_owned())
}

/// The scopes other than partitions of the table, and how the template refers to them.
const RESOURCES: [(&str, &str); 10] = [
    ("Topic", "!Ref Topic"),
    ("FanoutQueue", "!GetAtt FanoutQueue.Arn"),
    ("DeliveryQueue", "!GetAtt DeliveryQueue.Arn"),
    ("DeadLetters", "!GetAtt DeadLetters.Arn"),
    ("ErasureQueue", "!GetAtt ErasureQueue.Arn"),
    ("MailQueue", "!GetAtt MailQueue.Arn"),
    // Which identity is verified, that of the sender's address or of its domain, the template does not know. In the sandbox,
    // SES also asks for those of recipients (https://github.com/cloudposse/terraform-aws-ses/issues/40).
    (":identity/*", r#"!Sub "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*""#),
    (
        "/POST/@connections/*",
        r#"!Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}/${StageName}/POST/@connections/*""#,
    ),
    (
        "/GET/@connections/*",
        r#"!Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}/${StageName}/GET/@connections/*""#,
    ),
    (
        "/DELETE/@connections/*",
        r#"!Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}/${StageName}/DELETE/@connections/*""#,
    ),
];

/// What calls of DynamoDB need. Members of transactions are added to `transactions`.
///
/// AWS does not document which keys a policy's condition sees for a member of a transaction: that member's, none, or
/// those of all members. So each action that occurs in a transaction needs all partitions of its function's transactions.
pub fn for_table(calls: Vec<Call>, transactions: &mut BTreeSet<Grant>) -> BTreeSet<Grant> {
    let mut grants = BTreeSet::new();
    for Call { caller, operation, body, .. } in calls {
        let body: Value = serde_json::from_str(&body).unwrap();
        let needs = |operation: &str, pk: &Value| {
            let (partition, _) = Partition::parse(pk["S"].as_str().unwrap()).unwrap();
            grant(&caller, &format!("dynamodb:{operation}"), partition.prefix())
        };
        let mut add = |operation: &str, pk: &Value| {
            grants.insert(needs(operation, pk));
        };
        match operation.as_str() {
            "BatchGetItem" => {
                let tables = body["RequestItems"].as_object().unwrap().values();
                tables
                    .flat_map(|table| table["Keys"].as_array().unwrap())
                    .for_each(|key| add("BatchGetItem", &key["pk"]));
            }
            "BatchWriteItem" => {
                let writes = body["RequestItems"].as_object().unwrap().values().flat_map(|all| all.as_array().unwrap());
                let key = |write: &Value| match &write["PutRequest"]["Item"] {
                    Value::Null => write["DeleteRequest"]["Key"]["pk"].clone(),
                    item => item["pk"].clone(),
                };
                writes.for_each(|write| add("BatchWriteItem", &key(write)));
            }
            "Query" => add("Query", &body["ExpressionAttributeValues"][":pk"]),
            "PutItem" => add("PutItem", &body["Item"]["pk"]),
            "GetItem" | "UpdateItem" | "DeleteItem" => add(&operation, &body["Key"]["pk"]),
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
            "TransactWriteItems" => {
                for item in body["TransactItems"].as_array().unwrap() {
                    let (kind, write) = item.as_object().unwrap().iter().next().unwrap();
                    let action = if kind == "ConditionCheck" { "ConditionCheckItem" } else { &format!("{kind}Item") };
                    let pk = if kind == "Put" { &write["Item"]["pk"] } else { &write["Key"]["pk"] };
                    transactions.insert(needs(action, pk));
                }
            }
            other => panic!("{other} is not known here"),
        }
    }
    for (function, action, _) in transactions.iter() {
        let partitions = transactions.iter().filter(|(other, ..)| other == function);
        grants.extend(partitions.map(|(.., partition)| grant(function, action, partition)));
    }
    grants
}

/// What calls of SNS, SQS and `@connections` need.
pub fn for_other_services(sns: &Proxy, sqs: &Proxy, sockets: &Proxy) -> BTreeSet<Grant> {
    // Publishing a batch needs the same permission as publishing one message.
    let publish = |call: Call| grant(&call.caller, "sns:Publish", "Topic");
    // A batch operation needs the permission for its single one.
    let use_queue = |call: Call| {
        let body: Value = serde_json::from_str(&call.body).unwrap();
        let url = body["QueueUrl"].as_str().unwrap();
        let is_queue = |name: &&&str| url.trim_end_matches(".fifo").ends_with(&format!("-{name}"));
        let queue =
            ["FanoutQueue", "DeliveryQueue", "DeadLetters", "ErasureQueue", "MailQueue"].iter().find(is_queue).unwrap();
        grant(&call.caller, &format!("sqs:{}", call.operation.trim_end_matches("Batch")), queue)
    };
    let manage = |call: Call| {
        grant(&call.caller, "execute-api:ManageConnections", &format!("/{}/@connections/*", call.operation))
    };
    let grants = sns.calls().into_iter().map(publish).chain(sqs.calls().into_iter().map(use_queue));
    grants.chain(sockets.calls().into_iter().map(manage)).collect()
}

/// What calls of SES need.
pub fn for_mail(ses: &Proxy) -> BTreeSet<Grant> {
    ses.calls().into_iter().map(|call| grant(&call.caller, "ses:SendEmail", ":identity/*")).collect()
}

/// What the template grants, read from the parsed template: a statement outside the written lines counts too.
pub fn granted() -> BTreeSet<Grant> {
    let template = template();
    let mut grants = BTreeSet::new();
    for resource in template.body()["Resources"].as_object().unwrap().values() {
        if resource["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let function = resource["Properties"]["Handler"].as_str().unwrap();
        let policies = resource["Properties"]["Policies"].as_array().into_iter().flatten();
        for statement in policies.flat_map(|policy| policy["Statement"].as_array().into_iter().flatten()) {
            assert_eq!(statement["Effect"], "Allow");
            for action in statement["Action"].as_array().unwrap() {
                grants.extend(scopes(statement).iter().map(|scope| grant(function, action.as_str().unwrap(), scope)));
            }
        }
    }
    grants
}

fn scopes(statement: &Value) -> Vec<String> {
    let resource = statement["Resource"].to_string();
    if resource.contains("\"Table\"") {
        let keys = &statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        let keys = keys.as_array().unwrap_or_else(|| panic!("{statement} has no leading keys"));
        return keys.iter().map(|key| key.as_str().unwrap().trim_end_matches('*').to_owned()).collect();
    }
    let names = |scope: &str| resource.contains(&format!("\"{scope}\"")) || resource.contains(&format!("}}{scope}\""));
    let found = RESOURCES.iter().find(|(scope, _)| names(scope));
    vec![found.unwrap_or_else(|| panic!("{resource} is too wide")).0.to_owned()]
}

/// The line that the statements of a function's policy follow, one per line.
const MARKER: &str = "Statement: # recorded by tests/it/permissions.rs";

/// The text of a template with these grants in place of those that it has.
pub fn written(text: &str, grants: &BTreeSet<Grant>) -> String {
    let mut lines = vec![];
    let mut function = "";
    let mut is_statement = false;
    for line in text.lines() {
        if is_statement && line.trim_start().starts_with("- {") {
            continue;
        }
        lines.push(line.to_owned());
        function = line.trim_start().strip_prefix("Handler: ").unwrap_or(function);
        is_statement = line.trim_start() == MARKER;
        if is_statement {
            let indent = line.len() - MARKER.len() + 2;
            lines.extend(statements(function, grants).iter().map(|line| format!("{:indent$}- {line}", "")));
        }
    }
    lines.join("\n") + "\n"
}

/// The statements of one function, sorted. Actions on the same partitions share a statement.
fn statements(function: &str, grants: &BTreeSet<Grant>) -> BTreeSet<String> {
    let mut scopes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, action, scope) in grants.iter().filter(|(name, ..)| name == function) {
        scopes.entry(action).or_default().insert(scope);
    }
    let mut merged: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (action, scopes) in scopes {
        if action.starts_with("dynamodb:") {
            merged.entry(scopes).or_default().push(action);
        } else {
            scopes.into_iter().for_each(|scope| merged.entry([scope].into()).or_default().push(action));
        }
    }
    let statement = |(scopes, actions): (BTreeSet<&str>, Vec<&str>)| {
        let actions = actions.join(", ");
        let resource = RESOURCES.iter().find(|(scope, _)| scopes.contains(scope)).map(|(_, resource)| *resource);
        if let Some(resource) = resource {
            return format!("{{ Effect: Allow, Action: [{actions}], Resource: {resource} }}");
        }
        let keys = scopes.iter().map(|prefix| format!("\"{prefix}*\"")).collect::<Vec<_>>().join(", ");
        let condition = format!("{{ \"ForAllValues:StringLike\": {{ dynamodb:LeadingKeys: [{keys}] }} }}");
        format!("{{ Effect: Allow, Action: [{actions}], Resource: !GetAtt Table.Arn, Condition: {condition} }}")
    };
    merged.into_iter().map(statement).collect()
}
