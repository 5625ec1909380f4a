//! Intrinsic functions and conditions
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>).

use serde_json::{Map, Value, json};

use super::{error::TemplateError, scalar::text};

/// The values of references that depend on where the template runs.
pub(crate) trait Names {
    /// The value of `!Ref` to a resource.
    fn reference(&self, logical_id: &str, resource: &Value) -> Value;
    /// The value of `!GetAtt` of a resource, if that attribute is known.
    fn attribute(&self, logical_id: &str, resource: &Value, attribute: &str) -> Option<Value>;
    /// The value of a pseudo parameter such as `AWS::Region`.
    fn pseudo(&self, name: &str) -> Option<Value>;
}

/// Resolves the intrinsic functions of one template.
pub(super) struct Resolver<'a> {
    pub(super) parameters: Map<String, Value>,
    pub(super) conditions: Map<String, Value>,
    pub(super) resources: &'a Map<String, Value>,
    pub(super) names: &'a dyn Names,
}

impl Resolver<'_> {
    /// A value with all its functions resolved. Members and elements that are `AWS::NoValue` are left out.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Array(elements) => {
                let elements = elements.iter().map(|element| self.resolve(element));
                Ok(Value::Array(elements.filter(|e| !matches!(e, Ok(Value::Null))).collect::<Result<_, _>>()?))
            }
            Value::Object(members) => {
                if let (1, Some((name, argument))) = (members.len(), members.iter().next())
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
                    return self.function(name, argument);
                }
                let members = members.iter().map(|(name, value)| Ok((name.clone(), self.resolve(value)?)));
                let members = members.filter(|m| !matches!(m, Ok((name, Value::Null)) if name != "Default"));
                Ok(Value::Object(members.collect::<Result<_, _>>()?))
            }
            plain => Ok(plain.clone()),
        }
    }

    fn function(&self, name: &str, argument: &Value) -> Result<Value, TemplateError> {
        match (name, argument) {
            ("Ref", Value::String(name)) => self.reference(name),
            // `AWS::LanguageExtensions` lets names be made from parameters.
            ("Ref", Value::Object(_)) => self.reference(&text(&self.resolve(argument)?)?),
            ("Fn::GetAtt", Value::Array(path)) => match path.as_slice() {
                [Value::String(resource), Value::String(attribute)] => self.attribute(resource, attribute),
                [resource @ Value::Object(_), Value::String(attribute)] => {
                    self.attribute(&text(&self.resolve(resource)?)?, attribute)
                }
                _ => Err(TemplateError::wrong(format!("Fn::GetAtt of {argument} is malformed"))),
            },
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &Map::new()),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => self.substitute(text, variables),
                _ => Err(TemplateError::wrong(format!("Fn::Sub of {argument} is malformed"))),
            },
            ("Fn::Join", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(separator), list] => {
                    let list = self.resolve(list)?;
                    let texts = list.as_array().into_iter().flatten().map(text).collect::<Result<Vec<_>, _>>()?;
                    Ok(json!(texts.join(separator)))
                }
                _ => Err(TemplateError::wrong(format!("Fn::Join of {argument} is malformed"))),
            },
            ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(condition), yes, no] => self.resolve(if self.condition(condition)? { yes } else { no }),
                _ => Err(TemplateError::wrong(format!("Fn::If of {argument} is malformed"))),
            },
            ("Fn::Equals", Value::Array(sides)) if sides.len() == 2 => {
                Ok(json!(text(&self.resolve(&sides[0])?)? == text(&self.resolve(&sides[1])?)?))
            }
            ("Fn::Not", Value::Array(sides)) if sides.len() == 1 => Ok(json!(!self.holds(&sides[0])?)),
            ("Fn::And", Value::Array(sides)) => {
                sides.iter().try_fold(true, |all, side| Ok(all && self.holds(side)?)).map(Value::from)
            }
            ("Fn::Or", Value::Array(sides)) => {
                sides.iter().try_fold(false, |any, side| Ok(any || self.holds(side)?)).map(Value::from)
            }
            _ => Err(TemplateError::wrong(format!("{name} is not supported"))),
        }
    }

    fn holds(&self, condition: &Value) -> Result<bool, TemplateError> {
        match condition.get("Condition").and_then(Value::as_str) {
            Some(name) => self.condition(name),
            None => Ok(self.resolve(condition)? == Value::Bool(true)),
        }
    }

    pub(super) fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        let condition = self.conditions.get(name);
        self.holds(condition.ok_or_else(|| TemplateError::wrong(format!("there is no condition {name}")))?)
    }

    fn reference(&self, name: &str) -> Result<Value, TemplateError> {
        if let Some(value) = self.parameters.get(name).cloned().or_else(|| self.names.pseudo(name)) {
            return Ok(value);
        }
        match self.resources.get(name) {
            Some(resource) => Ok(self.names.reference(name, &self.named(resource)?)),
            // SAM adds resources, such as a route of an API, under names that only SAM knows.
            None if self
                .resources
                .iter()
                .any(|(known, resource)| name.starts_with(known.as_str()) && is_sams(resource)) =>
            {
                Ok(json!(name))
            }
            None => Err(TemplateError::wrong(format!("it refers to {name}, which does not exist"))),
        }
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, TemplateError> {
        let Some(found) = self.resources.get(resource) else {
            return Err(TemplateError::wrong(format!("it refers to {resource}, which does not exist")));
        };
        let value = self.names.attribute(resource, &self.named(found)?, attribute);
        value.ok_or_else(|| TemplateError::wrong(format!("the attribute {attribute} of {resource} is not supported")))
    }

    /// A resource as far as its names go, which may themselves be made from parameters.
    fn named(&self, resource: &Value) -> Result<Value, TemplateError> {
        let mut named = json!({ "Type": resource["Type"], "Properties": {} });
        for name in ["TableName", "TopicName", "QueueName", "FifoQueue", "FifoTopic", "StageName"] {
            if let Some(value) = resource["Properties"].get(name) {
                named["Properties"][name] = self.resolve(value)?;
            }
        }
        Ok(named)
    }

    fn substitute(&self, text: &str, variables: &Map<String, Value>) -> Result<Value, TemplateError> {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').ok_or_else(|| TemplateError::wrong("a ${ is not closed"))?;
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str(&format!("${{{literal}}}"));
            } else {
                let value = match (variables.get(name), name.split_once('.')) {
                    (Some(value), _) => self.resolve(value)?,
                    (None, Some((resource, attribute))) => self.attribute(resource, attribute)?,
                    (None, None) => self.reference(name)?,
                };
                result.push_str(&self::text(&value)?);
            }
            result.push_str(rest);
        }
        Ok(json!(result))
    }
}

fn is_sams(resource: &Value) -> bool {
    resource["Type"].as_str().is_some_and(|kind| kind.starts_with("AWS::Serverless::"))
}
