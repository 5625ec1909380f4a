//! The public keys of an issuer: a JSON Web Key Set (<https://www.rfc-editor.org/rfc/rfc7517>).

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The keys of a set that can verify a token.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

/// A key, with the one algorithm that it is used for.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys of other kinds, and for other uses, are left out.
    ///
    /// # Errors
    /// When it is not a set.
    pub(super) fn read(set: Value) -> serde_json::Result<Self> {
        let Jwks { keys } = serde_json::from_value(set)?;
        Ok(Self(keys.into_iter().filter_map(PublicKey::read).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names. A token that names none was signed with the only one, and so was any token if the
    /// only key has no name.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        let named = || self.0.iter().find(|key| id.is_some() && key.id.as_deref() == id);
        match &self.0[..] {
            [only] if id.is_none() || only.id.is_none() => Some(only),
            _ => named(),
        }
    }
}

impl PublicKey {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_it = common.key_algorithm.is_none_or(|named| named == algorithm.into());
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_it && is_for_signatures)?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ed(id: Option<&str>) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": id})
    }

    #[test]
    fn only_keys_that_can_verify_are_kept() {
        let with = |name: &str, value: &str| {
            let mut key = ed(Some("a"));
            key[name] = value.into();
            key
        };
        for key in [
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}),
            json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "a"}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS512", "kid": "a"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "a"}),
            with("use", "enc"),
            with("alg", "HS256"),
            with("alg", "RS256"),
            with("x", "not base64!"),
            json!("a"),
            json!({}),
        ] {
            assert!(KeySet::read(json!({"keys": [key]})).unwrap().is_empty(), "{key}");
        }
        for key in [ed(None), with("use", "sig"), with("alg", "EdDSA")] {
            assert!(!KeySet::read(json!({"keys": [key]})).unwrap().is_empty(), "{key}");
        }
        assert!(KeySet::read(json!([])).is_err());
    }

    #[test]
    fn a_key_is_found_by_its_name_unless_it_is_the_only_one() {
        let set = |keys: Vec<Value>| KeySet::read(json!({ "keys": keys })).unwrap();
        let two = set(vec![ed(Some("a")), ed(Some("b"))]);
        assert_eq!(two.find(Some("b")).unwrap().id.as_deref(), Some("b"));
        assert!(two.find(Some("c")).is_none() && two.find(None).is_none());
        let one = set(vec![ed(Some("a"))]);
        assert!(one.find(None).is_some() && one.find(Some("a")).is_some() && one.find(Some("b")).is_none());
        let nameless = set(vec![ed(None)]);
        assert!(nameless.find(None).is_some() && nameless.find(Some("a")).is_some());
        assert!(set(vec![ed(None), ed(None)]).find(None).is_none());
    }
}
