//! Importing from Django: the export of the original application, and how it is written to the table.
//!
//! **Invariant.** A chat's `SESSION` item is written after everything else of the chat. So a chat with that item is
//! whole and is left alone, and one without it has not been visible: what an interrupted import has left of it is
//! overwritten.

mod django;
mod dump;
mod report;

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::{
    Confab, Result,
    accounts::password,
    auth::{
        name_forms::Form,
        user::{Profile, User},
        username::Username,
    },
    aws::table::{WRITES_PER_BATCH, Write},
    chats::{
        chat::Chat,
        cursor::DeliveryCursor,
        entry::{Entry, ImportMark},
        member::Member,
    },
    error::Error,
    id_sequence::IdSequence,
    ids::{ChatUri, EntryId, UserId},
    key::Key,
};

use dump::ImportedChat;
use report::Problems;

pub use dump::Dump;
pub use report::Report;

/// Users or chats that are imported concurrently.
const CONCURRENT: usize = 16;
/// Users per read: two keys each fill one.
const USERS_PER_READ: usize = 50;
/// Chats per read, with a key each.
const CHATS_PER_READ: usize = 100;

#[derive(Serialize)]
struct ImportedEntry<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(flatten)]
    mark: ImportMark,
}

impl Confab {
    /// Writes the users and chats of a dump that are not in the table yet; the others are unchanged. `progress` is
    /// called with the number of steps done. The next import completes an interrupted one; two must not run
    /// concurrently.
    ///
    /// # Errors
    /// [`Error::NotImported`] before anything is written, where an id, a username or a uri is taken, and
    /// [`Error::Rejected`] where one was taken meanwhile; [`Error::NotImported`] where a username is taken while it is
    /// about to be written. When the table fails.
    pub async fn import(&self, dump: &Dump, progress: impl Fn(u64)) -> Result<Report> {
        let last_ids = [self.last_issued_id(IdSequence::User).await?, self.last_issued_id(IdSequence::Chat).await?];
        let mut problems = Problems::default();
        let users = self.new_users(dump, &mut problems).await?;
        let chats = self.new_chats(dump, last_ids[1], &mut problems).await?;
        problems.unless_any()?;
        self.claim_ids(dump, last_ids).await?;

        let steps = users.len() as u64 + chats.iter().map(|chat| chat.steps()).sum::<u64>();
        progress(dump.steps() - steps);
        stream::iter(&users)
            .map(async |profile| self.import_user(profile).await.map(|()| progress(1)))
            .buffer_unordered(CONCURRENT)
            .try_collect::<()>()
            .await?;
        // After the names, since a name may be a form of another. An interrupted import may have left some out.
        stream::iter(&dump.users)
            .map(|profile| self.import_forms(&profile.user))
            .buffer_unordered(CONCURRENT)
            .try_collect::<()>()
            .await?;
        stream::iter(&chats)
            .map(|chat| self.import_chat(chat, chat.chat.id <= last_ids[1], &progress))
            .buffer_unordered(CONCURRENT)
            .try_collect::<()>()
            .await?;
        let members: usize = chats.iter().map(|chat| chat.members.len()).sum();
        let entries: usize = chats.iter().map(|chat| chat.entries.len()).sum();
        let locked_out = dump.users.iter().filter(|profile| !password::is_verifiable(&profile.password_hash));
        Ok(Report {
            users: users.len(),
            chats: chats.len(),
            members,
            // Every other entry is about a member who joined, which the owner did not.
            messages: entries + chats.len() - members,
            existing_users: dump.users.len() - users.len(),
            existing_chats: dump.chats.len() - chats.len(),
            locked_out: locked_out.count(),
            skipped: dump.skipped.clone(),
        })
    }

    /// The users of a dump who are not in the table.
    async fn new_users<'a>(&self, dump: &'a Dump, problems: &mut Problems) -> Result<Vec<&'a Profile>> {
        let mut new = Vec::new();
        let keys = |profile: &Profile| [Profile::key(profile.user.id), Username::key(&profile.user.username)];
        let read = async |users: &'a [Profile]| (users, self.table().get_many(users.iter().flat_map(keys)).await);
        let mut found = stream::iter(dump.users.chunks(USERS_PER_READ)).map(read).buffered(CONCURRENT);
        while let Some((users, found)) = found.next().await {
            let mut found = found?;
            for profile in users {
                let User { id, username, .. } = &profile.user;
                let stored: Option<Profile> = found.take(&Profile::key(*id))?;
                let named: Option<Username> = found.take(&Username::key(username))?;
                let named = named.filter(|named| named.form == Form::Name);
                match (stored, named) {
                    (None, None) => new.push(profile),
                    (None, Some(Username { user_id, .. })) => {
                        problems.add(format!("auth.user {id}: in the table {username:?} is user {user_id}"));
                    }
                    // A user may have changed their name since, and another taken it.
                    (Some(stored), _) if stored.create_date == profile.create_date => {}
                    (Some(stored), _) => problems.add(format!(
                        "auth.user {id}: in the table this is {:?}, who registered at {}",
                        stored.user.username, stored.create_date
                    )),
                }
            }
        }
        Ok(new)
    }

    /// The chats of a dump that are not in the table. Up to `last_id` chats have been started or imported.
    async fn new_chats<'a>(
        &self,
        dump: &'a Dump,
        last_id: u64,
        problems: &mut Problems,
    ) -> Result<Vec<&'a ImportedChat>> {
        let mut new = Vec::new();
        let key = |chat: &ImportedChat| Chat::key(&chat.chat.uri);
        let read = async |chats: &'a [ImportedChat]| (chats, self.table().get_many(chats.iter().map(key)).await);
        let mut found = stream::iter(dump.chats.chunks(CHATS_PER_READ)).map(read).buffered(CONCURRENT);
        while let Some((chats, found)) = found.next().await {
            let mut found = found?;
            for chat in chats {
                let Chat { id, uri, .. } = &chat.chat;
                match found.take::<Chat>(&key(chat))? {
                    None => new.push(chat),
                    Some(stored) if stored.id != *id => {
                        problems.add(format!("chat.chatsession {id}: in the table {uri} is chat {}", stored.id));
                    }
                    Some(_) => {}
                }
            }
        }
        // No key leads from an id to its chat. Such ids are either of an interrupted import or of other chats.
        if let Some(chat) = new.iter().find(|chat| chat.chat.id <= last_id) {
            let stored: Vec<Chat> = self.table().scan(&key(chat).sk).await?;
            let uris: HashMap<u64, ChatUri> = stored.into_iter().map(|chat| (chat.id, chat.uri)).collect();
            for Chat { id, uri, .. } in new.iter().map(|chat| &chat.chat) {
                if let Some(other) = uris.get(id) {
                    problems.add(format!("chat.chatsession {id}, {uri}: in the table this is {other}"));
                }
            }
        }
        Ok(new)
    }

    /// Reserves the ids of a dump. `last_ids` are the last users' and chats' at the time when the dump was compared
    /// with the table.
    async fn claim_ids(&self, dump: &Dump, last_ids: [u64; 2]) -> Result<()> {
        let user_id = dump.users.iter().map(|profile| profile.user.id.0).max();
        let chat_id = dump.chats.iter().map(|chat| chat.chat.id).max();
        let sequences = [IdSequence::User, IdSequence::Chat].into_iter().zip([user_id, chat_id]).zip(last_ids);
        let claims: Vec<Write> = sequences
            .filter_map(|((sequence, id), last_id)| {
                id.filter(|id| *id > last_id).map(|id| sequence.skip_to(id, last_id))
            })
            .collect();
        if claims.is_empty() { Ok(()) } else { self.table().transact(claims).await }
    }

    async fn import_user(&self, profile: &Profile) -> Result<()> {
        let User { id, username, .. } = &profile.user;
        let problem = format!("auth.user {id}: somebody has just registered as {username:?}");
        let taken = move || Error::NotImported(vec![problem.clone()]);
        self.table().transact(profile.import(taken)?).await
    }

    /// Gives a user the other forms of their name, as far as nobody has them.
    async fn import_forms(&self, User { id, username, .. }: &User) -> Result<()> {
        for claim in Username::claim_forms(username, *id)? {
            self.table().attempt(claim).await?;
        }
        Ok(())
    }

    /// Writes a chat. It replaces what an interrupted import, possibly of another dump, has left of it.
    async fn import_chat(&self, chat: &ImportedChat, has_begun: bool, progress: impl Fn(u64)) -> Result<()> {
        let ImportedChat { chat, members, entries } = chat;
        let (uri, last_id) = (&chat.uri, chat.last_id);
        if has_begun {
            self.clear(uri, last_id, members).await?;
        }
        for entries in entries.chunks(WRITES_PER_BATCH) {
            let imported = |entry| ImportedEntry { entry, mark: ImportMark { imported: true } };
            let writes = entries.iter().map(|entry| Write::put(Entry::key(uri, entry.id), &imported(entry)));
            self.table().write_many(writes.collect::<Result<_>>()?).await?;
            progress(entries.len() as u64);
        }
        // Without a cursor, the fan-out would deliver the whole log with the first new message.
        let mut writes = vec![DeliveryCursor::put(uri, last_id)?];
        for member in members {
            writes.extend(member.put(uri)?);
        }
        self.table().write_many(writes).await?;
        self.table().attempt(Write::put(Chat::key(uri), chat)?.if_absent()).await?;
        progress(1);
        Ok(())
    }

    /// Deletes the entries beyond a log's end, and members who are not in the dump.
    async fn clear(&self, uri: &ChatUri, last_id: EntryId, members: &[Member]) -> Result<()> {
        let beyond: Vec<Key> = self.scan_after(uri, last_id).keys().await?;
        let mut writes: Vec<Write> = beyond.into_iter().map(Write::delete).collect();
        let known: HashSet<UserId> = members.iter().map(|member| member.user_id).collect();
        let former = self.members(uri).await?.into_iter().map(|member| member.user_id);
        for user_id in former.filter(|user_id| !known.contains(user_id)) {
            writes.extend(Member::keys(uri, user_id).map(Write::delete));
        }
        self.table().write_many(writes).await
    }
}
