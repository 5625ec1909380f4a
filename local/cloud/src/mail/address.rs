//! Addresses as SES takes them: `ada@example.com` or `Ada Lovelace <ada@example.com>`.

use email_address::{EmailAddress, Options};

/// An address, perhaps with a display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The name, without the quotes of a quoted one.
    pub(crate) display_name: Option<String>,
    pub(crate) address: String,
    pub(crate) domain: String,
}

impl Address {
    /// Reads an address. All of it is ASCII, as SES has no SMTPUTF8: another name is an encoded word, and another domain
    /// is in Punycode (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (display_name(name.trim())?, address),
            None => (String::new(), text),
        };
        let parsed = EmailAddress::parse_with_options(address, Options::default().without_display_text()).ok()?;
        let domain = parsed.domain().to_owned();
        Some(Self { display_name: Some(name).filter(|name| !name.is_empty()), address: address.to_owned(), domain })
    }
}

/// A display name: words, or a quoted string (<https://www.rfc-editor.org/rfc/rfc5322#section-3.2>).
fn display_name(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return (!text.contains(r#"()<>[]:;@\,""#.chars().collect::<Vec<_>>().as_slice())).then(|| text.to_owned());
    };
    let (mut name, mut characters) = (String::new(), quoted.strip_suffix('"')?.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => name.push(characters.next()?),
            plain => name.push(plain),
        }
    }
    Some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (text, name, address, domain) in [
            ("ada@example.com", None, "ada@example.com", "example.com"),
            ("<ada@example.com>", None, "ada@example.com", "example.com"),
            ("Ada Lovelace <ada@example.com>", Some("Ada Lovelace"), "ada@example.com", "example.com"),
            ("Ada<ada@mail.example.com>", Some("Ada"), "ada@mail.example.com", "mail.example.com"),
            (r#""Lovelace, \"Ada\"" <ada@example.com>"#, Some(r#"Lovelace, "Ada""#), "ada@example.com", "example.com"),
            ("=?UTF-8?B?w4RkYQ==?= <ada@example.com>", Some("=?UTF-8?B?w4RkYQ==?="), "ada@example.com", "example.com"),
        ] {
            let parsed = Address::parse(text).unwrap();
            assert_eq!((parsed.display_name.as_deref(), &*parsed.address, &*parsed.domain), (name, address, domain));
        }
    }

    #[test]
    fn an_address_adds_no_header_and_no_other_address() {
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada @example.com",
            "ada@example.com, bob@example.com",
            "ada@example.com\r\nBcc: bob@example.com",
            "Ada\r\nBcc: bob@example.com <ada@example.com>",
            "Ada <bob@example.com> <ada@example.com>",
            "Lovelace, Ada <ada@example.com>",
            r#""Ada" Lovelace" <ada@example.com>"#,
            r#""Ada\" <ada@example.com>"#,
            "Ada <ada@example.com> x",
            "Äda <ada@example.com>",
            "äda@example.com",
            "ada@bücher.example",
        ] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }
}
