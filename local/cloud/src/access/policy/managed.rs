//! AWS's managed policies for functions
//! (<https://docs.aws.amazon.com/lambda/latest/dg/permissions-executionrole.html#permissions-executionrole-features>).

/// The actions of a managed policy on all resources, as far as the services here have them.
pub(super) fn actions(name: &str) -> Option<&'static [&'static str]> {
    let name = name.rsplit('/').next().unwrap_or(name);
    Some(match name {
        "AWSLambdaBasicExecutionRole"
        | "AWSLambdaVPCAccessExecutionRole"
        | "AWSXrayWriteOnlyAccess"
        | "AWSXRayDaemonWriteAccess" => &[],
        "AWSLambdaSQSQueueExecutionRole" => &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "AWSLambdaDynamoDBExecutionRole" => {
            &["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]
        }
        _ => return None,
    })
}
