//! Patterns with wildcards
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html#reference_policies_elements_resource_wildcards>).

use regex::{Regex, RegexBuilder};

/// A text in which `*` stands for any characters, and `?` for any one.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// A pattern for actions, whose case is ignored.
    pub(super) fn action(text: &str) -> Result<Self, String> {
        Self::new(&wildcards(text, ".*"), true)
    }

    /// A pattern for resources and for `StringLike`.
    pub(super) fn like(text: &str) -> Result<Self, String> {
        Self::new(&wildcards(text, ".*"), false)
    }

    /// A pattern for `ArnLike`, whose wildcards match within one of an ARN's six components.
    pub(super) fn arn(text: &str) -> Result<Self, String> {
        let components = text.splitn(6, ':').enumerate();
        let components = components.map(|(place, part)| wildcards(part, if place < 5 { "[^:]*" } else { ".*" }));
        Self::new(&components.collect::<Vec<_>>().join(":"), false)
    }

    /// A pattern that only this text matches.
    pub(super) fn exactly(text: &str, ignores_case: bool) -> Result<Self, String> {
        Self::new(&regex::escape(text), ignores_case)
    }

    fn new(regex: &str, ignores_case: bool) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(&format!("^(?:{regex})$"));
        let built = builder.case_insensitive(ignores_case).dot_matches_new_line(true).build();
        built.map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn wildcards(text: &str, any: &str) -> String {
    regex::escape(text).replace(r"\*", any).replace(r"\?", ".")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, which takes exponential time.
    fn is_like(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| is_like(rest, &text[skipped..])),
            (['?', rest @ ..], [_, tail @ ..]) => is_like(rest, tail),
            ([head, rest @ ..], [first, tail @ ..]) => head == first && is_like(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_by_their_definition(pattern in r"[ab.\n*?]{0,6}", text in r"[ab.\n]{0,6}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = is_like(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::like(&pattern).unwrap().matches(&text), expected);
        }

        #[test]
        fn a_text_without_wildcards_matches_itself_only(text in "[^*?]{0,8}", other in ".{0,8}") {
            for pattern in [Pattern::like(&text), Pattern::exactly(&text, false)] {
                let pattern = pattern.unwrap();
                prop_assert!(pattern.matches(&text));
                prop_assert_eq!(pattern.matches(&other), text == other);
            }
        }
    }

    #[test]
    fn wildcards_of_arns_stay_within_a_component() {
        let matches = |pattern, text| Pattern::arn(pattern).unwrap().matches(text);
        assert!(matches("arn:aws:sts::*:assumed-role/a/*", "arn:aws:sts::1:assumed-role/a/b:c"));
        assert!(!matches("arn:aws:*:assumed-role/a/b", "arn:aws:sts::1:assumed-role/a/b"));
        assert!(Pattern::action("SQS:Send*").unwrap().matches("sqs:SendMessage"));
    }
}
