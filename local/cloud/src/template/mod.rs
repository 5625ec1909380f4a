//! A SAM or CloudFormation template: read from its file, and resolved.

mod error;
mod for_each;
mod intrinsics;
mod parameters;
mod scalar;
mod yaml;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};

pub use error::TemplateError;
pub(crate) use intrinsics::Names;
use intrinsics::Resolver;

/// A template, not yet resolved.
#[derive(Clone, Debug)]
pub struct Template {
    /// As it is written.
    source: Value,
    /// With its loops expanded over the parameters' defaults.
    body: Value,
}

/// A template's resources and outputs without references.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) resources: BTreeMap<String, Value>,
    pub(crate) outputs: BTreeMap<String, Value>,
}

impl Template {
    /// Reads a template's file.
    ///
    /// # Errors
    /// When it cannot be read, is not YAML, or has a malformed loop.
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let text =
            fs::read_to_string(path).map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
        let source = yaml::parse(&text).map_err(|problem| TemplateError::NotYaml { path: path.to_owned(), problem })?;
        Self::new(source)
    }

    fn new(source: Value) -> Result<Self, TemplateError> {
        let defaults = parameters::defaults(&section(&source, "Parameters"));
        let body = for_each::expand(&source, &defaults)?;
        Ok(Self { source, body })
    }

    /// All of it, with loops expanded over the parameters' defaults, the short forms of intrinsic functions written
    /// out, and nothing resolved.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The template with loops expanded, every intrinsic function resolved, resources whose condition does not hold
    /// left out, and SAM's `Globals` merged into its functions.
    pub(crate) fn resolve(
        &self,
        parameters: &BTreeMap<String, String>,
        names: &dyn Names,
    ) -> Result<Resolved, TemplateError> {
        let values = parameters::values(&section(&self.source, "Parameters"), parameters)?;
        let body = for_each::expand(&self.source, &values)?;
        let resources = section(&body, "Resources");
        if resources.is_empty() {
            return Err(TemplateError::wrong("it has no Resources"));
        }
        let conditions = section(&body, "Conditions");
        let resolver = Resolver { parameters: values, conditions, resources: &resources, names };
        let globals = section(&body, "Globals").remove("Function").unwrap_or_default();
        let is_left_out = |part: &Value| match part["Condition"].as_str() {
            Some(condition) => resolver.condition(condition).map(|holds| !holds),
            None => Ok(false),
        };
        let mut resolved = Resolved::default();
        for (logical_id, resource) in &resources {
            if is_left_out(resource)? {
                continue;
            }
            let mut resource = resource.clone();
            if resource["Type"] == "AWS::Serverless::Function" {
                resource["Properties"] = merged(globals.clone(), resource["Properties"].take());
            }
            let resource = resolver.resolve(&resource).map_err(|error| error.within(logical_id))?;
            resolved.resources.insert(logical_id.clone(), resource);
        }
        for (name, output) in section(&body, "Outputs") {
            if is_left_out(&output)? {
                continue;
            }
            let output = resolver.resolve(&output).map_err(|error| error.within(&name))?;
            resolved.outputs.insert(name, output["Value"].clone());
        }
        Ok(resolved)
    }
}

fn section(template: &Value, name: &str) -> Map<String, Value> {
    template.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Merges `Globals` into a function as SAM does: objects member by member, lists joined, and other values overridden by
/// the function
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct TestNames;

    impl Names for TestNames {
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
        let template = Template::new(yaml::parse(text)?).map_err(|error| error.to_string())?;
        template.resolve(&parameters, &TestNames).map_err(|error| error.to_string())
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
        let body = Template::new(yaml::parse(text).unwrap()).unwrap().body;
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
