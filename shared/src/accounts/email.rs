//! E-mail addresses: the valid ones are those that Django's `EmailValidator` accepts, so that users imported from
//! Django keep theirs (<https://docs.djangoproject.com/en/stable/ref/validators/#emailvalidator>).

use std::net::IpAddr;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{
    Result,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

/// The longest address, in characters.
const EMAIL_CHARACTERS: usize = 254;

/// Domains that are valid without a dot.
const DOMAINS: [&str; 1] = ["localhost"];

/// What is between the labels of a domain name, the ideographic full stop included.
const FULL_STOPS: [char; 2] = ['.', '\u{3002}'];

/// The most characters in a label of a domain name.
const LABEL_CHARACTERS: usize = 63;

/// Reads the optional field `email`, its domain in lower case.
pub(super) fn read(fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    checked(Text::optional("email").blank(), fields, invalid)
}

/// Reads the field `email`, which must have an address.
///
/// # Errors
/// [`crate::Error::Invalid`].
pub(super) fn require(fields: &Fields) -> Result<String> {
    let mut invalid = Invalid::default();
    let email = checked(Text::required("email"), fields, &mut invalid).unwrap_or_default();
    invalid.unless_empty(email)
}

fn checked(text: Text, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    let email = text.at_most(EMAIL_CHARACTERS).read(fields, invalid)?;
    let is_too_long = email.chars().count() > EMAIL_CHARACTERS;
    let email = normalized(email);
    if !email.is_empty() && !is_too_long && !is_valid(&email) {
        invalid.add("email", "Enter a valid email address.");
    }
    Some(email)
}

/// An address that somebody else has checked, its domain in lower case, unless it is not valid here.
pub(super) fn valid(email: &str) -> Option<String> {
    let email = Some(email.to_owned()).filter(|email| email.chars().count() <= EMAIL_CHARACTERS).map(normalized);
    email.filter(|email| is_valid(email))
}

fn normalized(email: String) -> String {
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => email,
    }
}

/// Whether an e-mail address is valid.
fn is_valid(email: &str) -> bool {
    email.rsplit_once('@').is_some_and(|(user, domain)| is_user(user) && is_domain(domain))
}

/// Atoms with dots between them, or anything in quotes.
fn is_user(user: &str) -> bool {
    let is_atom = |atom: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-!#$%&'*+/=?^_`{}|~".contains(c);
        !atom.is_empty() && atom.chars().all(is_allowed)
    };
    let quoted = || user.strip_prefix('"')?.strip_suffix('"');
    user.split('.').all(is_atom) || quoted().is_some_and(is_quotable)
}

/// Text as it may stand between quotes: no line breaks, and a backslash before each backslash and quote.
fn is_quotable(text: &str) -> bool {
    let is_allowed = |c: char| matches!(c, '\u{1}'..='\u{7F}') && !matches!(c, '\n' | '\r');
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let fits = match c {
            '\\' => characters.next().is_some_and(is_allowed),
            // Django wants these two escaped.
            '"' | '\t' | ' ' => false,
            c => is_allowed(c),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// A name of two labels at least, in any script, or an IP address in brackets.
fn is_domain(domain: &str) -> bool {
    if DOMAINS.contains(&domain) {
        return true;
    }
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|address| address.parse::<IpAddr>().is_ok());
    }
    let name = prepared(domain);
    let mut labels = name.split(FULL_STOPS).rev();
    let top = labels.next().unwrap_or_default();
    let mut rest = labels.peekable();
    is_label(top) && top.chars().count() >= 2 && rest.peek().is_some() && rest.all(is_label)
}

/// A domain name as IDNA 2003 prepares it.
fn prepared(domain: &str) -> String {
    domain.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// A valid address as mail servers take it, with the domain in ASCII.
pub(super) fn in_ascii(email: &str) -> String {
    let Some((user, domain)) = email.rsplit_once('@') else { return email.to_owned() };
    let label = |label: &str| match idna::punycode::encode_str(label) {
        Some(encoded) if !label.is_ascii() => format!("xn--{encoded}"),
        _ => label.to_owned(),
    };
    let labels: Vec<String> = prepared(domain).split(FULL_STOPS).map(label).collect();
    format!("{user}@{}", labels.join("."))
}

/// A label of a domain name, whose letters may be of any script.
fn is_label(label: &str) -> bool {
    let is_allowed = |c: char| c == '-' || c.is_alphanumeric() || !c.is_ascii() && is_combining_mark(c);
    let length = match label.is_ascii() {
        true => Some(label.len()),
        false => idna::punycode::encode_str(label).map(|encoded| "xn--".len() + encoded.len()),
    };
    let fits = length.is_some_and(|length| (1..=LABEL_CHARACTERS).contains(&length));
    fits && label.chars().all(is_allowed) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Most are of Django's own tests (`tests/validators/tests.py`).
    #[test]
    fn djangos_addresses() {
        let label = "a".repeat(63);
        for email in [
            "email@here.com",
            "weirder-email@here.and.there.com",
            "email@[127.0.0.1]",
            "email@[2001:dB8::1]",
            "email@[2001:dB8:0:0:0:0:0:1]",
            "email@[::fffF:127.0.0.1]",
            "example@valid-----hyphens.com",
            "example@valid-with-hyphens.com",
            "test@domain.with.idn.tld.\u{909}\u{926}\u{93e}\u{939}\u{930}\u{923}.\u{92a}\u{930}\u{940}\u{915}\u{94d}\u{937}\u{93e}",
            "email@localhost",
            "\"test@test\"@example.com",
            &format!("example@atm.{label}"),
            &format!("example@{label}.atm"),
            &format!("example@{label}.{}.atm", "b".repeat(10)),
            "\"\\\x11\"@here.com",
            "admin@localhost",
            "user@b\u{fc}cher.example",
            "o'brien+tag@example.co",
            "a@xn--bcher-kva.example",
            "a@\u{4f8b}\u{3048}\u{3002}\u{65e5}\u{672c}",
        ] {
            assert!(is_valid(email), "{email:?}");
        }
        for email in [
            "",
            "abc",
            "abc@",
            "abc@bar",
            "a @x.cz",
            "abc@.com",
            "something@@somewhere.com",
            "email@127.0.0.1",
            "email@[127.0.0.256]",
            "email@[2001:db8::12345]",
            "email@[2001:db8:0:0:0:0:1]",
            "email@[::ffff:127.0.0.256]",
            "email@[2001:dg8::1]",
            "email@[2001:dG8:0:0:0:0:0:1]",
            "email@[::fTzF:127.0.0.1]",
            "example@invalid-.com",
            "example@-invalid.com",
            "example@invalid.com-",
            "example@inv-.alid-.com",
            "example@inv-.-alid.com",
            "test@example.com\n\n<script src=\"x.js\">",
            "\"\\\n\"@here.com",
            "trailingdot@shouldfail.com.",
            "a@b.com\n",
            "a\n@b.com",
            "\"test@test\"\n@example.com",
            "a@[127.0.0.1]\n",
            ".a@example.com",
            "a..b@example.com",
            "\"a\"b\"@example.com",
            "@example.com",
            "a@exam_ple.com",
            "admin@LOCALHOST",
            &format!("example@{label}a.atm"),
            &format!("example@atm.{label}a"),
            &format!("a@{}.example", "\u{fc}".repeat(63)),
        ] {
            assert!(!is_valid(email), "{email:?}");
        }
    }

    #[test]
    fn domains_in_ascii() {
        for (email, ascii) in [
            ("Anna@Example.com", "Anna@example.com"),
            ("user@b\u{fc}cher.example", "user@xn--bcher-kva.example"),
            ("a@\u{4f8b}\u{3048}\u{3002}\u{65e5}\u{672c}", "a@xn--r8jz45g.xn--wgv71a"),
            ("no address", "no address"),
        ] {
            assert_eq!(in_ascii(email), ascii);
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "\\PC{0,10}@?[a-z.\\[\\]:-]{0,10}\\PC{0,10}") {
            let _ = is_valid(&text);
        }
    }
}
