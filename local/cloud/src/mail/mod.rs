//! Mails that were sent, and the addresses in them.

mod address;
mod mailbox;

pub(crate) use address::Address;
pub(crate) use mailbox::{Mail, Mailbox};
