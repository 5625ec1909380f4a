//! Event filtering: which records of an event source reach the function
//! (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>).

use serde_json::Value;

/// Patterns of which a record must match one. Without patterns every record matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<Pattern>);

#[derive(Clone, Debug)]
enum Pattern {
    /// Each of these members must match.
    Members(Vec<(String, Pattern)>),
    /// One of these rules must hold for the value, or for one of its elements.
    Value(Vec<Rule>),
}

#[derive(Clone, Debug)]
enum Rule {
    Is(Value),
    Prefix(String),
    Suffix(String),
    Exists(bool),
    AnythingBut(Vec<Value>),
}

impl Filter {
    /// Reads patterns, each a JSON text.
    pub(crate) fn read<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |text: &str| {
            let pattern: Value = serde_json::from_str(text).map_err(|error| format!("the filter {text}: {error}"))?;
            Pattern::read(&pattern).ok_or_else(|| format!("the filter {text} is not supported"))
        };
        patterns.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn lets_through(&self, record: &Value) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(record))
    }
}

impl Pattern {
    fn read(pattern: &Value) -> Option<Self> {
        match pattern {
            Value::Object(members) => {
                let members = members.iter().map(|(name, pattern)| Some((name.clone(), Self::read(pattern)?)));
                Some(Self::Members(members.collect::<Option<_>>()?))
            }
            Value::Array(rules) => Some(Self::Value(rules.iter().map(Rule::read).collect::<Option<_>>()?)),
            _ => None,
        }
    }

    fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Members(members) => members.iter().all(|(name, pattern)| pattern.matches(&value[name])),
            Self::Value(rules) => match value {
                Value::Array(elements) => rules.iter().any(|rule| elements.iter().any(|element| rule.holds(element))),
                value => rules.iter().any(|rule| rule.holds(value)),
            },
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Option<Self> {
        let Value::Object(members) = rule else { return (!rule.is_array()).then(|| Self::Is(rule.clone())) };
        let (name, value) = members.iter().next().filter(|_| members.len() == 1)?;
        match (name.as_str(), value) {
            ("prefix", Value::String(prefix)) => Some(Self::Prefix(prefix.clone())),
            ("suffix", Value::String(suffix)) => Some(Self::Suffix(suffix.clone())),
            ("exists", Value::Bool(exists)) => Some(Self::Exists(*exists)),
            ("anything-but", Value::Array(values)) => Some(Self::AnythingBut(values.clone())),
            ("anything-but", Value::String(_) | Value::Number(_)) => Some(Self::AnythingBut(vec![value.clone()])),
            _ => None,
        }
    }

    /// Whether it holds for a value. A missing value is `null`.
    fn holds(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Is(expected) => expected == value,
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::Exists(exists) => value.is_null() != *exists,
            Self::AnythingBut(others) => !value.is_null() && !others.contains(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lets_through(pattern: &Value, record: &Value) -> bool {
        Filter::read([pattern.to_string().as_str()]).unwrap().lets_through(record)
    }

    #[test]
    fn rules() {
        let record = json!({"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "LOG#1"}}, "tags": ["a", "b"]}});
        let key = |rule: Value| json!({"dynamodb": {"Keys": {"pk": {"S": [rule]}}}});
        for (pattern, expected) in [
            (json!({"eventName": ["INSERT", "MODIFY"]}), true),
            (json!({"eventName": ["REMOVE"]}), false),
            (key(json!({"prefix": "LOG#"})), true),
            (key(json!({"prefix": "USER#"})), false),
            (key(json!({"suffix": "#1"})), true),
            (key(json!({"anything-but": ["LOG#1"]})), false),
            (key(json!({"exists": true})), true),
            (json!({"dynamodb": {"OldImage": [{"exists": false}]}}), true),
            (json!({"dynamodb": {"tags": ["b"]}}), true),
            (json!({"eventName": ["INSERT"], "dynamodb": {"tags": ["c"]}}), false),
        ] {
            assert_eq!(lets_through(&pattern, &record), expected, "{pattern}");
        }
        assert!(Filter::default().lets_through(&record));
    }

    #[test]
    fn unsupported_patterns_are_rejected() {
        for pattern in ["{", "7", r#"{"a": [{"cidr": "10.0.0.0/24"}]}"#, r#"{"a": "b"}"#] {
            assert!(Filter::read([pattern]).is_err(), "{pattern}");
        }
    }
}
