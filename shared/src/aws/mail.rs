//! Mail, sent by SES.

use aws_sdk_sesv2::{
    Client,
    error::ProvideErrorMetadata,
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message},
};

use super::client::config;
use crate::{Error, Result, environment::Environment};

/// Sends mail from one sender, through SES's client.
#[derive(Clone, Debug)]
pub(crate) struct Mailer {
    client: Client,
    sender: String,
}

/// A mail to one address, in plain text and in HTML.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

impl Mailer {
    /// The mailer whose sender is in `MAIL_SENDER`, such as `Confab <no-reply@example.com>`; none without a sender.
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let sender = environment.get("MAIL_SENDER")?.to_owned();
        Some(Self { client: Client::new(&config(environment, "SESV2")), sender })
    }

    /// Sends a mail, perhaps twice after a time-out. A mail that SES does not take, as for an address that is not valid,
    /// is logged and skipped, since another attempt would fail too.
    ///
    /// # Errors
    /// When SES fails.
    pub(crate) async fn send(&self, mail: &Mail) -> Result<()> {
        let body = Body::builder().text(content(&mail.text)?).html(content(&mail.html)?).build();
        let message = Message::builder().subject(content(&mail.subject)?).body(body).build();
        let request = self.client.send_email().from_email_address(&self.sender);
        let request = request.destination(Destination::builder().to_addresses(&mail.to).build());
        match request.content(EmailContent::builder().simple(message).build()).send().await {
            Err(error) if error.as_service_error().is_some_and(is_rejection) => {
                // Without SES's message, which may have the address.
                let code = error.code().unwrap_or_default();
                Error::internal(format!("SES does not take a mail, which is skipped: {code}")).log();
                Ok(())
            }
            sent => Ok(sent.map(drop)?),
        }
    }
}

fn content(text: &str) -> Result<Content> {
    Ok(Content::builder().charset("UTF-8").data(text).build()?)
}

/// Whether SES rejects the mail itself (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>).
fn is_rejection(error: &SendEmailError) -> bool {
    error.is_bad_request_exception() || error.is_message_rejected()
}
