//! Statements of policy documents
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>).

use serde_json::{Map, Value};

use super::{call::Call, condition::Condition, pattern::Pattern, texts::texts};

/// The services whose requests are authorized here, as actions name them.
const SERVICES: [&str; 5] = ["dynamodb", "sns", "sqs", "ses", "execute-api"];
const ELEMENTS: [&str; 7] = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A statement of a policy.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    actions: Selection,
    resources: Selection,
    conditions: Vec<Condition>,
}

/// What matches one of the patterns, or what matches none.
#[derive(Clone, Debug)]
struct Selection {
    patterns: Vec<Pattern>,
    is_inverted: bool,
}

impl Statement {
    /// Reads a statement; `None` if it is about other services only.
    pub(super) fn read(statement: &Value) -> Result<Option<Self>, String> {
        let members = statement.as_object().ok_or("a Statement is not an object")?;
        if let Some(element) = members.keys().find(|name| !ELEMENTS.contains(&name.as_str())) {
            return Err(format!("the policy element {element} is not supported"));
        }
        let effect = match members.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err("a Statement's Effect is neither Allow nor Deny".to_owned()),
        };
        if is_about_other_services(members)? {
            return Ok(None);
        }
        let actions = Selection::read(members, "Action", "NotAction", Pattern::action)?;
        let resources = Selection::read(members, "Resource", "NotResource", Pattern::like)?;
        let conditions = members.get("Condition").map(Condition::read_all).transpose()?.unwrap_or_default();
        Ok(Some(Self { effect, actions, resources, conditions }))
    }

    pub(super) fn applies(&self, call: &Call) -> bool {
        self.actions.has(&call.action)
            && self.resources.has(&call.resource)
            && self.conditions.iter().all(|condition| condition.holds(&call.context))
    }
}

impl Selection {
    fn read(
        members: &Map<String, Value>,
        name: &str,
        inverted: &str,
        pattern: impl Fn(&str) -> Result<Pattern, String>,
    ) -> Result<Self, String> {
        let (values, is_inverted) = match (members.get(name), members.get(inverted)) {
            (Some(values), None) => (values, false),
            (None, Some(values)) => (values, true),
            _ => return Err(format!("a Statement needs either {name} or {inverted}")),
        };
        let patterns = texts(values)?.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        Ok(Self { patterns, is_inverted })
    }

    fn has(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(text)) != self.is_inverted
    }
}

/// Whether each of a statement's actions is one of a service that does not run here.
fn is_about_other_services(members: &Map<String, Value>) -> Result<bool, String> {
    let Some(actions) = members.get("Action") else { return Ok(false) };
    let is_other = |action: &String| {
        let service = action.split_once(':').map_or(action.as_str(), |(service, _)| service).to_lowercase();
        !service.contains(['*', '?']) && !SERVICES.contains(&service.as_str())
    };
    Ok(texts(actions)?.iter().all(is_other))
}
