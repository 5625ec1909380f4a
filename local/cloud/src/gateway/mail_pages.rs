//! `/_mail`: the mails that were sent, as pages for people and in JSON for programs.
//!
//! A mail may have a secret link, so no `--host` opens these pages to others. A mail's HTML is shown in a frame without
//! scripts, forms and remote content, and of an origin that is not the gateway's.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use serde_json::json;

use crate::{
    access::Hosts,
    mail::{Address, Mail, Mailbox},
    server::message,
};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const STYLE: &str = include_str!("mail_pages.css");

/// What a page may load: the style, and the frame with a mail's HTML.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
/// What a mail's HTML may do: have styles and inline images, and open links in new tabs.
const MAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src \
                           'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'";

/// The pages.
pub(crate) struct MailPages {
    /// The loopback interface's names only.
    hosts: Hosts,
    mailbox: Arc<Mailbox>,
}

impl MailPages {
    /// The pages of a mailbox, on this port.
    pub(crate) fn new(port: u16, mailbox: Arc<Mailbox>) -> Self {
        Self { hosts: Hosts::new(port, &[]), mailbox }
    }

    /// The answer to a request for one of the pages; none for other paths.
    pub(super) fn answer(&self, parts: &Parts) -> Option<Response<Body>> {
        let path = parts.uri.path().strip_prefix("/_mail")?;
        if !path.is_empty() && !path.starts_with('/') {
            return None;
        }
        if !self.hosts.admit(parts) {
            return Some(message(StatusCode::FORBIDDEN, "Mails are readable on this machine only"));
        }
        if ![Method::GET, Method::HEAD].contains(&parts.method) {
            let mut response = message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        let query = parts.uri.query().unwrap_or_default();
        Some(self.page(path, query).unwrap_or_else(|| message(StatusCode::NOT_FOUND, "There is no such mail")))
    }

    fn page(&self, path: &str, query: &str) -> Option<Response<Body>> {
        let (id, part) = match path.trim_matches('/') {
            "" => return Some(response(HTML, PAGE_POLICY, list(&self.mailbox.all()))),
            "api" => return Some(self.json(query)),
            "style.css" => return Some(response("text/css", PAGE_POLICY, STYLE.to_owned())),
            rest => rest.split_once('/').unwrap_or((rest, "")),
        };
        let mail = self.mailbox.get(id.parse().ok()?)?;
        Some(match part {
            "" => response(HTML, PAGE_POLICY, page(&mail)),
            "text" => response(TEXT, PAGE_POLICY, mail.text.clone()?),
            // Links open in new tabs, not in the frame.
            "html" => {
                response(HTML, MAIL_POLICY, format!("<!doctype html><base target=_blank>{}", mail.html.as_ref()?))
            }
            "source" => response(TEXT, PAGE_POLICY, mail.source()),
            _ => return None,
        })
    }

    /// The mails, or those to one address.
    fn json(&self, query: &str) -> Response<Body> {
        let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let is_asked_for = |mail: &Mail| {
            let is_to = |text: &String, to: &str| Address::parse(text).is_some_and(|recipient| recipient.address == to);
            query.get("to").is_none_or(|to| mail.recipients().any(|text| is_to(text, to)))
        };
        let mails: Vec<_> = self.mailbox.all().into_iter().filter(|mail| is_asked_for(mail)).collect();
        let mails: Vec<&Mail> = mails.iter().map(|mail| &**mail).collect();
        response("application/json", PAGE_POLICY, json!({ "mails": mails }).to_string())
    }
}

fn response(content_type: &'static str, policy: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The list of mails.
fn list(mails: &[Arc<Mail>]) -> String {
    let rows = mails.iter().fold(String::new(), |mut rows, mail| {
        let recipients = mail.recipients().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (id, date) = (mail.id, mail.date.format("%H:%M:%S"));
        let (to, subject) = (escape(&recipients), escape(&mail.subject));
        // Writing into a string never fails.
        let _ = write!(rows, "<tr><td>{date}</td><td>{to}</td><td><a href=\"/_mail/{id}\">{subject}</a></td></tr>");
        rows
    });
    let table = match rows.as_str() {
        "" => "<p>No mail has been sent.</p>".to_owned(),
        rows => format!("<table><tr><th>Time (UTC)</th><th>To</th><th>Subject</th></tr>{rows}</table>"),
    };
    document("Mails", &format!("<h1>Mails</h1>{table}<p><a href=\"/_mail/api\">As JSON</a></p>"))
}

/// A mail, with its HTML in a frame.
fn page(mail: &Mail) -> String {
    let headers = [
        ("From", mail.from.clone()),
        ("To", mail.to.join(", ")),
        ("Cc", mail.cc.join(", ")),
        ("Bcc", mail.bcc.join(", ")),
        ("Reply-To", mail.reply_to.join(", ")),
        ("Date", mail.date.to_rfc2822()),
    ];
    let headers = headers.iter().filter(|(_, value)| !value.is_empty());
    let headers: String =
        headers.map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>", escape(value))).collect();
    let id = mail.id;
    let html = mail.html.as_ref().map_or_else(String::new, |_| {
        let sandbox = "allow-popups allow-popups-to-escape-sandbox";
        format!("<h2>HTML</h2><iframe title=\"HTML\" sandbox=\"{sandbox}\" src=\"/_mail/{id}/html\"></iframe>")
    });
    let text = mail.text.as_ref().map(|text| format!("<h2>Text</h2><pre>{}</pre>", escape(text))).unwrap_or_default();
    let links = format!("<p><a href=\"/_mail\">All mails</a> · <a href=\"/_mail/{id}/source\">Source</a></p>");
    let subject = escape(&mail.subject);
    document(&subject, &format!("{links}<h1>{subject}</h1><table>{headers}</table>{html}{text}"))
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><meta name=\"viewport\" \
         content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/_mail/style.css\"><main>{body}</main></html>"
    )
}

/// A text within HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
