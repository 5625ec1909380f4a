//! The forms of a username: itself, without regard to case, and two skeletons, which it has in common with the names
//! that look like it (<https://www.unicode.org/reports/tr39/#Confusable_Detection>).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// A form that is longer, in bytes, is stored as its hash. DynamoDB rejects keys above 2 KB.
const FORM_BYTES: usize = 1024;

/// What a text is to the user whose username has it as a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The username itself. Users of earlier versions, and some of those that were imported, have only this form.
    #[default]
    Name,
    /// The username without regard to case. It finds the user, too.
    Folded,
    /// What names that look like this one have in common. It only keeps others from being registered.
    Skeleton,
}

impl Form {
    pub(super) fn is_name(&self) -> bool {
        *self == Self::Name
    }
}

/// The forms of a name, each once.
pub(super) fn forms(name: &str) -> Vec<(String, Form)> {
    let folded = folded(name);
    // `AIice`, with a capital I, looks like `Alice` as it is written, and `user1` like `userl` in lower case.
    let looks =
        [as_key(fold(&skeleton(&folded).collect::<String>())), as_key(fold(&skeleton(name).collect::<String>()))];
    let mut forms = vec![(name.to_owned(), Form::Name), (folded, Form::Folded)];
    forms.extend(looks.map(|look| (look, Form::Skeleton)));
    let texts: Vec<String> = forms.iter().map(|(text, _)| text.clone()).collect();
    let mut place = 0..;
    forms.retain(|(text, _)| texts.iter().position(|other| other == text) == place.next());
    forms
}

/// A username without regard to case: the form in which it is found, and in which attempts are counted.
pub(crate) fn folded(username: &str) -> String {
    as_key(fold(username))
}

/// By way of upper case, which merges what lower case alone keeps apart, such as `ß` and `ss`, or the two small sigmas.
fn fold(text: &str) -> String {
    // The capital `ẞ` becomes `SS` only by way of the small one.
    normalized(&normalized(text).to_lowercase().to_uppercase().to_lowercase())
}

/// A form as it stands in a key. Its normalisation may be many times as long as what was typed.
fn as_key(form: String) -> String {
    match form.len() {
        0..=FORM_BYTES => form,
        _ => hex::encode(Sha256::digest(form.as_bytes())),
    }
}

/// A username in the form that is stored and looked up: NFKC, as Django normalises it.
pub(crate) fn normalized(username: &str) -> String {
    username.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::username::{USERNAME_CHARACTERS, Username};
    use proptest::prelude::*;

    fn have_a_form_in_common(one: &str, other: &str) -> bool {
        let others = forms(other);
        forms(one).iter().any(|(text, _)| others.iter().any(|(other, _)| other == text))
    }

    #[test]
    fn names_that_look_alike_have_a_form_in_common() {
        for (one, other) in [
            ("anna", "Anna"),
            ("\u{DC}nal", "u\u{308}NAL"),
            ("stra\u{DF}e", "STRASSE"),
            ("STRA\u{1E9E}E", "strasse"),
            ("\u{3C3}\u{3B1}\u{3C2}", "\u{3A3}\u{391}\u{3A3}"),
            ("\u{FF41}nna", "anna"),
            ("paypal", "\u{440}\u{430}\u{443}\u{440}\u{430}l"),
            ("Alice", "AIice"),
            ("user1", "userl"),
            ("bob0", "BobO"),
            ("modern", "rnodern"),
            ("\u{395}\u{39C}", "EM"),
        ] {
            assert!(have_a_form_in_common(one, other), "{one} {other}");
        }
        for (one, other) in [("anna", "hanna"), ("ian", "lan"), ("marla", "maria"), ("a-b", "a_b"), ("a.b", "ab")] {
            assert!(!have_a_form_in_common(one, other), "{one} {other}");
        }
        assert_eq!(forms("anna"), [("anna".to_owned(), Form::Name)]);
        let texts = |name: &str| forms(name).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(texts("AIice1"), ["AIice1", "aiice1", "aiicel", "alicel"]);
    }

    #[test]
    fn a_long_form_is_hashed() {
        let long = "\u{FDFA}".repeat(USERNAME_CHARACTERS);
        assert!(Username::is_possible(&long));
        assert_eq!(folded(&long).len(), 64);
        assert!(forms(&"\u{10400}".repeat(USERNAME_CHARACTERS)).iter().all(|(text, _)| text.len() <= FORM_BYTES));
    }

    #[test]
    fn every_letter_is_the_same_in_any_case() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_alphabetic() && !c.to_uppercase().eq([*c])) {
            let (letter, upper) = (c.to_string(), c.to_uppercase().collect::<String>());
            assert_eq!(folded(&upper), folded(&letter), "{c}");
            assert_eq!(folded(&upper.to_lowercase()), folded(&letter), "{c}");
        }
    }

    proptest! {
        #[test]
        fn a_name_without_regard_to_case_is_the_same_in_any_case(name in "[\\p{L}\\p{N}@.+_-]{1,30}") {
            prop_assert_eq!(folded(&folded(&name)), folded(&name));
            prop_assert_eq!(folded(&name.to_uppercase()), folded(&name));
            prop_assert_eq!(folded(&normalized(&name)), folded(&name));
        }
    }
}
