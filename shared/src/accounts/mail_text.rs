//! The texts of mails, in plain text and in HTML: no images, nothing from elsewhere, no tracking.

use super::mail_token::Purpose;
use crate::aws::mail::Mail;

/// What a mail says.
#[derive(Clone, Copy, Debug)]
pub(super) struct MailText<'a> {
    pub(super) product: &'a str,
    pub(super) username: &'a str,
    pub(super) link: &'a str,
    /// How long the link is valid.
    pub(super) hours: i64,
}

impl MailText<'_> {
    /// The mail to an address.
    pub(super) fn mail(self, purpose: Purpose, to: String) -> Mail {
        let Self { product, username, link, hours } = self;
        let hours = if hours == 1 { "hour".to_owned() } else { format!("{hours} hours") };
        let (subject, action, request, otherwise) = match purpose {
            Purpose::PasswordReset => (
                format!("Reset your password for {product}"),
                "Choose a new password",
                format!("Someone, probably you, wants to reset the password of {username} at {product}."),
                "If it was not you, ignore this mail: your password stays the same.",
            ),
            Purpose::Activation => (
                format!("Activate your account at {product}"),
                "Activate the account",
                format!("Someone, probably you, registered at {product} as {username} with this address."),
                "If it was not you, ignore this mail: the account stays inactive.",
            ),
        };
        let validity = format!("The link works once, within the next {hours}.");
        let text = format!("{request}\n\n{action}:\n{link}\n\n{validity}\n{otherwise}\n");
        let [request, link, action, title, validity, otherwise] =
            [&request, link, action, &subject, &validity, otherwise].map(escaped);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body style=\"font-family: sans-serif; line-height: 1.5\">\n\
             <p>{request}</p>\n<p><a href=\"{link}\">{action}</a></p>\n<p>{validity} {otherwise}</p>\n\
             <p style=\"color: #59636e; word-break: break-all\">{link}</p>\n</body></html>\n"
        );
        Mail { to, subject, text, html }
    }
}

/// A text within HTML, also in a quoted attribute
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Cross_Site_Scripting_Prevention_Cheat_Sheet.html>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let text = MailText { product: "<b>&Co", username: "\"><img src=x>", link: "https://a/?b&c'#/d", hours: 1 };
        for purpose in [Purpose::PasswordReset, Purpose::Activation] {
            let Mail { subject, text, html, .. } = text.mail(purpose, "anna@example.com".to_owned());
            assert!(subject.ends_with("<b>&Co"), "{subject}");
            assert!(text.contains("\"><img src=x>") && text.contains("\nhttps://a/?b&c'#/d\n"), "{text}");
            assert!(text.contains("within the next hour."), "{text}");
            assert!(!html.contains("<img") && !html.contains("<b>") && !html.contains("src=\""), "{html}");
            assert!(html.contains("<a href=\"https://a/?b&amp;c&#39;#/d\">"), "{html}");
        }
    }
}
