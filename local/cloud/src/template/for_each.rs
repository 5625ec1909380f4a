//! `Fn::ForEach`, the loop of the transform `AWS::LanguageExtensions`
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html>).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{error::TemplateError, scalar::text};

const PREFIX: &str = "Fn::ForEach::";
/// The transform that a template with loops has to name, before SAM's.
const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";
const SERVERLESS: &str = "AWS::Serverless-2016-10-31";
/// The sections that may have loops.
const SECTIONS: [&str; 3] = ["Conditions", "Resources", "Outputs"];
/// CloudFormation's limit of loops within loops.
const MAX_DEPTH: usize = 5;

/// The template with every loop replaced by what it produces. `parameters` has the values that a loop's collection may
/// refer to.
pub(super) fn expand(template: &Value, parameters: &Map<String, Value>) -> Result<Value, TemplateError> {
    let names = loop_names(template)?;
    if names.is_empty() {
        return Ok(template.clone());
    }
    check_transforms(&template["Transform"])?;
    let mut expanded = template.clone();
    for name in SECTIONS {
        if let Some(Value::Object(section)) = template.get(name) {
            expanded[name] = Value::Object(Scope { parameters, identifiers: vec![] }.members(section)?);
            check_ids(section, &expanded[name])?;
        }
    }
    let resources = &expanded["Resources"];
    if let Some(name) = names.iter().find(|name| resources.get(name).is_some()) {
        return Err(TemplateError::wrong(format!("{PREFIX}{name}: there is a resource with the same name")));
    }
    Ok(expanded)
}

/// The keys that a section's own loops produce are logical ids.
fn check_ids(section: &Map<String, Value>, expanded: &Value) -> Result<(), TemplateError> {
    let produced = expanded.as_object().into_iter().flatten().map(|(key, _)| key);
    match produced.filter(|key| !section.contains_key(*key)).find(|key| !is_alphanumeric(key)) {
        Some(key) => {
            Err(TemplateError::wrong(format!("Fn::ForEach produces the key {key}, which is not alphanumeric")))
        }
        None => Ok(()),
    }
}

/// The names of all loops.
fn loop_names(template: &Value) -> Result<HashSet<&str>, TemplateError> {
    let mut names = HashSet::new();
    for (section, value) in template.as_object().into_iter().flatten() {
        let mut found = vec![];
        collect_loop_names(value, &mut found);
        if let Some(name) = found.first().filter(|_| !SECTIONS.contains(&section.as_str())) {
            return Err(TemplateError::wrong(format!("{PREFIX}{name}: loops are not allowed in {section}")));
        }
        if let Some(name) = found.into_iter().find(|name| !names.insert(*name)) {
            return Err(TemplateError::wrong(format!("{PREFIX}{name}: there are two loops with this name")));
        }
    }
    Ok(names)
}

fn collect_loop_names<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| collect_loop_names(element, names)),
        Value::Object(members) => {
            for (key, value) in members {
                names.extend(key.strip_prefix(PREFIX));
                collect_loop_names(value, names);
            }
        }
        _ => {}
    }
}

fn check_transforms(transform: &Value) -> Result<(), TemplateError> {
    let transforms = transform.as_array().map_or(std::slice::from_ref(transform), Vec::as_slice);
    let position = |name| transforms.iter().position(|transform| transform == name);
    match (position(LANGUAGE_EXTENSIONS), position(SERVERLESS)) {
        (None, _) => Err(TemplateError::wrong(format!("Fn::ForEach needs the transform {LANGUAGE_EXTENSIONS}"))),
        (Some(extensions), Some(serverless)) if serverless < extensions => {
            Err(TemplateError::wrong(format!("the transform {LANGUAGE_EXTENSIONS} must come before {SERVERLESS}")))
        }
        _ => Ok(()),
    }
}

/// Where in the template a loop is expanded.
struct Scope<'a> {
    parameters: &'a Map<String, Value>,
    /// The identifiers of the enclosing loops.
    identifiers: Vec<&'a str>,
}

impl Scope<'_> {
    fn value(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Array(elements) => elements.iter().map(|element| self.value(element)).collect(),
            Value::Object(members) => self.members(members).map(Value::Object),
            plain => Ok(plain.clone()),
        }
    }

    /// The members of an object, those that its loops produce among them.
    fn members(&self, members: &Map<String, Value>) -> Result<Map<String, Value>, TemplateError> {
        let mut expanded = Map::new();
        for (key, value) in members.iter().filter(|(key, _)| !key.starts_with(PREFIX)) {
            expanded.insert(key.clone(), self.value(value)?);
        }
        for (key, argument) in members.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            let produced = self.iterate(argument).map_err(|error| error.within(key))?;
            for (produced_key, value) in produced {
                if expanded.contains_key(&produced_key) {
                    let problem = format!("{key}: it produces the key {produced_key}, which exists already");
                    return Err(TemplateError::wrong(problem));
                }
                expanded.insert(produced_key, value);
            }
        }
        Ok(expanded)
    }

    /// What one loop produces, in the collection's order.
    fn iterate(&self, argument: &Value) -> Result<Vec<(String, Value)>, TemplateError> {
        let parts = argument.as_array().map(Vec::as_slice);
        let Some([Value::String(identifier), collection, Value::Object(body)]) = parts else {
            return Err(TemplateError::wrong("a loop must be a list of an identifier, a collection and a map"));
        };
        self.check_identifier(identifier)?;
        let mentions = |key: &str| ["$", "&"].iter().any(|sign| key.contains(&format!("{sign}{{{identifier}}}")));
        if let Some(key) = body.keys().find(|key| !key.starts_with(PREFIX) && !mentions(key)) {
            let problem = format!("its key {key} must contain ${{{identifier}}} or &{{{identifier}}}");
            return Err(TemplateError::wrong(problem));
        }
        let identifiers = self.identifiers.iter().copied().chain([identifier.as_str()]).collect();
        let inner = Scope { parameters: self.parameters, identifiers };
        let mut produced = vec![];
        for element in self.elements(collection)? {
            let substitution = Substitution::new(identifier, &element);
            // The keys are replaced one by one: two that become equal must not hide each other.
            for (key, value) in body {
                let member = Map::from_iter([(substitution.text(key), substitution.value(value))]);
                produced.extend(inner.members(&member)?);
            }
        }
        Ok(produced)
    }

    fn check_identifier(&self, identifier: &str) -> Result<(), TemplateError> {
        let problem = if !is_alphanumeric(identifier) {
            format!("its identifier {identifier:?} is not alphanumeric")
        } else if self.parameters.contains_key(identifier) {
            format!("its identifier {identifier} is the name of a parameter")
        } else if self.identifiers.contains(&identifier) {
            format!("its identifier {identifier} belongs to an enclosing loop")
        } else if self.identifiers.len() == MAX_DEPTH {
            format!("there are more than {MAX_DEPTH} loops within each other")
        } else {
            return Ok(());
        };
        Err(TemplateError::wrong(problem))
    }

    fn elements(&self, collection: &Value) -> Result<Vec<String>, TemplateError> {
        let elements = match (collection, referenced(collection)) {
            (Value::Array(elements), _) => elements,
            (_, Some(name)) => match self.parameters.get(name) {
                Some(Value::Array(elements)) => elements,
                Some(_) => {
                    let problem = format!("the parameter {name} is not a CommaDelimitedList");
                    return Err(TemplateError::wrong(problem));
                }
                None => return Err(TemplateError::wrong(format!("its collection {name} is not a parameter"))),
            },
            _ => {
                let problem = "its collection must be a list or a Ref to a CommaDelimitedList parameter";
                return Err(TemplateError::wrong(problem));
            }
        };
        let element = |element| text(referenced(element).and_then(|name| self.parameters.get(name)).unwrap_or(element));
        elements.iter().map(element).collect()
    }
}

/// The name in `{"Ref": name}`.
fn referenced(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get("Ref")?.as_str()
}

fn is_alphanumeric(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// One turn of a loop: what its identifier stands for.
struct Substitution<'a> {
    identifier: &'a str,
    element: &'a str,
    /// `${Identifier}`, and `&{Identifier}` with what it stands for: the element's letters and digits, so that it fits
    /// a logical id.
    whole: String,
    alphanumeric: (String, String),
}

impl<'a> Substitution<'a> {
    fn new(identifier: &'a str, element: &'a str) -> Self {
        let letters = element.chars().filter(char::is_ascii_alphanumeric).collect();
        let alphanumeric = (format!("&{{{identifier}}}"), letters);
        Self { identifier, element, whole: format!("${{{identifier}}}"), alphanumeric }
    }

    fn text(&self, text: &str) -> String {
        let (sign, letters) = &self.alphanumeric;
        text.replace(&self.whole, self.element).replace(sign, letters)
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            value if referenced(value) == Some(self.identifier) => json!(self.element),
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(elements) => elements.iter().map(|element| self.value(element)).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(key, value)| (self.text(key), self.value(value))).collect())
            }
            plain => plain.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn expanded(section: &str, members: Value) -> Result<Value, String> {
        let parameters = json!({ "Stage": "dev", "Zones": ["a", "b"], "Empty": [] });
        let template = json!({
            "Transform": [LANGUAGE_EXTENSIONS, SERVERLESS],
            section: members,
        });
        let expanded = expand(&template, parameters.as_object().unwrap());
        expanded.map(|mut template| template[section].take()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_loop_adds_members_beside_the_others() {
        for section in SECTIONS {
            let members = json!({
                "Fn::ForEach::Queues": ["Name", ["In", "Out", 3], {
                    "${Name}Queue": { "Name": { "Ref": "Name" }, "Text": { "Fn::Sub": "${Name}-${Stage}-${!Name}" } },
                    "${Name}Log": { "Of": { "Fn::GetAtt": ["${Name}Queue", "Arn"] } },
                }],
                "Other": { "Ref": "Name" },
            });
            let member = |name: &str| {
                let text = format!("{name}-${{Stage}}-${{!Name}}");
                json!({ "Name": name, "Text": { "Fn::Sub": text } })
            };
            let log = |name: &str| json!({ "Of": { "Fn::GetAtt": [format!("{name}Queue"), "Arn"] } });
            let expected = json!({
                "InQueue": member("In"), "OutQueue": member("Out"), "3Queue": member("3"),
                "InLog": log("In"), "OutLog": log("Out"), "3Log": log("3"),
                "Other": { "Ref": "Name" },
            });
            assert_eq!(expanded(section, members).unwrap(), expected);
        }
    }

    #[test]
    fn loops_nest_and_stand_in_properties() {
        let members = json!({
            "Fn::ForEach::Outer": ["Zone", { "Ref": "Zones" }, {
                "Fn::ForEach::Inner": ["Kind", ["x", { "Ref": "Zone" }], { "${Zone}${Kind}": "${Kind} in ${Zone}" }],
                "${Zone}Table": { "Properties": { "Tags": [{
                    "Fn::ForEach::Tags": ["Tag", [{ "Ref": "Stage" }], { "Tag${Tag}": "${Zone}" }],
                }] } },
            }],
            "Fn::ForEach::Nothing": ["None", { "Ref": "Empty" }, { "X${None}": 1 }],
        });
        let table = |zone: &str| json!({ "Properties": { "Tags": [{ "Tagdev": zone }] } });
        let expected = json!({
            "ax": "x in a", "aa": "a in a", "aTable": table("a"), "bx": "x in b", "bb": "b in b", "bTable": table("b"),
        });
        assert_eq!(expanded("Resources", members).unwrap(), expected);
    }

    #[test]
    fn an_ampersand_leaves_letters_and_digits() {
        let members = json!({ "Fn::ForEach::L": ["Ip", ["10.0.0.1"], { "Host&{Ip}": ["${Ip}", "&{Ip}"] }] });
        assert_eq!(expanded("Outputs", members).unwrap(), json!({ "Host10001": ["10.0.0.1", "10001"] }));
    }

    #[test]
    fn malformed_loops_are_named() {
        let wrong = |argument: Value, problem: &str| {
            let error = expanded("Resources", json!({ "Fn::ForEach::L": argument, "Known": {} })).unwrap_err();
            assert_eq!(error, format!("The template is wrong: Fn::ForEach::L: {problem}."));
        };
        let layout = "a loop must be a list of an identifier, a collection and a map";
        for argument in [json!({}), json!(["X", ["a"]]), json!(["X", ["a"], []]), json!([["X"], ["a"], {}])] {
            wrong(argument, layout);
        }
        let body = json!({ "${X}": {} });
        wrong(json!(["", [], body]), "its identifier \"\" is not alphanumeric");
        wrong(json!(["Stage", [], body]), "its identifier Stage is the name of a parameter");
        wrong(json!(["X", { "Ref": "Stage" }, body]), "the parameter Stage is not a CommaDelimitedList");
        wrong(json!(["X", { "Ref": "Nothing" }, body]), "its collection Nothing is not a parameter");
        let collection = "its collection must be a list or a Ref to a CommaDelimitedList parameter";
        wrong(json!(["X", { "Fn::Split": [] }, body]), collection);
        wrong(json!(["X", ["a"], { "${Y}": {} }]), "its key ${Y} must contain ${X} or &{X}");
        wrong(json!(["X", ["a", "a"], body]), "it produces the key a, which exists already");
        wrong(json!(["X", ["a"], { "${X}": 1, "&{X}": 1 }]), "it produces the key a, which exists already");
        wrong(json!(["X", ["Known"], body]), "it produces the key Known, which exists already");
        wrong(json!(["X", ["L"], body]), "there is a resource with the same name");
        let error = expanded("Resources", json!({ "Fn::ForEach::L": ["X", ["a.b"], body] })).unwrap_err();
        assert_eq!(error, "The template is wrong: Fn::ForEach produces the key a.b, which is not alphanumeric.");
        let inner = json!({ "Fn::ForEach::M": ["X", ["b"], body] });
        wrong(json!(["X", ["a"], inner]), "Fn::ForEach::M: its identifier X belongs to an enclosing loop");
        wrong(json!(["X", ["a"], { "Fn::ForEach::L": [] }]), "there are two loops with this name");
    }

    #[test]
    fn loops_need_their_transform_and_place() {
        let nested = (1..=6).rev().fold(
            json!({ "${X1}": 1 }),
            |body, depth| json!({ format!("Fn::ForEach::L{depth}"): [format!("X{depth}"), ["a"], body] }),
        );
        assert!(expanded("Resources", nested).unwrap_err().contains("more than 5 loops within each other"));
        let r#loop = json!({ "Fn::ForEach::L": ["X", ["a"], { "${X}": {} }] });
        let error = expanded("Globals", r#loop.clone()).unwrap_err();
        assert_eq!(error, "The template is wrong: Fn::ForEach::L: loops are not allowed in Globals.");
        let transformed = |transform: Value| {
            let template = json!({ "Transform": transform, "Resources": r#loop });
            expand(&template, &Map::new()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(transformed(json!(LANGUAGE_EXTENSIONS)).is_ok());
        assert!(transformed(json!([LANGUAGE_EXTENSIONS, SERVERLESS])).is_ok());
        let missing = "The template is wrong: Fn::ForEach needs the transform AWS::LanguageExtensions.";
        assert_eq!(transformed(json!(SERVERLESS)).unwrap_err(), missing);
        assert_eq!(transformed(Value::Null).unwrap_err(), missing);
        assert!(transformed(json!([SERVERLESS, LANGUAGE_EXTENSIONS])).unwrap_err().contains("must come before"));
    }
}
