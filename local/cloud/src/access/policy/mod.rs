//! Evaluates identity-based policies of IAM
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>).

mod call;
mod condition;
mod managed;
mod pattern;
mod statement;
mod texts;

use serde_json::{Value, json};

pub(crate) use call::{Call, Context, Denial};
pub(crate) use condition::{
    ATTRIBUTES, ENCLOSING_OPERATION, FROM_ADDRESS, FROM_DISPLAY_NAME, LEADING_KEYS, PRINCIPAL_ACCOUNT, PRINCIPAL_ARN,
    RECIPIENTS, REQUESTED_REGION, RESOURCE_ACCOUNT, RETURN_CONSUMED_CAPACITY, RETURN_VALUES, SECURE_TRANSPORT, SELECT,
};
use statement::{Effect, Statement};

/// The statements of all policies of a role, as far as they are about the services here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy(Vec<Statement>);

impl Policy {
    /// Reads the `Policies` of a SAM function: policy documents and names of managed policies, or one of either.
    pub(crate) fn read(policies: &Value) -> Result<Self, String> {
        let mut policy = Self::default();
        match policies {
            Value::Null => {}
            Value::Array(all) => all.iter().try_for_each(|one| policy.add(one))?,
            one => policy.add(one)?,
        }
        Ok(policy)
    }

    /// Adds a policy document, or a managed policy by its name or ARN.
    fn add(&mut self, policy: &Value) -> Result<(), String> {
        if let Some(name) = policy.as_str() {
            let actions =
                managed::actions(name).ok_or_else(|| format!("the managed policy {name} is not supported"))?;
            let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
            self.0.extend(Statement::read(&statement)?);
            return Ok(());
        }
        match policy.get("Statement") {
            Some(Value::Array(all)) => {
                all.iter().try_for_each(|one| Statement::read(one).map(|one| self.0.extend(one)))
            }
            Some(one) => Statement::read(one).map(|one| self.0.extend(one)),
            None => {
                let name = policy.as_object().and_then(|members| members.keys().next());
                Err(format!("the policy template {} is not supported", name.map_or("{}", String::as_str)))
            }
        }
    }

    /// Whether a call is allowed. A `Deny` takes precedence over any `Allow`.
    pub(crate) fn decide(&self, call: &Call) -> Result<(), Denial> {
        let mut applicable = self.0.iter().filter(|statement| statement.applies(call)).peekable();
        if applicable.peek().is_none() {
            return Err(Denial::Implicit);
        }
        if applicable.any(|statement| statement.effect == Effect::Deny) { Err(Denial::Explicit) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(action: &str, resource: &str, keys: &[&str]) -> Call {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Call { action: action.to_owned(), resource: resource.to_owned(), context: [(LEADING_KEYS, keys)].into() }
    }

    fn statement(effect: &str, rest: Value) -> Value {
        let mut statement = json!({ "Effect": effect, "Action": "dynamodb:*", "Resource": "*" });
        statement.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        statement
    }

    #[test]
    fn statements_apply_by_action_resource_and_condition() {
        let condition = json!({ "ForAllValues:StringLike": { LEADING_KEYS: ["A#*", "B#*"] } });
        let allow = json!({ "Action": ["dynamodb:Get*"], "Resource": "arn:t/*", "Condition": condition });
        let deny = json!({ "NotAction": "dynamodb:GetItem", "Resource": "arn:t/secret" });
        let mut deny = statement("Deny", deny);
        deny.as_object_mut().unwrap().remove("Action");
        let policy = Policy::read(&json!([{ "Statement": [statement("Allow", allow), deny] }])).unwrap();
        let decide = |action, resource, keys| policy.decide(&call(action, resource, keys));
        assert_eq!(decide("dynamodb:GetItem", "arn:t/1", &["A#1", "B#2"]), Ok(()));
        assert_eq!(decide("dynamodb:getitem", "arn:t/1", &[]), Ok(()));
        assert_eq!(decide("dynamodb:GetItem", "arn:t/1", &["A#1", "C#2"]), Err(Denial::Implicit));
        assert_eq!(decide("dynamodb:GetItem", "arn:u/1", &["A#1"]), Err(Denial::Implicit));
        assert_eq!(decide("dynamodb:GetRecords", "arn:t/secret", &[]), Err(Denial::Explicit));
        assert_eq!(decide("dynamodb:GetItem", "arn:t/secret", &[]), Ok(()));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let read = |policies: Value| Policy::read(&policies).unwrap_err();
        assert!(read(json!([{ "DynamoDBCrudPolicy": { "TableName": "t" } }])).contains("DynamoDBCrudPolicy"));
        assert!(read(json!("AmazonSQSFullAccess")).contains("AmazonSQSFullAccess"));
        let of = |rest| read(json!({ "Statement": statement("Allow", rest) }));
        assert!(of(json!({ "Principal": "*" })).contains("Principal"));
        assert!(of(json!({ "Resource": "arn:${aws:username}" })).contains("${aws:username}"));
        let condition = json!({ "Condition": { "IpAddress": { "aws:SourceIp": "x" } } });
        assert!(of(condition).contains("IpAddress"));
        // Of other services nothing is read.
        let other = json!({ "Action": "s3:*", "Condition": { "IpAddress": { "aws:SourceIp": "x" } } });
        assert!(Policy::read(&json!({ "Statement": statement("Allow", other) })).is_ok());
    }

    #[test]
    fn managed_policies_grant_what_aws_documents() {
        let policy = Policy::read(&json!([
            "AWSLambdaBasicExecutionRole",
            "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
        ]))
        .unwrap();
        assert_eq!(policy.decide(&call("sqs:ReceiveMessage", "arn:q", &[])), Ok(()));
        assert_eq!(policy.decide(&call("sqs:SendMessage", "arn:q", &[])), Err(Denial::Implicit));
    }

    proptest! {
        /// Whatever the order of statements, one that denies decides.
        #[test]
        fn a_deny_takes_precedence(effects in prop::collection::vec(any::<bool>(), 0..5)) {
            let name = |allows: &bool| if *allows { "Allow" } else { "Deny" };
            let statements: Vec<_> = effects.iter().map(|allows| statement(name(allows), json!({}))).collect();
            let policy = Policy::read(&json!({ "Statement": statements })).unwrap();
            let expected = match effects.iter().min() {
                None => Err(Denial::Implicit),
                Some(false) => Err(Denial::Explicit),
                Some(true) => Ok(()),
            };
            prop_assert_eq!(policy.decide(&call("dynamodb:GetItem", "arn:t", &[])), expected);
        }
    }
}
