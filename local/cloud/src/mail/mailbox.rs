//! The mails that were sent, the latest of which are kept in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use mail_builder::{MessageBuilder, headers::raw::Raw};
use serde::Serialize;

/// How many mails are kept, and how many bytes of their contents.
const MAILS: usize = 500;
const BYTES: usize = 64 * 1024 * 1024;

/// A mail that was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mail {
    /// Counted from 1.
    pub(crate) id: u64,
    pub(crate) message_id: String,
    pub(crate) date: DateTime<Utc>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) bcc: Vec<String>,
    pub(crate) reply_to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
}

impl Mail {
    /// All recipients.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = &String> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// The mail as its recipients would get it (<https://www.rfc-editor.org/rfc/rfc5322>).
    pub(crate) fn source(&self) -> String {
        let mut message = MessageBuilder::new().header("From", Raw::new(self.from.as_str()));
        for (name, addresses) in [("To", &self.to), ("Cc", &self.cc), ("Reply-To", &self.reply_to)] {
            if !addresses.is_empty() {
                message = message.header(name, Raw::new(addresses.join(", ")));
            }
        }
        for (name, value) in &self.headers {
            message = message.header(name.as_str(), Raw::new(value.as_str()));
        }
        message = message.subject(self.subject.as_str()).date(self.date.timestamp());
        message = message.message_id(format!("{}@email.amazonses.com", self.message_id));
        if let Some(text) = &self.text {
            message = message.text_body(text.as_str());
        }
        if let Some(html) = &self.html {
            message = message.html_body(html.as_str());
        }
        message.write_to_string().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        let bodies = [&self.text, &self.html].into_iter().flatten().map(String::len).sum::<usize>();
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        bodies + headers + self.subject.len()
    }
}

/// The mails that were sent. The oldest are dropped as new ones need their place.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The address of the gateway, where mails are readable.
    url: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    mails: VecDeque<Arc<Mail>>,
    bytes: usize,
    last_id: u64,
}

impl Mailbox {
    /// An empty mailbox of a gateway at this address.
    pub(crate) fn new(url: String) -> Self {
        Self { url, kept: Mutex::default() }
    }

    /// Keeps a mail, numbers it, and logs it.
    pub(crate) fn keep(&self, mut mail: Mail) {
        let mut kept = self.lock();
        kept.last_id += 1;
        mail.id = kept.last_id;
        let to = mail.recipients().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!("mail to {to}: {} ({}/_mail/{})", mail.subject, self.url, mail.id);
        kept.bytes += mail.bytes();
        kept.mails.push_back(Arc::new(mail));
        while (kept.mails.len() > MAILS || kept.bytes > BYTES) && kept.mails.len() > 1 {
            let Some(dropped) = kept.mails.pop_front() else { break };
            kept.bytes -= dropped.bytes();
        }
    }

    /// All mails that are kept, the latest first.
    pub(crate) fn all(&self) -> Vec<Arc<Mail>> {
        self.lock().mails.iter().rev().cloned().collect()
    }

    /// The mail with this id, if it is kept.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Mail>> {
        self.lock().mails.iter().find(|mail| mail.id == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mail(subject: &str, text: String) -> Mail {
        Mail {
            id: 0,
            message_id: "m".to_owned(),
            date: DateTime::UNIX_EPOCH,
            from: "Ada <ada@example.com>".to_owned(),
            to: vec!["bob@example.com".to_owned()],
            cc: Vec::new(),
            bcc: vec!["eve@example.com".to_owned()],
            reply_to: Vec::new(),
            subject: subject.to_owned(),
            headers: vec![("X-Kind".to_owned(), "test".to_owned())],
            text: Some(text),
            html: Some("<p>ä</p>".to_owned()),
        }
    }

    #[test]
    fn the_latest_mails_are_kept() {
        let mailbox = Mailbox::new(String::new());
        for number in 1..=MAILS + 2 {
            mailbox.keep(mail(&number.to_string(), String::new()));
        }
        let all = mailbox.all();
        assert_eq!((all.len(), all[0].id), (MAILS, (MAILS + 2) as u64));
        assert!(mailbox.get(2).is_none());
        assert_eq!(mailbox.get(3).unwrap().subject, "3");
        mailbox.keep(mail("large", "x".repeat(BYTES)));
        assert_eq!(mailbox.all().len(), 1);
    }

    #[test]
    fn a_source_has_all_headers_but_blind_copies() {
        let source = mail("Grüße", "ä".to_owned()).source();
        for header in ["From: Ada <ada@example.com>\r\n", "To: bob@example.com\r\n", "X-Kind: test\r\n"] {
            assert!(source.contains(header), "{source}");
        }
        assert!(source.contains("Subject: =?utf-8?") && source.contains("multipart/alternative"), "{source}");
        assert!(!source.contains("eve"), "{source}");
    }
}
