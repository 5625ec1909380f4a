//! Conditions of statements
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).

use serde_json::Value;

use super::{call::Context, pattern::Pattern, texts::texts};

/// The partition keys of the items that a request is about.
pub(crate) const LEADING_KEYS: &str = "dynamodb:LeadingKeys";
/// The attributes that a request names.
pub(crate) const ATTRIBUTES: &str = "dynamodb:Attributes";
/// `TransactWriteItems` or `TransactGetItems`, for a member of a transaction.
pub(crate) const ENCLOSING_OPERATION: &str = "dynamodb:EnclosingOperation";
pub(crate) const SELECT: &str = "dynamodb:Select";
pub(crate) const RETURN_VALUES: &str = "dynamodb:ReturnValues";
pub(crate) const RETURN_CONSUMED_CAPACITY: &str = "dynamodb:ReturnConsumedCapacity";
/// The sender of a mail.
pub(crate) const FROM_ADDRESS: &str = "ses:FromAddress";
pub(crate) const FROM_DISPLAY_NAME: &str = "ses:FromDisplayName";
/// All recipients of a mail.
pub(crate) const RECIPIENTS: &str = "ses:Recipients";
pub(crate) const PRINCIPAL_ARN: &str = "aws:PrincipalArn";
pub(crate) const PRINCIPAL_ACCOUNT: &str = "aws:PrincipalAccount";
pub(crate) const RESOURCE_ACCOUNT: &str = "aws:ResourceAccount";
pub(crate) const REQUESTED_REGION: &str = "aws:RequestedRegion";
pub(crate) const SECURE_TRANSPORT: &str = "aws:SecureTransport";

/// The condition keys that requests have here.
const KEYS: [&str; 14] = [
    LEADING_KEYS,
    ATTRIBUTES,
    ENCLOSING_OPERATION,
    SELECT,
    RETURN_VALUES,
    RETURN_CONSUMED_CAPACITY,
    FROM_ADDRESS,
    FROM_DISPLAY_NAME,
    RECIPIENTS,
    PRINCIPAL_ARN,
    PRINCIPAL_ACCOUNT,
    RESOURCE_ACCOUNT,
    REQUESTED_REGION,
    SECURE_TRANSPORT,
];
/// Keys with several values need `ForAllValues` or `ForAnyValue`; AWS does not say what they mean without
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>).
const MULTIVALUED: [&str; 3] = [LEADING_KEYS, ATTRIBUTES, RECIPIENTS];

/// A condition on one key.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    key: &'static str,
    quantifier: Quantifier,
    if_exists: bool,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    None,
    All,
    Any,
}

#[derive(Clone, Debug)]
enum Test {
    /// The value matches one of the patterns.
    Matches(Vec<Pattern>),
    /// The value matches none of the patterns.
    Differs(Vec<Pattern>),
    /// The key has no value (true), or has one (false).
    Null(bool),
}

impl Condition {
    /// The conditions of a statement, all of which must hold.
    pub(super) fn read_all(conditions: &Value) -> Result<Vec<Self>, String> {
        let operators = conditions.as_object().ok_or("a Condition is not an object")?;
        let mut all = Vec::new();
        for (operator, tests) in operators {
            let tests = tests.as_object().ok_or_else(|| format!("the condition {operator} is not an object"))?;
            for (key, values) in tests {
                all.push(Self::read(operator, key, &texts(values)?)?);
            }
        }
        Ok(all)
    }

    fn read(operator: &str, key: &str, values: &[String]) -> Result<Self, String> {
        let unsupported = || format!("the condition operator {operator} is not supported");
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(_) => return Err(unsupported()),
            None => (Quantifier::None, operator),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let test = Test::read(name, values)?.ok_or_else(unsupported)?;
        let known = KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(key));
        let key = known.ok_or_else(|| format!("the condition key {key} is not supported"))?;
        let is_null = matches!(test, Test::Null(_));
        if is_null && (if_exists || quantifier != Quantifier::None) {
            return Err(unsupported());
        }
        if !is_null && quantifier == Quantifier::None && MULTIVALUED.contains(&key) {
            return Err(format!("the condition key {key} needs ForAllValues or ForAnyValue, not {operator} alone"));
        }
        Ok(Self { key, quantifier, if_exists, test })
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let values = context.get(self.key).map(Vec::as_slice).unwrap_or_default();
        match (&self.test, self.quantifier) {
            (Test::Null(is_absent), _) => values.is_empty() == *is_absent,
            _ if values.is_empty() && self.if_exists => true,
            // Of no values all match, and none does.
            (test, Quantifier::All) => values.iter().all(|value| test.holds(value)),
            (test, Quantifier::Any) => values.iter().any(|value| test.holds(value)),
            (test, Quantifier::None) if values.is_empty() => matches!(test, Test::Differs(_)),
            (test, Quantifier::None) => values.iter().all(|value| test.holds(value)),
        }
    }
}

impl Test {
    /// The test of an operator; `None` if it is not supported.
    fn read(operator: &str, values: &[String]) -> Result<Option<Self>, String> {
        let all = |pattern: &dyn Fn(&str) -> Result<Pattern, String>| {
            values.iter().map(|value| pattern(value)).collect::<Result<Vec<_>, _>>()
        };
        let exactly = |ignores_case| all(&move |value: &str| Pattern::exactly(value, ignores_case));
        Ok(Some(match operator {
            "StringEquals" => Self::Matches(exactly(false)?),
            "StringNotEquals" => Self::Differs(exactly(false)?),
            "StringEqualsIgnoreCase" | "Bool" => Self::Matches(exactly(true)?),
            "StringNotEqualsIgnoreCase" => Self::Differs(exactly(true)?),
            "StringLike" => Self::Matches(all(&Pattern::like)?),
            "StringNotLike" => Self::Differs(all(&Pattern::like)?),
            "ArnEquals" | "ArnLike" => Self::Matches(all(&Pattern::arn)?),
            "ArnNotEquals" | "ArnNotLike" => Self::Differs(all(&Pattern::arn)?),
            "Null" => Self::Null(values.iter().all(|value| value.eq_ignore_ascii_case("true"))),
            _ => return Ok(None),
        }))
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Matches(patterns) => patterns.iter().any(|pattern| pattern.matches(value)),
            Self::Differs(patterns) => !patterns.iter().any(|pattern| pattern.matches(value)),
            Self::Null(is_absent) => !is_absent,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn holds(operator: &str, key: &str, values: &[&str], context: &[&str]) -> bool {
        let conditions = Condition::read_all(&json!({ operator: { key: values } })).unwrap();
        let known = KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(key)).unwrap();
        let context = Context::from([(known, context.iter().map(|value| (*value).to_owned()).collect())]);
        conditions.iter().all(|condition| condition.holds(&context))
    }

    #[test]
    fn operators() {
        let select = |operator, values: &[&str], context: &[&str]| holds(operator, "DYNAMODB:select", values, context);
        assert!(select("StringEquals", &["COUNT", "ALL"], &["ALL"]));
        assert!(!select("StringEquals", &["CO*"], &["COUNT"]));
        assert!(!select("StringNotEquals", &["COUNT", "ALL"], &["ALL"]));
        assert!(select("StringEqualsIgnoreCase", &["count"], &["COUNT"]));
        assert!(!select("StringNotEqualsIgnoreCase", &["count"], &["COUNT"]));
        assert!(select("StringLike", &["CO*"], &["COUNT"]));
        assert!(!select("StringNotLike", &["CO*"], &["COUNT"]));
        assert!(select("Bool", &["true"], &["True"]));
        assert!(select("Null", &["false"], &["ALL"]) && !select("Null", &["true"], &["ALL"]));
        assert!(holds("ArnLike", PRINCIPAL_ARN, &["arn:aws:sts::*:a/*"], &["arn:aws:sts::1:a/b"]));
        // Without a value.
        for (operator, expected) in [
            ("StringEquals", false),
            ("StringNotEquals", true),
            ("StringEqualsIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            assert_eq!(select(operator, &["ALL"], &[]), expected, "{operator}");
        }
        assert!(select("Null", &["true"], &[]) && !select("Null", &["false"], &[]));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let read = |operator: &str, key: &str| Condition::read_all(&json!({ operator: { key: "x" } })).unwrap_err();
        for operator in ["NumericEquals", "DateLessThan", "IpAddress", "ForSomeValues:StringLike", "NullIfExists"] {
            assert!(read(operator, SELECT).contains(operator));
        }
        assert!(read("StringEquals", "aws:SourceIp").contains("aws:SourceIp"));
        assert!(read("StringLike", LEADING_KEYS).contains("ForAllValues"));
    }

    proptest! {
        #[test]
        fn all_values_match_unless_any_differs(values in prop::collection::vec("[a-c]", 0..4), allowed in "[a-c]") {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let all = holds("ForAllValues:StringEquals", LEADING_KEYS, &[&allowed], &values);
            prop_assert_eq!(all, !holds("ForAnyValue:StringNotEquals", LEADING_KEYS, &[&allowed], &values));
            prop_assert_eq!(all, values.iter().all(|value| *value == allowed));
        }
    }
}
