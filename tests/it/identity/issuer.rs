//! An issuer of identity tokens: its keys, made for the test, and the server that publishes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use confab_cloud::Options;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Mutex};

use crate::world::options;

const RSA_KEY: &str = include_str!("../../keys/rsa.pem");

/// A private key.
pub enum Key {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Key {
    pub fn rs256() -> Self {
        let body = RSA_KEY.split("-----").nth(2).unwrap().split_whitespace().collect::<String>();
        Self::Rs256(RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap())
    }

    pub fn es256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    pub fn eddsa() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key, as a JWK of that name.
    pub fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rs256(key) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                json!({"kid": id, "kty": "RSA", "use": "sig", "n": base64(n), "e": base64(e)})
            }
            Self::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kid": id, "kty": "EC", "crv": "P-256", "alg": "ES256", "x": base64(x), "y": base64(y)})
            }
            Self::EdDsa(key) => json!({"kid": id, "kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key())}),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::Es256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with these claims, whose header names this key.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": id}), claims)
    }

    /// A token with this header, whatever it says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        format!("{message}.{}", base64(self.sign(message.as_bytes())))
    }
}

/// The part of a token that is signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string()), base64(claims.to_string()))
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a user who is valid for an hour, with `more` of them.
pub fn claims(subject: &str, more: Value) -> Value {
    let mut claims = json!({"iss": "https://id.example/", "aud": "chat", "sub": subject, "exp": now() + 3600});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// An issuer as the parameter `IdentityIssuers` has it, with `more` members.
pub fn configured(more: Value) -> Value {
    let mut issuer = json!({"issuer": "https://id.example/", "audience": ["chat", "other"]});
    issuer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    issuer
}

/// Options of a laptop cloud that trusts these issuers.
pub fn trusting(issuers: &[Value]) -> Options {
    let mut options = options();
    options.parameters.insert("IdentityIssuers".to_owned(), json!(issuers).to_string());
    options
}

/// A server that publishes keys, and counts how often they are fetched.
#[derive(Clone)]
pub struct KeyServer {
    pub url: String,
    fetches: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

/// What the server answers.
pub enum Answer {
    Keys(Vec<Value>),
    Body(String),
    Status(u16),
    Redirect(String),
}

impl KeyServer {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let server = Self { url, fetches: Arc::default(), answer: Arc::new(Mutex::new(answer)) };
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub async fn answer(&self, answer: Answer) {
        *self.answer.lock().await = answer;
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn serve(State(server): State<KeyServer>) -> Response {
    server.fetches.fetch_add(1, Ordering::SeqCst);
    match &*server.answer.lock().await {
        Answer::Keys(keys) => json!({ "keys": keys }).to_string().into_response(),
        Answer::Body(body) => body.clone().into_response(),
        Answer::Status(status) => StatusCode::from_u16(*status).unwrap().into_response(),
        Answer::Redirect(to) => Redirect::temporary(to).into_response(),
    }
}
