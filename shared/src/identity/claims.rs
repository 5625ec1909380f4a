//! What an issuer says about a user (<https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims>).

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The claims of a verified token.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    /// The issuer's name for the user, which never changes: a hash of the issuer and of `sub`.
    pub(crate) identity: String,
    /// When a session that begins with the token has to end, in seconds since 1970.
    pub(crate) ends_at: Option<i64>,
    claims: Map<String, Value>,
}

impl Claims {
    pub(super) fn new(issuer: &str, subject: &str, ends_at: Option<i64>, claims: Map<String, Value>) -> Self {
        // With its length, no issuer can contain a part of another's subject.
        let length = (issuer.len() as u64).to_be_bytes();
        let digest = Sha256::new().chain_update(length).chain_update(issuer).chain_update(subject).finalize();
        Self { identity: hex::encode(digest), ends_at, claims }
    }

    /// A claim that is a text with something in it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The e-mail address, unless the issuer says that it is not verified.
    pub(crate) fn email(&self) -> Option<&str> {
        let is_unverified = match self.claims.get("email_verified") {
            Some(Value::Bool(verified)) => !verified,
            // Some issuers write it as a text.
            Some(Value::String(verified)) => verified.eq_ignore_ascii_case("false"),
            _ => false,
        };
        self.text("email").filter(|_| !is_unverified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(claims: Value) -> Claims {
        Claims::new("issuer", "subject", None, claims.as_object().unwrap().clone())
    }

    #[test]
    fn identities_of_different_issuers_differ() {
        let identity = |issuer, subject| Claims::new(issuer, subject, None, Map::new()).identity;
        assert_ne!(identity("ab", "c"), identity("a", "bc"));
        assert_ne!(identity("a", "b"), identity("b", "a"));
        assert_eq!(identity("a", "b"), identity("a", "b"));
    }

    #[test]
    fn an_unverified_address_is_left_out() {
        for verified in [json!(true), json!("true"), Value::Null] {
            assert_eq!(claims(json!({"email": "a@b.c", "email_verified": verified})).email(), Some("a@b.c"));
        }
        assert_eq!(claims(json!({"email": "a@b.c"})).email(), Some("a@b.c"));
        for verified in [json!(false), json!("False")] {
            assert_eq!(claims(json!({"email": "a@b.c", "email_verified": verified})).email(), None);
        }
        assert_eq!(claims(json!({"email": 7})).email(), None);
    }
}
