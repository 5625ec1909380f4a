//! Whether the template's policies allow a function what it asks for.
//!
//! On AWS, SAM adds managed policies to each function's role: `AWSLambdaBasicExecutionRole` for logs,
//! `AWSXRayDaemonWriteAccess` for tracing, and `AWSLambdaSQSQueueExecutionRole` and `AWSLambdaDynamoDBExecutionRole`
//! for event sources, all of them with the resource `*`, and a statement for the queue that an event source sends failed
//! batches to (<https://github.com/aws/serverless-application-model/blob/develop/samtranslator/model/eventsources/pull.py>).
//! Here the event sources have the client's key, so a function has what the template says and nothing else.

use std::collections::BTreeMap;

use http::request::Parts;
use serde_json::Value;

use super::{
    calls::{CallReader, Tables},
    keys::CLIENT,
    policy::{
        Call, Context, Denial, PRINCIPAL_ACCOUNT, PRINCIPAL_ARN, Policy, REQUESTED_REGION, RESOURCE_ACCOUNT,
        SECURE_TRANSPORT,
    },
    protocol::Protocol,
};
use crate::description::{ACCOUNT, Description, Function, REGION};

/// The functions' permissions.
pub(crate) struct Permissions {
    /// By access key id, which is the function's name.
    roles: BTreeMap<String, Role>,
    reader: CallReader,
}

struct Role {
    /// The ARN of the function's session.
    principal: String,
    policy: Policy,
}

/// A call that is denied.
pub(super) struct Denied {
    pub(super) principal: String,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) denial: Denial,
}

impl Permissions {
    /// Reads the policies of a template.
    ///
    /// # Errors
    /// The first part of a policy that is wrong or not supported.
    pub(crate) fn of(description: &Description, stack_name: &str) -> Result<Self, String> {
        let mut roles = BTreeMap::new();
        for (logical_id, function) in &description.functions {
            let policy = policy(function, &description.roles).map_err(|problem| format!("{logical_id}: {problem}"))?;
            let role = format!("{stack_name}-{logical_id}Role");
            let principal = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{}", function.name);
            if function.name == CLIENT {
                return Err(format!("{logical_id}: no function can have the name {CLIENT}"));
            }
            if roles.insert(function.name.clone(), Role { principal, policy }).is_some() {
                return Err(format!("{logical_id}: two functions have the name {}", function.name));
            }
        }
        let websocket_id = description.websocket.as_ref().map(|api| api.id.clone()).unwrap_or_default();
        Ok(Self { roles, reader: CallReader { tables: Tables::of(&description.tables), websocket_id } })
    }

    /// Whether a caller may make a request. Callers that are not functions may do everything.
    pub(super) fn authorize(
        &self,
        caller: &str,
        protocol: Protocol,
        parts: &Parts,
        body: &[u8],
    ) -> Result<(), Box<Denied>> {
        let Some(role) = self.roles.get(caller) else { return Ok(()) };
        for mut call in self.reader.read(protocol, parts, body) {
            call.context.append(&mut role.context());
            if let Err(denial) = role.policy.decide(&call) {
                let Call { action, resource, .. } = call;
                return Err(Box::new(Denied { principal: role.principal.clone(), action, resource, denial }));
            }
        }
        Ok(())
    }
}

impl Role {
    /// The global condition keys
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>).
    fn context(&self) -> Context {
        let values = [
            (PRINCIPAL_ARN, self.principal.as_str()),
            (PRINCIPAL_ACCOUNT, ACCOUNT),
            (RESOURCE_ACCOUNT, ACCOUNT),
            (REQUESTED_REGION, REGION),
            // Functions use TLS on AWS.
            (SECURE_TRANSPORT, "true"),
        ];
        values.map(|(key, value)| (key, vec![value.to_owned()])).into()
    }
}

/// The policy of a function. Its `Policies` are ignored if it has a `Role`, as by SAM.
fn policy(function: &Function, roles: &BTreeMap<String, Value>) -> Result<Policy, String> {
    let Some(arn) = &function.role else { return Policy::read(&function.policies) };
    let role = roles.get(arn).ok_or_else(|| format!("the role {arn} is not in the template"))?;
    let inline = role["Policies"].as_array().into_iter().flatten().map(|policy| policy["PolicyDocument"].clone());
    let managed = role["ManagedPolicyArns"].as_array().into_iter().flatten().cloned();
    Policy::read(&inline.chain(managed).collect())
}
