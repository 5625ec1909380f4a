//! The issuers that a deployment trusts, and the verification of their tokens.

use std::net::IpAddr;

use http::Uri;
use jsonwebtoken::{
    Algorithm, Header, TokenData, Validation, dangerous, decode, decode_header,
    errors::{Error as JwtError, ErrorKind},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    cache::RemoteKeys,
    claims::Claims,
    crypto,
    keys::{KeySet, PublicKey},
};
use crate::{Error, Result, date::Date, environment::Environment};

/// How far another machine's clock may differ.
const LEEWAY_SECONDS: i64 = 60;
/// The longest time that a token may have left. Cognito's have at most a day, and Auth0's 30 days.
const LONGEST_SECONDS: i64 = 30 * 24 * 3600;
/// The longest `sub`, in bytes, as OpenID Connect has it.
const SUBJECT_BYTES: usize = 255;

/// The issuers that a deployment trusts.
#[derive(Debug)]
pub(crate) struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    name: String,
    audiences: Vec<String>,
    limits_to_expiry: bool,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(KeySet),
    Remote(RemoteKeys),
}

/// An issuer as `IDENTITY_ISSUERS` has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    issuer: String,
    audience: Audience,
    jwks_url: Option<String>,
    keys: Option<Value>,
    #[serde(default)]
    limit_to_expiry: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

/// Why a token is refused: what the caller sees, and what only the log has.
struct Refusal {
    problem: &'static str,
    cause: String,
}

impl Issuers {
    /// Reads `IDENTITY_ISSUERS`, a JSON list. Without it there are none.
    ///
    /// # Errors
    /// When it is not such a list.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        crypto::install();
        let wrong = |problem: String| Error::internal(format!("IDENTITY_ISSUERS: {problem}"));
        let Some(text) = environment.get("IDENTITY_ISSUERS") else { return Ok(Self(Vec::new())) };
        let configured: Vec<Configured> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let issuers = configured.into_iter().map(Issuer::new).collect::<Result<_, _>>();
        issuers.map(Self).map_err(wrong)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`Error::BadCredentials`]; [`Error::Busy`] if the issuer's keys cannot be fetched.
    pub(crate) async fn verify(&self, token: &str) -> Result<Claims> {
        let Refusal { problem, cause } = match issuer_of(token) {
            Err(refusal) => refusal,
            Ok((header, name)) => {
                let mut refusal = Refusal::new("the issuer is not configured");
                // An issuer may be configured once for each audience.
                for issuer in self.0.iter().filter(|issuer| issuer.name == name) {
                    match issuer.verify(token, &header).await? {
                        Ok(claims) => return Ok(claims),
                        Err(refused) => refusal = refused,
                    }
                }
                refusal
            }
        };
        tracing::info!(cause, "a token of another system was refused");
        Err(Error::BadCredentials(problem))
    }
}

impl Issuer {
    fn new(configured: Configured) -> Result<Self, String> {
        let Configured { issuer, audience, jwks_url, keys, limit_to_expiry } = configured;
        let problem = |problem: &str| format!("{issuer}: {problem}");
        let audiences = match audience {
            Audience::One(audience) => vec![audience],
            Audience::Any(audiences) => audiences,
        };
        if issuer.is_empty() || audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(problem("issuer and audience are required"));
        }
        let keys = match (jwks_url, keys) {
            (Some(url), None) => {
                let url: Option<Uri> = url.parse().ok().filter(is_safe);
                Keys::Remote(RemoteKeys::new(url.ok_or_else(|| problem("jwks_url must begin with https://"))?))
            }
            (None, Some(keys)) => {
                let keys = KeySet::read(keys).map_err(|error| problem(&format!("keys: {error}")))?;
                if keys.is_empty() {
                    return Err(problem("none of the keys is for RS256, ES256 or EdDSA"));
                }
                Keys::Inline(keys)
            }
            _ => return Err(problem("either jwks_url or keys is required")),
        };
        Ok(Self { name: issuer, audiences, limits_to_expiry: limit_to_expiry, keys })
    }

    async fn verify(&self, token: &str, header: &Header) -> Result<Result<Claims, Refusal>> {
        let id = header.kid.as_deref();
        let key = match &self.keys {
            Keys::Inline(keys) => keys.find(id).cloned(),
            Keys::Remote(keys) => keys.find(id).await?,
        };
        Ok(match key {
            Some(key) => self.verify_with(&key, token),
            None => Err(Refusal::new("there is no such key, or the token names none of several")),
        })
    }

    fn verify_with(&self, PublicKey { algorithm, key, .. }: &PublicKey, token: &str) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(*algorithm);
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&self.audiences);
        let TokenData { claims, .. } = decode::<Map<String, Value>>(token, key, &validation)?;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
        let now = Date::now().epoch_seconds();
        let expiry = seconds("exp").unwrap_or_default();
        if expiry - now > LONGEST_SECONDS {
            return Err(Refusal::new("it is valid for more than 30 days"));
        }
        if seconds("iat").is_some_and(|issued| issued - now > LEEWAY_SECONDS) {
            return Err(Refusal::new("it was issued in the future"));
        }
        if self.limits_to_expiry && expiry <= now {
            return Err(Refusal::expired());
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        if subject.is_empty() || subject.len() > SUBJECT_BYTES {
            return Err(Refusal::new("the subject is empty or too long"));
        }
        Ok(Claims::new(&self.name, &subject, self.limits_to_expiry.then_some(expiry), claims))
    }
}

/// The header of a token, and the issuer that it claims to be of. Nothing is verified yet.
fn issuer_of(token: &str) -> Result<(Header, String), Refusal> {
    #[derive(Deserialize)]
    struct Unverified {
        iss: String,
    }
    let header = decode_header(token)?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
        return Err(Refusal::new("the algorithm is not RS256, ES256 or EdDSA"));
    }
    // An extension that must be understood (RFC 7515, section 4.1.11). There are none here.
    if header.crit.is_some() {
        return Err(Refusal::new("it has critical extensions"));
    }
    let Unverified { iss } = dangerous::insecure_decode_claims(token)?;
    Ok((header, iss))
}

/// Whether keys at an address cannot be changed on the way.
fn is_safe(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback,
        _ => false,
    }
}

impl Refusal {
    fn new(cause: &str) -> Self {
        Self { problem: "Invalid token.", cause: cause.to_owned() }
    }

    fn expired() -> Self {
        Self { problem: "The token has expired.", cause: "it has expired".to_owned() }
    }
}

impl From<JwtError> for Refusal {
    fn from(error: JwtError) -> Self {
        match error.kind() {
            // Known only after the signature has been verified.
            ErrorKind::ExpiredSignature => Self::expired(),
            // These contain parts of the token.
            ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => Self::new("it is not a JWT"),
            kind => Self::new(&format!("{kind:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Issuers> {
        Issuers::new(&Environment::from_iter([("IDENTITY_ISSUERS", text)]))
    }

    fn keys() -> Value {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
    }

    #[test]
    fn configurations() {
        assert!(read("").unwrap().is_empty());
        for issuer in [
            json!({"issuer": "i", "audience": "a", "keys": keys()}),
            json!({"issuer": "i", "audience": ["a", "b"], "keys": keys(), "limit_to_expiry": true}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "https://example.com/jwks.json"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "http://127.0.0.1:9/jwks.json"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "http://[::1]:9/"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "http://localhost/"}),
        ] {
            assert!(!read(&json!([issuer]).to_string()).unwrap().is_empty(), "{issuer}");
        }
        for issuer in [
            json!({"issuer": "i", "audience": "a"}),
            json!({"issuer": "i", "keys": keys()}),
            json!({"issuer": "", "audience": "a", "keys": keys()}),
            json!({"issuer": "i", "audience": [], "keys": keys()}),
            json!({"issuer": "i", "audience": "a", "keys": {"keys": []}}),
            json!({"issuer": "i", "audience": "a", "keys": keys(), "jwks_url": "https://example.com/"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "http://example.com/"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "http://localhost.example.com/"}),
            json!({"issuer": "i", "audience": "a", "jwks_url": "file:///etc/passwd"}),
            json!({"issuer": "i", "audience": "a", "keys": keys(), "algorithms": ["HS256"]}),
        ] {
            assert!(read(&json!([issuer]).to_string()).is_err(), "{issuer}");
        }
        assert!(read("{}").is_err() && read("[").is_err());
    }
}
