//! Exporting one's own data as JSON Lines, in pages: the profile, and every chat that the user is or was in, each with
//! the user's messages there.
//!
//! Chats come in the order of their uris, members' and former members' alike. So a page's place is a chat and an entry,
//! and joining or leaving meanwhile moves nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    Confab, Error, Result,
    accounts::membership_count::MEMBERSHIP,
    auth::{
        authentication::Caller,
        user::{Profile, User},
    },
    chats::{
        chat::Chat,
        entry::{Entry, EntryType},
        export::Export,
        former_membership::FORMER_MEMBERSHIP,
        page::{PAGE_BYTES, response_bytes},
    },
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::{query::Query, target::Target},
    json,
    key::{Key, Partition},
};

/// Chats of a page.
const CHATS: usize = 50;
/// Log entries that a page reads, roughly.
const ENTRIES: usize = 5000;

/// A line of an export.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Profile {
        #[serde(flatten)]
        user: &'a User,
        create_date: Date,
    },
    Chat {
        uri: &'a ChatUri,
        is_member: bool,
        is_owner: bool,
    },
    Message {
        uri: &'a ChatUri,
        id: EntryId,
        message: &'a str,
        create_date: Date,
        edit_date: Option<Date>,
        delete_date: Option<Date>,
        reply_to: Option<EntryId>,
    },
}

/// Where a page begins: behind an entry of a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    chat: Option<ChatUri>,
    after: EntryId,
}

impl Place {
    /// Reads `chat` and `after` from a query string.
    fn read(query: &str) -> Result<Self> {
        let query = Query::read(query)?;
        let mut invalid = Invalid::default();
        let after = query.entry_id("after", &mut invalid).unwrap_or_default();
        let chat = query.text("chat").map(str::parse).transpose();
        let chat = chat.unwrap_or_else(|_| {
            invalid.add("chat", "This is not the uri of a chat.");
            None
        });
        invalid.unless_empty(Self { chat, after })
    }

    fn link(&self, target: &Target) -> String {
        let chat = self.chat.iter().map(|uri| ("chat", uri.to_string()));
        target.with(chat.chain([("after", self.after.to_string())]))
    }
}

/// The lines of a page, as far as they fit.
#[derive(Default)]
struct Lines {
    text: String,
    size: usize,
}

impl Lines {
    /// Adds a line. Returns whether it fits.
    fn push(&mut self, line: &Line<'_>) -> Result<bool> {
        let line = json::to_line(line)?;
        self.size += response_bytes(&line) + 2;
        // A single line always fits a response: an item of the table has 400 KB.
        let fits = self.size <= PAGE_BYTES || self.text.is_empty();
        if fits {
            self.text.push_str(&line);
            self.text.push('\n');
        }
        Ok(fits)
    }
}

impl Confab {
    /// Exports a page of the caller's data, from where `target` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `chat` and `after`.
    pub async fn export_account(&self, caller: &Caller, target: &Target) -> Result<Export> {
        let place = Place::read(target.query())?;
        let mut lines = Lines::default();
        if place == Place::default() {
            let profile: Option<Profile> = self.table().get(Profile::key(caller.user.id)).await?;
            let Profile { user, create_date, .. } = profile.ok_or(Error::NotFound)?;
            lines.push(&Line::Profile { user: &user, create_date })?;
        }
        let next = self.export_chats(caller.user.id, place, &mut lines).await?;
        Ok(Export { lines: lines.text, next: next.map(|place| place.link(target)) })
    }

    /// Exports chats from a place on. Returns where the page ends, if there is more.
    async fn export_chats(&self, user_id: UserId, place: Place, lines: &mut Lines) -> Result<Option<Place>> {
        let chats = self.chats_from(user_id, place.chat.as_ref()).await?;
        let mut found = self.table().get_many(chats.iter().map(|(uri, _)| Chat::key(uri))).await?;
        let mut read = 0;
        for (index, (uri, is_member)) in chats.iter().enumerate() {
            let chat: Option<Chat> = found.take(&Chat::key(uri))?;
            let is_resumed = place.chat.as_ref() == Some(uri) && place.after > EntryId::NONE;
            let start = Place { chat: Some(uri.clone()), after: if is_resumed { place.after } else { EntryId::NONE } };
            if index == CHATS || read >= ENTRIES {
                return Ok(Some(start));
            }
            let is_owner = chat.is_some_and(|chat| *is_member && chat.owner_id == user_id);
            if !is_resumed && !lines.push(&Line::Chat { uri, is_member: *is_member, is_owner })? {
                return Ok(Some(start));
            }
            if let Some(after) = self.export_messages(user_id, uri, start.after, &mut read, lines).await? {
                return Ok(Some(Place { chat: Some(uri.clone()), after }));
            }
        }
        Ok(None)
    }

    /// The chats that a user is or was in, from one on, with whether the user is a member: one more than a page has.
    async fn chats_from(&self, user_id: UserId, from: Option<&ChatUri>) -> Result<Vec<(ChatUri, bool)>> {
        let mut chats: BTreeMap<ChatUri, bool> = BTreeMap::new();
        for (prefix, is_member) in [(FORMER_MEMBERSHIP, false), (MEMBERSHIP, true)] {
            let first = format!("{prefix}{}", from.map(ChatUri::to_string).unwrap_or_default());
            let pages = self.table().pages(Partition::User.of(user_id)).between(first, format!("{prefix}\u{10FFFF}"));
            let keys: Vec<Key> = pages.limit(CHATS + 1).up_to(CHATS + 1).await?;
            let uris = keys.iter().filter_map(|key| key.sk.strip_prefix(prefix)?.parse().ok());
            chats.extend(uris.map(|uri| (uri, is_member)));
        }
        Ok(chats.into_iter().take(CHATS + 1).collect())
    }

    /// Exports a user's messages in a chat behind an entry. Returns the last entry that it read, if there is more.
    async fn export_messages(
        &self,
        user_id: UserId,
        uri: &ChatUri,
        after: EntryId,
        read: &mut usize,
        lines: &mut Lines,
    ) -> Result<Option<EntryId>> {
        let mut scan = self.scan_after(uri, after).bound(ENTRIES);
        let mut last = after;
        while let Some(scanned) = scan.next().await? {
            let Entry { id, body, create_date, edit_date, delete_date, .. } = scanned.entry;
            if body.kind == EntryType::Message && body.user_id == user_id {
                let message = body.message.as_deref().unwrap_or_default();
                let reply_to = body.reply_to;
                let line = Line::Message { uri, id, message, create_date, edit_date, delete_date, reply_to };
                if !lines.push(&line)? {
                    return Ok(Some(last));
                }
            }
            *read += 1;
            last = id;
        }
        Ok(scan.is_bounded().then_some(last))
    }
}
