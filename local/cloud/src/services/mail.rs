//! SES's API, version 2, as far as it sends a mail
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>). Every sender counts as verified.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mail::{Address, Mail, Mailbox};

/// SES's quotas (<https://docs.aws.amazon.com/ses/latest/dg/quotas.html>,
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Message.html>).
const RECIPIENTS: usize = 50;
const MAIL_BYTES: usize = 40 * 1024 * 1024;
const HEADERS: usize = 15;

/// The service.
pub(super) struct Ses {
    mailbox: Arc<Mailbox>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail {
    from_email_address: Option<String>,
    #[serde(default)]
    destination: Destination,
    #[serde(default)]
    reply_to_addresses: Vec<String>,
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    to_addresses: Vec<String>,
    cc_addresses: Vec<String>,
    bcc_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    simple: Option<Simple>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simple {
    subject: Text,
    body: Bodies,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    attachments: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bodies {
    text: Option<Text>,
    html: Option<Text>,
}

/// A text, whose charset is that of the mail and not of the request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    name: String,
    value: String,
}

impl Ses {
    pub(super) fn new(mailbox: &Arc<Mailbox>) -> Self {
        Self { mailbox: mailbox.clone() }
    }

    /// Answers a request.
    pub(super) fn answer(&self, parts: &Parts, body: &Bytes) -> Response<Body> {
        if parts.method != Method::POST || parts.uri.path() != "/v2/email/outbound-emails" {
            let text = "Of SES, version 2, there is only SendEmail here";
            return exception(StatusCode::NOT_FOUND, "UnknownOperationException", text);
        }
        match serde_json::from_slice(body).map_err(|error| error.to_string()).and_then(mail) {
            Ok(mail) => {
                let answer = json!({ "MessageId": mail.message_id });
                self.mailbox.keep(mail);
                json_response(StatusCode::OK, &answer)
            }
            Err(problem) => exception(StatusCode::BAD_REQUEST, "BadRequestException", &problem),
        }
    }

    /// How many recipients a request has, each of which is billed.
    pub(super) fn recipients(body: &[u8]) -> usize {
        serde_json::from_slice::<SendEmail>(body).map_or(0, |request| request.destination.all().count())
    }
}

impl Destination {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.to_addresses.iter().chain(&self.cc_addresses).chain(&self.bcc_addresses)
    }
}

/// The mail that a request asks for, or what is wrong with it.
fn mail(request: SendEmail) -> Result<Mail, String> {
    let SendEmail { from_email_address: from, destination, reply_to_addresses: reply_to, content } = request;
    let from = from.ok_or("Missing required header 'From'.")?;
    let simple = content.simple.ok_or("Only Simple content can be sent here, not Raw or Template.")?;
    if !simple.attachments.is_empty() {
        return Err("Attachments cannot be sent here.".to_owned());
    }
    match destination.all().count() {
        0 => return Err("Missing required header 'To'.".to_owned()),
        count if count > RECIPIENTS => return Err(format!("Recipient count exceeds {RECIPIENTS}.")),
        _ => {}
    }
    for address in destination.all().chain(&reply_to).chain([&from]) {
        Address::parse(address).ok_or_else(|| format!("Invalid email address {address}."))?;
    }
    check_headers(&simple)?;
    let Destination { to_addresses: to, cc_addresses: cc, bcc_addresses: bcc } = destination;
    let (text, html) = (simple.body.text.map(|text| text.data), simple.body.html.map(|html| html.data));
    // In base64, as a mail may be sent.
    let bytes = [&text, &html].into_iter().flatten().map(|body| body.len().div_ceil(3) * 4).sum::<usize>();
    if bytes > MAIL_BYTES {
        return Err(format!("Message length is more than {MAIL_BYTES} bytes long: '{bytes}'."));
    }
    let headers = simple.headers.into_iter().map(|header| (header.name, header.value)).collect();
    let (id, message_id, date) = (0, uuid::Uuid::new_v4().to_string(), Utc::now());
    Ok(Mail { id, message_id, date, from, to, cc, bcc, reply_to, subject: simple.subject.data, headers, text, html })
}

/// Headers end at a line's end, so a line break in one would begin another.
fn check_headers(simple: &Simple) -> Result<(), String> {
    if simple.subject.data.chars().any(char::is_control) {
        return Err("The subject has control characters.".to_owned());
    }
    if simple.headers.len() > HEADERS {
        return Err(format!("There are more than {HEADERS} headers."));
    }
    for Header { name, value } in &simple.headers {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        let is_value = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_name || !is_value {
            return Err(format!("The header {} is not valid.", name.escape_default()));
        }
    }
    Ok(())
}

fn exception(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = json_response(status, &json!({ "message": text }));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
