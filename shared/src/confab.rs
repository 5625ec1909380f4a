//! What every operation works with: the clients of AWS, and the deployment's limits.

use std::{fmt, sync::OnceLock};

use tokio::sync::OnceCell;

use crate::{
    Error, Result,
    aws::{mail::Mailer, queue::Queue, sockets::Sockets, table::Table, topic::Topic},
    environment::Environment,
    identity::Issuers,
    limits::Limits,
};

/// The domain: a method for everything that can be done. Built once per sandbox; its clients other than the table's are
/// built on first use, so that a cold start pays only for what a function needs.
#[derive(Debug)]
pub struct Confab {
    environment: Environment,
    limits: Limits,
    issuers: Issuers,
    table: Table,
    topic: OnceLock<Topic>,
    sockets: OnceLock<Sockets>,
    notifications: OnceLock<Queue>,
    deliveries: OnceLock<Queue>,
    dead_letters: OnceLock<Queue>,
    erasures: OnceLock<Queue>,
    mails: OnceLock<Queue>,
    mailer: OnceLock<Option<Mailer>>,
    mail_secret: OnceCell<MailSecret>,
}

/// The key of the tokens in mails, 32 random bytes. Printing it with `{:?}` hides it.
pub(crate) struct MailSecret(pub(crate) [u8; 32]);

impl fmt::Debug for MailSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailSecret")
    }
}

impl Confab {
    /// Reads `TABLE_NAME`, the limits ([`Limits::new`]) and `IDENTITY_ISSUERS`; `TOPIC_ARN`, `WEBSOCKET_ENDPOINT`,
    /// `FANOUT_QUEUE_URL`, `DELIVERY_QUEUE_URL`, `DEAD_LETTER_QUEUE_URL`, `ERASURE_QUEUE_URL`, `MAIL_QUEUE_URL` and
    /// `MAIL_SENDER` on first use.
    ///
    /// # Errors
    /// When `TABLE_NAME` is missing or a limit is not a number, or `IDENTITY_ISSUERS` is not valid.
    pub fn new(environment: &Environment) -> Result<Self> {
        Ok(Self {
            limits: Limits::new(environment)?,
            issuers: Issuers::new(environment)?,
            table: Table::new(environment)?,
            topic: OnceLock::new(),
            sockets: OnceLock::new(),
            notifications: OnceLock::new(),
            deliveries: OnceLock::new(),
            dead_letters: OnceLock::new(),
            erasures: OnceLock::new(),
            mails: OnceLock::new(),
            mailer: OnceLock::new(),
            mail_secret: OnceCell::new(),
            environment: environment.clone(),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The issuers whose tokens are accepted.
    pub(crate) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The exchange.
    pub(crate) fn topic(&self) -> Result<&Topic> {
        on_first_use(&self.topic, || Topic::new(&self.environment))
    }

    pub(crate) fn sockets(&self) -> Result<&Sockets> {
        on_first_use(&self.sockets, || Sockets::new(&self.environment))
    }

    /// The queue between the exchange and the fan-out.
    pub(crate) fn notifications(&self) -> Result<&Queue> {
        on_first_use(&self.notifications, || Queue::new(&self.environment, "FANOUT_QUEUE_URL"))
    }

    /// The queue through which frames reach large chats and slow consumers.
    pub(crate) fn deliveries(&self) -> Result<&Queue> {
        on_first_use(&self.deliveries, || Queue::new(&self.environment, "DELIVERY_QUEUE_URL"))
    }

    /// The dead-letter queue of messages that the fan-out cannot read.
    pub(crate) fn dead_letters(&self) -> Result<&Queue> {
        on_first_use(&self.dead_letters, || Queue::new(&self.environment, "DEAD_LETTER_QUEUE_URL"))
    }

    /// The queue of accounts to erase.
    pub(crate) fn erasures(&self) -> Result<&Queue> {
        on_first_use(&self.erasures, || Queue::new(&self.environment, "ERASURE_QUEUE_URL"))
    }

    /// An environment variable that only some functions have.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }

    /// The queue of mails to send.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] if the deployment has no sender of mail.
    pub(crate) fn mails(&self) -> Result<&Queue> {
        self.require_mail()?;
        on_first_use(&self.mails, || Queue::new(&self.environment, "MAIL_QUEUE_URL"))
    }

    /// Checks that the deployment sends mail.
    ///
    /// # Errors
    /// [`Error::NotConfigured`].
    pub(crate) fn require_mail(&self) -> Result<()> {
        let sender = self.setting("MAIL_SENDER");
        sender
            .map(drop)
            .ok_or(Error::NotConfigured("This server sends no mail, since it is configured without a sender."))
    }

    /// Where the key of the tokens in mails is kept once it is known.
    pub(crate) fn mail_secret(&self) -> &OnceCell<MailSecret> {
        &self.mail_secret
    }

    /// The mailer; none if the deployment has no sender of mail.
    pub(crate) fn mailer(&self) -> Option<&Mailer> {
        self.mailer.get_or_init(|| Mailer::new(&self.environment)).as_ref()
    }
}

fn on_first_use<T>(client: &OnceLock<T>, build: impl FnOnce() -> Result<T>) -> Result<&T> {
    match client.get() {
        Some(client) => Ok(client),
        None => {
            let built = build()?;
            Ok(client.get_or_init(|| built))
        }
    }
}
