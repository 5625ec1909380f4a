//! What a JSON text says, whatever the order of its objects' members.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::LazyLock,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A digest of a JSON value. Equal values have equal digests; others differ, but for one in 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Content(u64);

fn digest(value: impl Hash) -> Content {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    Content(STATE.hash_one(value))
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

/// A text's digest, without a copy of the text.
struct Name(Content);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ContentVisitor).map(Self)
    }
}

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(digest(0_u8))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Content, E> {
        Ok(digest((1_u8, value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Content, E> {
        Ok(digest((2_u8, value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Content, E> {
        Ok(digest((3_u8, value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        Ok(digest((4_u8, value.to_bits())))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Content, E> {
        Ok(digest((5_u8, value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Content, A::Error> {
        let mut content = digest(6_u8);
        while let Some(value) = values.next_element::<Content>()? {
            content = digest((content, value));
        }
        Ok(content)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content, A::Error> {
        let mut sum = 0_u64;
        while let Some((Name(name), value)) = members.next_entry::<Name, Content>()? {
            // A sum is the same in any order.
            sum = sum.wrapping_add(digest((name, value)).0);
        }
        Ok(digest((7_u8, sum)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_the_order_of_members_does_not_count() {
        let first = content(r#"{"a": [1, {"b": "x", "c": null}], "d": true}"#);
        assert_eq!(first, content(r#"{"d":true,"a":[1,{"c":null,"b":"\u0078"}]}"#));
        for other in [
            r#"{"a": [{"b": "x", "c": null}, 1], "d": true}"#,
            r#"{"a": [1, {"b": null, "c": "x"}], "d": true}"#,
            r#"{"a": [1, {"b": "x", "c": null}], "d": false}"#,
            r#"{"a": [1, {"b": "x", "c": null}]}"#,
            r#"{"a": [1, {"b": "x", "c": null}, []], "d": true}"#,
            "[]",
            "{}",
        ] {
            assert_ne!(first, content(other), "{other}");
        }
        assert_ne!(content("[[1], 2]"), content("[[1, 2]]"));
        assert_ne!(content("1"), content(r#""1""#));
    }
}
