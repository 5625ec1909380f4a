//! JSON that goes out line by line (frames, exports, what is published), safe for every reader.

use serde::Serialize;

use crate::{Error, Result};

/// A value as JSON on one line.
///
/// # Errors
/// When the value cannot be written as JSON.
pub(crate) fn to_line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map(escape).map_err(Error::internal)
}

/// Finished JSON without characters that some readers reject or misread: those that SNS and SQS do not take, and
/// U+0085, U+2028 and U+2029, which end a line for Python's `splitlines`, JavaScript before 2019 and others. Outside of
/// strings they cannot stand in JSON, so its meaning stays the same.
pub(crate) fn escape(json: String) -> String {
    let is_escaped = |c: char| !is_accepted(c) || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    if !json.contains(is_escaped) {
        return json;
    }
    let mut line = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_escaped(c) {
            // All of them have four digits.
            true => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => line.push(c),
        }
    }
    line
}

/// Whether a message may have this character
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
fn is_accepted(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Where `str.splitlines` of Python cuts, which cuts most of all.
    const LINE_ENDS: [char; 11] =
        ['\n', '\r', '\u{B}', '\u{C}', '\u{1C}', '\u{1D}', '\u{1E}', '\u{85}', '\u{2028}', '\u{2029}', '\0'];

    #[test]
    fn no_character_cuts_a_line_or_is_refused_by_a_queue() {
        for c in '\0'..=char::MAX {
            let value = json!([c.to_string()]);
            let line = to_line(&value).unwrap();
            assert!(line.chars().all(|c| is_accepted(c) && !LINE_ENDS.contains(&c)), "{c:?}: {line}");
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn escaping_keeps_the_meaning(text in "(\\PC|[\u{85}\u{2028}\u{2029}\u{FFFE}\u{FFFF}\\\\\"]){0,20}") {
            let value = json!({ text.clone(): text });
            let line = to_line(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
            prop_assert_eq!(escape(line.clone()), line);
        }

        #[test]
        fn escaped_text_is_accepted(text in any::<String>(), more in "[\0-\u{20}\u{7F}-\u{A0}\u{FFF0}-\u{FFFF}]{0,20}") {
            prop_assert!(escape(text + &more).chars().all(is_accepted));
        }
    }
}
