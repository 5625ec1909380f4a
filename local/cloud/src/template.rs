//! A SAM or CloudFormation template as read from its file: YAML with the short forms of intrinsic functions written out,
//! and those functions resolved.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

use crate::for_each;

/// What is wrong with a template, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}.")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{path} is not YAML: {problem}.")]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// Why, and where.
        problem: String,
    },
    /// A parameter has a value that it may not have, or none.
    #[error("{0}.")]
    Parameter(String),
    /// Something in it makes no sense.
    #[error("The template is wrong: {0}.")]
    Wrong(String),
}

impl TemplateError {
    pub(crate) fn wrong(problem: impl Into<String>) -> Self {
        Self::Wrong(problem.into())
    }
}

/// A template, not yet resolved.
#[derive(Clone, Debug)]
pub struct Template {
    /// As it is written.
    source: Value,
    /// With its loops expanded over the parameters' defaults.
    body: Value,
}

/// What the template's references stand for: the part that depends on where it runs.
pub(crate) trait Names {
    /// What `!Ref` to a resource gives.
    fn reference(&self, logical_id: &str, resource: &Value) -> Value;
    /// What `!GetAtt` of a resource gives, where it is known.
    fn attribute(&self, logical_id: &str, resource: &Value, attribute: &str) -> Option<Value>;
    /// What a pseudo parameter such as `AWS::Region` gives.
    fn pseudo(&self, name: &str) -> Option<Value>;
}

impl Template {
    /// Reads a template's file.
    ///
    /// # Errors
    /// When it cannot be read, is not YAML, or has a malformed loop.
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let text =
            fs::read_to_string(path).map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
        let source = parse(&text).map_err(|problem| TemplateError::NotYaml { path: path.to_owned(), problem })?;
        Self::new(source)
    }

    fn new(source: Value) -> Result<Self, TemplateError> {
        let parameters = source.get("Parameters").and_then(Value::as_object).map(crate::parameters::defaults);
        let body = for_each::expand(&source, &parameters.unwrap_or_default())?;
        Ok(Self { source, body })
    }

    /// All of it, with loops expanded over the parameters' defaults, the short forms of intrinsic functions written out, and
    /// nothing resolved.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The template with every intrinsic function resolved, resources whose condition does not hold left out, and SAM's
    /// `Globals` merged into its functions.
    pub(crate) fn resolve(
        &self,
        parameters: &BTreeMap<String, String>,
        names: &dyn Names,
    ) -> Result<Resolved, TemplateError> {
        let declared = self.source.get("Parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        let values = crate::parameters::values(&declared, parameters)?;
        let body = for_each::expand(&self.source, &values)?;
        let section = |name: &str| body.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let resources = section("Resources");
        if resources.is_empty() {
            return Err(TemplateError::wrong("it has no Resources"));
        }
        let resolver = Resolver { parameters: values, conditions: section("Conditions"), resources: &resources, names };
        let globals = section("Globals").remove("Function");
        let mut resolved = Resolved::default();
        for (logical_id, resource) in &resources {
            if let Some(Value::String(condition)) = resource.get("Condition")
                && !resolver.condition(condition)?
            {
                continue;
            }
            let mut resource = resource.clone();
            if resource["Type"] == "AWS::Serverless::Function"
                && let Some(globals) = &globals
            {
                resource["Properties"] = merged(globals.clone(), resource["Properties"].take());
            }
            let resource = resolver.resolve(&resource).map_err(|error| error.within(logical_id))?;
            resolved.resources.insert(logical_id.clone(), resource);
        }
        for (name, output) in section("Outputs") {
            if let Some(condition) = output["Condition"].as_str()
                && !resolver.condition(condition)?
            {
                continue;
            }
            let output = resolver.resolve(&output).map_err(|error| error.within(&name))?;
            resolved.outputs.insert(name, output["Value"].clone());
        }
        Ok(resolved)
    }
}

/// A template's resources and outputs without references.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) resources: BTreeMap<String, Value>,
    pub(crate) outputs: BTreeMap<String, Value>,
}

impl TemplateError {
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Wrong(problem) => Self::Wrong(format!("{place}: {problem}")),
            other => other,
        }
    }
}

/// SAM merges a function's globals member by member; lists are joined and other values are the function's own
/// (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>).
fn merged(globals: Value, own: Value) -> Value {
    match (globals, own) {
        (Value::Object(mut globals), Value::Object(own)) => {
            for (name, value) in own {
                let global = globals.remove(&name).unwrap_or(Value::Null);
                globals.insert(name, merged(global, value));
            }
            Value::Object(globals)
        }
        (Value::Array(mut globals), Value::Array(own)) => {
            globals.extend(own);
            Value::Array(globals)
        }
        (globals, Value::Null) => globals,
        (_, own) => own,
    }
}

fn parse(text: &str) -> Result<Value, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    value_of(documents.first().ok_or("it is empty")?)
}

/// YAML as JSON, `!Sub x` written out as `{"Fn::Sub": x}`.
fn value_of(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(elements) => Value::Array(elements.iter().map(value_of).collect::<Result<_, _>>()?),
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            let mut seen = HashSet::new();
            for (name, value) in members {
                let name = match value_of(name)? {
                    Value::String(name) => name,
                    other => other.to_string(),
                };
                if !seen.insert(name.clone()) {
                    return Err(format!("{name} stands twice in one place"));
                }
                object.insert(name, value_of(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, value) => {
            let value = value_of(value)?;
            let function = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            let value = match (function.as_str(), value) {
                ("Fn::GetAtt", Value::String(path)) => match path.split_once('.') {
                    Some((resource, attribute)) => json!([resource, attribute]),
                    None => return Err(format!("!GetAtt {path} names no attribute")),
                },
                (_, value) => value,
            };
            json!({ function: value })
        }
        Yaml::Representation(text, ..) => json!(text),
        Yaml::Alias(_) | Yaml::BadValue => return Err("it has a value that makes no sense".to_owned()),
    })
}

struct Resolver<'a> {
    parameters: Map<String, Value>,
    conditions: Map<String, Value>,
    resources: &'a Map<String, Value>,
    names: &'a dyn Names,
}

impl Resolver<'_> {
    fn resolve(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Array(elements) => {
                let elements = elements.iter().map(|element| self.resolve(element));
                // What `AWS::NoValue` stands for is left out.
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
                _ => Err(TemplateError::wrong(format!("Fn::GetAtt of {argument} makes no sense"))),
            },
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &Map::new()),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => self.substitute(text, variables),
                _ => Err(TemplateError::wrong(format!("Fn::Sub of {argument} makes no sense"))),
            },
            ("Fn::Join", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(separator), list] => {
                    let list = self.resolve(list)?;
                    let texts = list.as_array().into_iter().flatten().map(text).collect::<Result<Vec<_>, _>>()?;
                    Ok(json!(texts.join(separator)))
                }
                _ => Err(TemplateError::wrong(format!("Fn::Join of {argument} makes no sense"))),
            },
            ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(condition), yes, no] => self.resolve(if self.condition(condition)? { yes } else { no }),
                _ => Err(TemplateError::wrong(format!("Fn::If of {argument} makes no sense"))),
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
            _ => Err(TemplateError::wrong(format!("{name} is not understood here"))),
        }
    }

    fn holds(&self, condition: &Value) -> Result<bool, TemplateError> {
        match condition.get("Condition").and_then(Value::as_str) {
            Some(name) => self.condition(name),
            None => Ok(self.resolve(condition)? == Value::Bool(true)),
        }
    }

    fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        let condition = self.conditions.get(name);
        self.holds(condition.ok_or_else(|| TemplateError::wrong(format!("there is no condition {name}")))?)
    }

    fn reference(&self, name: &str) -> Result<Value, TemplateError> {
        if let Some(value) = self.parameters.get(name).cloned().or_else(|| self.names.pseudo(name)) {
            return Ok(value);
        }
        match self.resources.get(name) {
            Some(resource) => Ok(self.names.reference(name, &self.named(resource)?)),
            // SAM makes resources of its own, such as a route of an API, whose names only it knows.
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
        value.ok_or_else(|| TemplateError::wrong(format!("{resource} has no attribute {attribute} here")))
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
            let (name, rest) = part.split_once('}').ok_or_else(|| TemplateError::wrong("a ${ is never closed"))?;
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

/// A scalar as text.
pub(crate) fn text(value: &Value) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(TemplateError::wrong(format!("{other} stands where a text should"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Names for Plain {
        fn reference(&self, logical_id: &str, _: &Value) -> Value {
            json!(format!("ref-{logical_id}"))
        }

        fn attribute(&self, logical_id: &str, _: &Value, attribute: &str) -> Option<Value> {
            (attribute == "Arn").then(|| json!(format!("arn-{logical_id}")))
        }

        fn pseudo(&self, name: &str) -> Option<Value> {
            (name == "AWS::Region").then(|| json!("here"))
        }
    }

    fn resolve(text: &str, parameters: &[(&str, &str)]) -> Result<Resolved, String> {
        let parameters = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let template = Template::new(parse(text)?).map_err(|error| error.to_string())?;
        template.resolve(&parameters, &Plain).map_err(|error| error.to_string())
    }

    const TEMPLATE: &str = r#"
Parameters:
  Stage: { Type: String, Default: dev }
Conditions:
  IsLive: !Equals [!Ref Stage, live]
  IsNotLive: !Not [!Condition IsLive]
Globals:
  Function:
    Timeout: 3
    Environment: { Variables: { A: !Ref Queue, B: global } }
Resources:
  Queue: { Type: "AWS::SQS::Queue" }
  Alarm: { Type: "AWS::CloudWatch::Alarm", Condition: IsLive }
  Function:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: !If [IsLive, 512, 128]
      Environment: { Variables: { B: !Sub "${Stage}/${Queue.Arn}/${AWS::Region}/${!Literal}/${X}", } }
"#;

    #[test]
    fn references_are_resolved() {
        let text = TEMPLATE.replace("/${X}\"", "\"");
        let resolved = resolve(&text, &[]).unwrap();
        assert!(!resolved.resources.contains_key("Alarm"));
        let expected = json!({
            "Timeout": 3,
            "MemorySize": 128,
            "Environment": { "Variables": { "A": "ref-Queue", "B": "dev/arn-Queue/here/${Literal}" } },
        });
        assert_eq!(resolved.resources["Function"]["Properties"], expected);
        let live = resolve(&text, &[("Stage", "live")]).unwrap();
        assert_eq!(live.resources["Function"]["Properties"]["MemorySize"], 512);
        assert!(live.resources.contains_key("Alarm"));
    }

    #[test]
    fn loops_take_their_parameters_values() {
        let text = r#"
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Parameters:
  Names: { Type: CommaDelimitedList, Default: "A, B" }
Globals:
  Function:
    LoggingConfig: { LogFormat: JSON }
    Environment: { Variables: { X: global, Y: global } }
Resources:
  Fn::ForEach::Functions:
    - Name
    - !Ref Names
    - ${Name}Queue: { Type: "AWS::SQS::Queue" }
      ${Name}Log: { Type: "AWS::Logs::LogGroup" }
      ${Name}Function:
        Type: AWS::Serverless::Function
        Properties:
          Handler: !Ref Name
          LoggingConfig: { LogGroup: !Ref { "Fn::Sub": "${Name}Log" } }
          Environment: { Variables: { X: !GetAtt [!Sub "${Name}Queue", Arn], Z: !GetAtt "${Name}Queue.Arn" } }
          Policies: [{ Statement: [{ Effect: Allow, Action: "sqs:*", Resource: !GetAtt "${Name}Queue.Arn" }] }]
Outputs:
  Fn::ForEach::Queues:
    - Queue
    - !Ref Names
    - ${Queue}Arn: { Value: !Sub "${${Queue}Queue.Arn}" }
"#;
        let resolved = resolve(text, &[("Names", "C")]).unwrap();
        assert_eq!(resolved.resources.keys().collect::<Vec<_>>(), ["CFunction", "CLog", "CQueue"]);
        let expected = json!({
            "Handler": "C",
            "LoggingConfig": { "LogFormat": "JSON", "LogGroup": "ref-CLog" },
            "Environment": { "Variables": { "X": "arn-CQueue", "Y": "global", "Z": "arn-CQueue" } },
            "Policies": [{ "Statement": [{ "Effect": "Allow", "Action": "sqs:*", "Resource": "arn-CQueue" }] }],
        });
        assert_eq!(resolved.resources["CFunction"]["Properties"], expected);
        assert_eq!(resolved.outputs["CArn"], "arn-CQueue");
        let body = Template::new(parse(text).unwrap()).unwrap().body;
        assert_eq!(body["Resources"].as_object().unwrap().len(), 6);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |text: &str, parameters| resolve(text, parameters).unwrap_err();
        assert_eq!(wrong(TEMPLATE, &[]), "The template is wrong: Function: it refers to X, which does not exist.");
        assert_eq!(wrong(TEMPLATE, &[("Y", "1")]), "Parameters: [Y] do not exist in the template.");
        assert_eq!(wrong("a: 1", &[]), "The template is wrong: it has no Resources.");
        assert!(wrong("a: [", &[]).contains("line"));
        assert!(wrong("a: 1\na: 2", &[]).contains("a"));
    }
}
