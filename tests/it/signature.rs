//! Requests to AWS services, signed as an SDK does, but otherwise as a test needs them.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use reqwest::{Method, Request, Response};

use crate::world::World;

/// How a request is signed.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    pub secret: String,
    pub session: Option<String>,
    pub region: &'static str,
    pub service: &'static str,
    pub time: SystemTime,
    /// A header to omit from the signature.
    pub leaves_out: Option<&'static str>,
}

impl Signer {
    /// With the credentials of a laptop cloud's clients.
    pub fn new(world: &World, service: &'static str) -> Self {
        let variable = |name| world.variable(name).to_owned();
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        Self { id, secret, session: None, region: "us-east-1", service, time: SystemTime::now(), leaves_out: None }
    }

    pub fn sign(&self, request: &mut Request) {
        let identity = Credentials::new(&self.id, &self.secret, self.session.clone(), None, "tests").into();
        let params = v4::SigningParams::builder().identity(&identity).region(self.region).name(self.service);
        let mut settings = SigningSettings::default();
        settings.excluded_headers.get_or_insert_default().extend(self.leaves_out.map(Into::into));
        let params = params.time(self.time).settings(settings).build().unwrap().into();
        if !request.headers().contains_key("host") {
            let host = request.url().authority().to_owned();
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = request.body().map(|body| body.as_bytes().unwrap()).unwrap_or_default();
        let signable =
            SignableRequest::new(request.method().as_str(), request.url().as_str(), headers, SignableBody::Bytes(body));
        let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
        for (name, value) in instructions.headers() {
            request
                .headers_mut()
                .insert(reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
    }
}

impl World {
    /// Calls `@connections`, signed.
    pub async fn connections(&self, method: Method, connection_id: &str, body: impl Into<String>) -> Response {
        let path = format!("/ws/@connections/{}", connection_id.replace('=', "%3D"));
        let mut request = self.request(method, &path).body(body.into()).build().unwrap();
        Signer::new(self, "execute-api").sign(&mut request);
        self.client.execute(request).await.unwrap()
    }
}
