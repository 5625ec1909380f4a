//! Coming from Django: an export of the original application, as `manage.py dumpdata auth.user chat` writes it, and how it gets into
//! the table.
//!
//! **Invariant.** A chat's chat is written after everything else of the chat. So a chat whose chat is there is whole and is left
//! alone, and one whose chat is not there has been seen by nobody: whatever an import that was cut off has left of it may be
//! written over.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    io::{BufReader, Read},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::{
    Confab, Error, Result,
    accounts::password,
    accounts::registration::IdSequence,
    auth::user::{Profile, User, Username},
    aws::table::{Key, WRITES_PER_BATCH, Write},
    chats::chat::Chat,
    chats::log::{Entry, EntryBody, EntryType, entry_key},
    chats::members::{Member, Role},
    date::Date,
    ids::{ChatUri, EntryId, LAST_ID, UserId},
    realtime::fanout::DeliveryCursor,
};

/// So many users or chats are worked on at the same time.
const AT_A_TIME: usize = 16;
/// So many users are compared with the table in one go: two keys each fill one read.
const USERS_PER_READ: usize = 50;
/// So many chats are, with a key each.
const CHATS_PER_READ: usize = 100;
/// Of what is in the way so many are named.
const NAMED: usize = 10;
/// DynamoDB takes items of 400 KB; what else is in an entry takes less than the rest
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>).
const MESSAGE_BYTES: usize = 400_000;

/// An export, as it will be in the table.
#[derive(Debug, Default)]
pub struct Dump {
    users: Vec<Profile>,
    chats: Vec<ImportedChat>,
    skipped: BTreeMap<String, u64>,
}

/// A chat with all that is in it.
#[derive(Debug)]
struct ImportedChat {
    chat: Chat,
    members: Vec<Member>,
    entries: Vec<Entry>,
}

/// What an import did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Users that were written.
    pub users: usize,
    /// Chats that were written.
    pub chats: usize,
    /// Members of these chats, their owners included.
    pub members: usize,
    /// Messages in these chats.
    pub messages: usize,
    /// Users that were in the table already, and left as they are.
    pub users_there: usize,
    /// Chats that were in the table already, and left as they are.
    pub chats_there: usize,
    /// Users of the dump who cannot log in: without a password, or with one that was hashed in a way that is not known here.
    pub locked_out: usize,
    /// How many objects of other models the dump has.
    pub skipped: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, chats, members, messages, users_there, chats_there, locked_out, skipped } = self;
        write!(f, "Written: {users} users, {chats} chats, {members} members, {messages} messages. ")?;
        write!(f, "Already there: {users_there} users, {chats_there} chats.")?;
        if !skipped.is_empty() {
            let skipped: Vec<String> = skipped.iter().map(|(model, count)| format!("{count} {model}")).collect();
            write!(f, " Skipped: {}.", skipped.join(", "))?;
        }
        if *locked_out > 0 {
            write!(f, " Without a password that Confab can check: {locked_out} users.")?;
        }
        Ok(())
    }
}

/// Marks what was imported, so that it can be told from news.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mark {
    #[serde(default)]
    pub(crate) imported: bool,
}

#[derive(Serialize)]
struct Imported<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(flatten)]
    mark: Mark,
}

/// Reasons not to import anything.
#[derive(Debug, Default)]
struct Problems {
    named: Vec<String>,
    others: usize,
}

impl Problems {
    fn add(&mut self, problem: String) {
        match self.named.len() < NAMED {
            true => self.named.push(problem),
            false => self.others += 1,
        }
    }

    /// What there is, or else one problem more.
    fn take<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|problem| self.add(problem)).ok()
    }

    fn unless_any(mut self) -> Result<()> {
        if self.named.is_empty() {
            return Ok(());
        }
        if self.others > 0 {
            self.named.push(format!("and {} more", self.others));
        }
        self.named.push("Nothing was written.".to_owned());
        Err(Error::NotImported(self.named))
    }
}

/// An object of any model.
#[derive(Deserialize)]
struct Object {
    model: String,
    #[serde(default)]
    pk: Value,
    fields: Box<RawValue>,
}

#[derive(Deserialize)]
struct DjangoUser {
    username: String,
    password: String,
    email: String,
    first_name: String,
    last_name: String,
    is_active: bool,
    date_joined: Date,
}

#[derive(Deserialize)]
struct ChatSession {
    uri: ChatUri,
    owner: Reference,
    create_date: Date,
    update_date: Date,
}

/// A member came in or, if there is a message, somebody said it.
#[derive(Deserialize)]
struct Happened {
    chat_session: u64,
    user: Reference,
    message: Option<String>,
    create_date: Date,
}

/// How an object names a user: by id or, after `dumpdata --natural-foreign`, by name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a user is named by an id, or by a list of a username")]
enum Reference {
    Id(u64),
    Name((String,)),
}

/// The objects of an export, in whatever order, with their ids.
#[derive(Default)]
struct Objects {
    users: Vec<(u64, DjangoUser)>,
    chats: Vec<(u64, ChatSession)>,
    happened: Vec<(u64, Happened)>,
    skipped: BTreeMap<String, u64>,
}

impl<'de> Visitor<'de> for Objects {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, as dumpdata writes it")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(Object { model, pk, fields }) = list.next_element()? {
            self.add(&model, &pk, &fields).map_err(|problem| A::Error::custom(format!("{model} {pk}: {problem}")))?;
        }
        Ok(self)
    }
}

impl Objects {
    fn add(&mut self, model: &str, pk: &Value, fields: &RawValue) -> Result<(), String> {
        match model {
            "auth.user" => self.users.push((id(pk)?, read(fields)?)),
            "chat.chatsession" => self.chats.push((id(pk)?, read(fields)?)),
            "chat.chatsessionmember" => self.happened.push((id(pk)?, Happened { message: None, ..read(fields)? })),
            "chat.chatsessionmessage" => {
                let said: Happened = read(fields)?;
                let length = said.message.as_ref().ok_or("there is no message")?.len();
                if length > MESSAGE_BYTES {
                    return Err(format!("a message of {length} bytes does not fit the table"));
                }
                self.happened.push((id(pk)?, said));
            }
            _ => *self.skipped.entry(model.to_owned()).or_default() += 1,
        }
        Ok(())
    }
}

fn id(pk: &Value) -> Result<u64, &'static str> {
    pk.as_u64().filter(|id| (1..=LAST_ID).contains(id)).ok_or("this is no id")
}

fn read<T: DeserializeOwned>(fields: &RawValue) -> Result<T, String> {
    serde_json::from_str(fields.get()).map_err(|error| error.to_string())
}

/// The users of a dump, by what others name them.
#[derive(Default)]
struct Users {
    ids: HashSet<UserId>,
    names: HashMap<String, UserId>,
}

impl Users {
    fn add(&mut self, id: UserId, username: &str) -> Result<(), String> {
        if !Username::is_possible(username) {
            return Err(format!("auth.user {id}: there can be no username {username:?}"));
        }
        if !self.ids.insert(id) {
            return Err(format!("auth.user {id} is in the dump twice"));
        }
        match self.names.insert(username.to_owned(), id) {
            None => Ok(()),
            Some(other) => Err(format!("auth.user {id}: {username:?} is auth.user {other} too")),
        }
    }

    fn find(&self, reference: &Reference) -> Result<UserId, String> {
        let found = match reference {
            Reference::Id(id) => self.ids.get(&UserId(*id)).ok_or_else(|| id.to_string()),
            Reference::Name((name,)) => self.names.get(name).ok_or_else(|| format!("{name:?}")),
        };
        found.copied().map_err(|user| format!("auth.user {user} is not in the dump"))
    }
}

/// A chat of a dump, and what happened in it, with its ids and who it was.
struct ChatObjects {
    owner_id: UserId,
    chat: ChatSession,
    happened: Vec<(u64, UserId, Happened)>,
}

impl Dump {
    /// Reads a dump, and makes logs of its chats.
    ///
    /// # Errors
    /// [`Error::NotImported`] where it is no dump of the original's, or names users or chats that are not in it.
    pub fn read(reader: impl Read) -> Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(reader));
        let objects = deserializer.deserialize_seq(Objects::default());
        let objects = objects.and_then(|objects| deserializer.end().map(|()| objects));
        Self::new(objects.map_err(|error| {
            Error::NotImported(vec![format!("The dump cannot be read: {error}"), "Nothing was written.".to_owned()])
        })?)
    }

    fn new(Objects { users, chats, happened, skipped }: Objects) -> Result<Self> {
        let mut problems = Problems::default();
        let mut known = Users::default();
        for (id, user) in &users {
            problems.take(known.add(UserId(*id), &user.username));
        }
        let (mut by_id, mut uris) = (BTreeMap::new(), HashSet::new());
        for (id, chat) in chats {
            let owner_id = known.find(&chat.owner).map_err(|problem| format!("chat.chatsession {id}: {problem}"));
            let Some(owner_id) = problems.take(owner_id) else { continue };
            if !uris.insert(chat.uri.clone()) {
                problems.add(format!("chat.chatsession {id}: another one has the uri {} too", chat.uri));
            }
            if by_id.insert(id, ChatObjects { owner_id, chat, happened: Vec::new() }).is_some() {
                problems.add(format!("chat.chatsession {id} is in the dump twice"));
            }
        }
        for (id, happened) in happened {
            let model = if happened.message.is_some() { "chat.chatsessionmessage" } else { "chat.chatsessionmember" };
            let chat_id = happened.chat_session;
            let chat = by_id.get_mut(&chat_id).ok_or_else(|| format!("chat.chatsession {chat_id} is not in the dump"));
            let found = known.find(&happened.user).and_then(|user_id| Ok((user_id, chat?)));
            if let Some((user_id, chat)) = problems.take(found.map_err(|problem| format!("{model} {id}: {problem}"))) {
                chat.happened.push((id, user_id, happened));
            }
        }
        problems.unless_any()?;
        Ok(Self {
            users: users.into_iter().map(|(id, user)| profile(UserId(id), user)).collect(),
            chats: by_id.into_iter().map(|(id, chat)| ImportedChat::new(id, chat)).collect(),
            skipped,
        })
    }

    /// In how many steps it is imported: one for each user, chat and log entry.
    pub fn steps(&self) -> u64 {
        self.users.len() as u64 + self.chats.iter().map(ImportedChat::steps).sum::<u64>()
    }
}

fn profile(id: UserId, user: DjangoUser) -> Profile {
    let DjangoUser { username, password, email, first_name, last_name, is_active, date_joined } = user;
    let user = User { id, username, email, first_name, last_name };
    Profile { user, password_hash: password, epoch: 0, is_active, create_date: date_joined }
}

impl ImportedChat {
    /// Orders what happened, and numbers it. Nobody comes in twice, and the owner, who was there from the start, not at all. Everybody
    /// is taken to have read everything.
    fn new(id: u64, ChatObjects { owner_id, chat, mut happened }: ChatObjects) -> Self {
        happened.sort_by_key(|(id, _, happened)| (happened.create_date, happened.message.is_some(), *id));
        let ChatSession { uri, create_date, update_date, .. } = chat;
        let mut comers = vec![(owner_id, Role::Owner, 0, create_date)];
        let mut inside = HashSet::from([owner_id]);
        let mut entries: Vec<Entry> = Vec::new();
        let (mut last_message_id, mut message_count) = (0, 0);
        for (_, user_id, Happened { message, create_date, .. }) in happened {
            let id = entries.len() as EntryId + 1;
            if message.is_some() {
                last_message_id = id;
                message_count += 1;
            } else if inside.insert(user_id) {
                comers.push((user_id, Role::Member, id, create_date));
            } else {
                continue;
            }
            entries.push(entry(id, user_id, message, create_date));
        }
        let last_id = entries.len() as EntryId;
        let chat = Chat {
            uri,
            id,
            owner_id,
            last_id,
            last_message_id,
            member_count: comers.len() as u64,
            message_count,
            deletion_count: 0,
            create_date,
            update_date: entries.last().map_or(update_date, |last| last.create_date.max(update_date)),
        };
        let member = |(user_id, role, joined_id, joined)| {
            let member = Member::new(user_id, role, joined_id, joined, &chat);
            Member { read_id: last_id, ..member }
        };
        Self { members: comers.into_iter().map(member).collect(), chat, entries }
    }

    fn steps(&self) -> u64 {
        1 + self.entries.len() as u64
    }
}

fn entry(id: EntryId, user_id: UserId, message: Option<String>, create_date: Date) -> Entry {
    let kind = if message.is_some() { EntryType::Message } else { EntryType::Joined };
    Entry::new(id, EntryBody { message, ..EntryBody::new(kind, user_id) }, create_date)
}

impl Confab {
    /// Writes what of a dump is not in the table yet, and tells `progress` how many steps are done. Users and chats that are there
    /// already are left as they are. An import that was cut off is completed by the next one; two at the same time are one too many.
    ///
    /// # Errors
    /// [`Error::NotImported`] before anything is written, where an id, a username or a uri belongs to somebody or something else, and
    /// [`Error::Rejected`] where that changed in the meantime; [`Error::NotImported`] where somebody takes a username while it is about
    /// to be written. When the table fails.
    pub async fn import(&self, dump: &Dump, progress: impl Fn(u64)) -> Result<Report> {
        let last_ids = [self.last_given_id(IdSequence::User).await?, self.last_given_id(IdSequence::Chat).await?];
        let mut problems = Problems::default();
        let users = self.new_users(dump, &mut problems).await?;
        let chats = self.new_chats(dump, last_ids[1], &mut problems).await?;
        problems.unless_any()?;
        self.claim_ids(dump, last_ids).await?;

        let steps = users.len() as u64 + chats.iter().map(|chat| chat.steps()).sum::<u64>();
        progress(dump.steps() - steps);
        stream::iter(&users)
            .map(async |profile| self.import_user(profile).await.map(|()| progress(1)))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        stream::iter(&chats)
            .map(|chat| self.import_chat(chat, chat.chat.id <= last_ids[1], &progress))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        let members: usize = chats.iter().map(|chat| chat.members.len()).sum();
        let entries: usize = chats.iter().map(|chat| chat.entries.len()).sum();
        let locked_out = dump.users.iter().filter(|profile| !password::is_verifiable(&profile.password_hash));
        Ok(Report {
            users: users.len(),
            chats: chats.len(),
            members,
            // Every other entry is the coming in of a member who does not own the chat.
            messages: entries + chats.len() - members,
            users_there: dump.users.len() - users.len(),
            chats_there: dump.chats.len() - chats.len(),
            locked_out: locked_out.count(),
            skipped: dump.skipped.clone(),
        })
    }

    /// The users of a dump who are not in the table.
    async fn new_users<'a>(&self, dump: &'a Dump, problems: &mut Problems) -> Result<Vec<&'a Profile>> {
        let mut new = Vec::new();
        let keys = |profile: &Profile| [Profile::key(profile.user.id), Username::key(&profile.user.username)];
        let read = async |users: &'a [Profile]| (users, self.table().get_many(users.iter().flat_map(keys)).await);
        let mut found = stream::iter(dump.users.chunks(USERS_PER_READ)).map(read).buffered(AT_A_TIME);
        while let Some((users, found)) = found.next().await {
            let found = found?;
            for profile in users {
                let User { id, username, .. } = &profile.user;
                let stored: Option<Profile> = found.read(&Profile::key(*id))?;
                let named: Option<Username> = found.read(&Username::key(username))?;
                match (stored, named) {
                    (None, None) => new.push(profile),
                    (_, Some(Username { user_id })) if user_id != *id => {
                        problems.add(format!("auth.user {id}: in the table {username:?} is user {user_id}"));
                    }
                    (Some(stored), _) if is_other(&stored, profile) => problems.add(format!(
                        "auth.user {id}: in the table this is {:?}, who registered at {}",
                        stored.user.username, stored.create_date
                    )),
                    _ => {}
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
        let mut found = stream::iter(dump.chats.chunks(CHATS_PER_READ)).map(read).buffered(AT_A_TIME);
        while let Some((chats, found)) = found.next().await {
            let found = found?;
            for chat in chats {
                let Chat { id, uri, .. } = &chat.chat;
                match found.read::<Chat>(&key(chat))? {
                    None => new.push(chat),
                    Some(stored) if stored.id != *id => {
                        problems.add(format!("chat.chatsession {id}: in the table {uri} is chat {}", stored.id));
                    }
                    Some(_) => {}
                }
            }
        }
        // Nothing leads from an id to its chat. Such ids are either from an import that was cut off or from somewhere else.
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

    /// Keeps the ids of a dump from being given to others. `last_ids` were the last users' and chats' when the dump was compared with
    /// the table.
    async fn claim_ids(&self, dump: &Dump, last_ids: [u64; 2]) -> Result<()> {
        let user_id = dump.users.iter().map(|profile| profile.user.id.0).max();
        let chat_id = dump.chats.iter().map(|chat| chat.chat.id).max();
        let counters = [IdSequence::User, IdSequence::Chat].into_iter().zip([user_id, chat_id]).zip(last_ids);
        let claims: Vec<Write> = counters
            .filter_map(|((counter, id), last_id)| id.filter(|id| *id > last_id).map(|id| counter.skip_to(id, last_id)))
            .collect();
        if claims.is_empty() { Ok(()) } else { self.table().transact(claims).await }
    }

    async fn import_user(&self, profile: &Profile) -> Result<()> {
        let User { id, username, .. } = &profile.user;
        let problem = format!("auth.user {id}: somebody has just registered as {username:?}");
        let taken = move || Error::NotImported(vec![problem.clone()]);
        self.table().transact(profile.register(taken)?).await
    }

    /// Writes a chat. If an import has begun with it, of another dump maybe, this takes its place.
    async fn import_chat(&self, chat: &ImportedChat, has_begun: bool, progress: impl Fn(u64)) -> Result<()> {
        let ImportedChat { chat, members, entries } = chat;
        let (uri, last_id) = (&chat.uri, chat.last_id);
        if has_begun {
            self.clear(uri, last_id, members).await?;
        }
        for entries in entries.chunks(WRITES_PER_BATCH) {
            let imported = |entry| Imported { entry, mark: Mark { imported: true } };
            let writes = entries.iter().map(|entry| Write::put(entry_key(uri, entry.id), &imported(entry)));
            self.table().write_many(writes.collect::<Result<_>>()?).await?;
            progress(entries.len() as u64);
        }
        // Without it the fan-out would have the whole log to deliver with the first new message.
        let mut writes = vec![DeliveryCursor::put(uri, last_id)?];
        for member in members {
            writes.extend(member.put(uri)?);
        }
        self.table().write_many(writes).await?;
        self.table().apply(Write::put(Chat::key(uri), chat)?.if_absent()).await?;
        progress(1);
        Ok(())
    }

    /// Takes away what is beyond a log's end, and who is not among the members.
    async fn clear(&self, uri: &ChatUri, last_id: EntryId, members: &[Member]) -> Result<()> {
        let beyond: Vec<Key> = self.log_pages(uri, last_id + 1, LAST_ID).all().await?;
        let mut writes: Vec<Write> = beyond.into_iter().map(Write::delete).collect();
        let known: HashSet<UserId> = members.iter().map(|member| member.user_id).collect();
        for user_id in self.member_ids(uri).await?.into_iter().filter(|user_id| !known.contains(user_id)) {
            writes.push(Write::delete(Member::key(uri, user_id)));
            writes.push(Write::delete(Member::membership_key(uri, user_id)));
        }
        self.table().write_many(writes).await
    }
}

/// Whether a user of the table is another one than the user of the dump who has the same id.
fn is_other(stored: &Profile, profile: &Profile) -> bool {
    (&stored.user.username, stored.create_date) != (&profile.user.username, profile.create_date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const DATE: &str = "2018-03-01T12:00:00.123Z";

    fn user(id: u64, username: &str) -> Value {
        let fields = json!({"username": username, "password": "pbkdf2_sha256$2000$a$b", "email": "", "first_name": "",
            "last_name": "", "is_active": true, "date_joined": DATE, "is_staff": false, "groups": []});
        json!({"model": "auth.user", "pk": id, "fields": fields})
    }

    fn chat(id: u64, uri: &str, owner: Value) -> Value {
        let fields = json!({"create_date": DATE, "update_date": DATE, "owner": owner, "uri": uri});
        json!({"model": "chat.chatsession", "pk": id, "fields": fields})
    }

    fn member(id: u64, date: &str, chat: u64, user: Value) -> Value {
        let fields = json!({"create_date": date, "update_date": date, "chat_session": chat, "user": user});
        json!({"model": "chat.chatsessionmember", "pk": id, "fields": fields})
    }

    fn message(id: u64, date: &str, chat: u64, user: Value, text: &str) -> Value {
        let mut object = member(id, date, chat, user);
        object["model"] = json!("chat.chatsessionmessage");
        object["fields"]["message"] = json!(text);
        object
    }

    fn dump(objects: Value) -> Result<Dump> {
        Dump::read(objects.to_string().as_bytes())
    }

    fn problems(objects: Value) -> String {
        dump(objects).unwrap_err().to_string()
    }

    #[test]
    fn a_log_is_in_the_order_of_dates_then_ids() {
        // The second before the first, the owner among the members, one member twice, and a guest who never came in.
        let (early, late) = ("2018-03-01T12:00:01Z", "2018-03-01T14:00:02+02:00");
        let dump = dump(json!([
            message(9, late, 7, json!(3), ""),
            message(8, late, 7, json!(["anna"]), "x"),
            member(1, late, 7, json!(2)),
            member(2, early, 7, json!(2)),
            member(3, early, 7, json!(1)),
            message(1, early, 7, json!(1), "first"),
            chat(7, "0123456789abcde", json!(1)),
            user(3, "guest"),
            user(2, "ben"),
            user(1, "anna"),
            {"model": "authtoken.token", "pk": "abc", "fields": {"user": 1}},
            {"model": "sessions.session", "fields": {}},
        ]));
        let Dump { users, chats, skipped } = dump.unwrap();
        let [ImportedChat { chat, members, entries }] = &chats[..] else { panic!("{chats:?}") };
        let log = json!(entries.iter().map(|entry| json!(entry)).collect::<Vec<_>>());
        let entry = |id: u64, kind: &str, user_id: u64, second: u64| {
            json!({"sk": format!("{id:016}"), "type": kind, "user_id": user_id,
                "create_date": format!("2018-03-01T12:00:0{second}.000000Z")})
        };
        let said = |mut entry: Value, text: &str| {
            entry["message"] = json!(text);
            entry["reactions"] = json!({});
            entry["changed_id"] = json!(entry["sk"].as_str().unwrap().parse::<u64>().unwrap());
            entry
        };
        assert_eq!(
            log,
            json!([
                entry(1, "joined", 2, 1),
                said(entry(2, "message", 1, 1), "first"),
                said(entry(3, "message", 1, 2), "x"),
                said(entry(4, "message", 3, 2), ""),
            ])
        );
        let members: Vec<_> =
            members.iter().map(|member| (member.user_id.0, member.role, member.joined_id, member.read_id)).collect();
        assert_eq!(members, [(1, Role::Owner, 0, 4), (2, Role::Member, 1, 4)]);
        assert_eq!((chat.last_id, chat.last_message_id, chat.member_count, chat.id), (4, 4, 2, 7));
        let dates = [chat.create_date, chat.update_date].map(|date| date.to_string());
        assert_eq!(dates, ["2018-03-01T12:00:00.123000Z", "2018-03-01T12:00:02.000000Z"]);
        assert_eq!(users.len(), 3);
        assert_eq!(skipped, [("authtoken.token".to_owned(), 1), ("sessions.session".to_owned(), 1)].into());
    }

    #[test]
    fn what_is_no_dump_is_said() {
        for (text, expected) in [
            ("", "EOF while parsing"),
            ("{}", "a list of objects, as dumpdata writes it"),
            ("[5]", "invalid type: integer"),
            ("[] []", "trailing characters"),
            (
                r#"[{"model": "auth.user", "pk": 5, "fields": {"username": "x"}}]"#,
                "auth.user 5: missing field `password`",
            ),
            (r#"[{"model": "auth.user", "fields": {}}]"#, "auth.user null: this is no id"),
            (r#"[{"model": "auth.user", "pk": 0, "fields": {}}]"#, "auth.user 0: this is no id"),
        ] {
            let error = Dump::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut silent = message(5, DATE, 1, json!(1), "");
        silent["fields"]["message"] = Value::Null;
        let long = message(5, DATE, 1, json!(1), &"x".repeat(MESSAGE_BYTES + 1));
        for (object, expected) in [
            (silent, "chat.chatsessionmessage 5: there is no message"),
            (long, "chat.chatsessionmessage 5: a message of 400001 bytes does not fit the table"),
            (
                member(5, DATE, 1, Value::Null),
                "chat.chatsessionmember 5: a user is named by an id, or by a list of a username",
            ),
            (member(5, "2018-03-01T12:00:00", 1, json!(1)), "chat.chatsessionmember 5: premature end of input"),
            (chat(5, "0123456789ABCDE", json!(1)), "chat.chatsession 5: not a uri"),
        ] {
            let error = problems(json!([object]));
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_dump_must_be_whole() {
        let uri = "0123456789abcde";
        let error = problems(json!([
            user(1, "anna"),
            user(1, "bert"),
            user(2, "anna"),
            user(3, ""),
            chat(1, uri, json!(1)),
            chat(1, "0123456789abcd0", json!(1)),
            chat(2, uri, json!(1)),
            chat(3, uri, json!(9)),
            member(4, DATE, 1, json!(9)),
            message(5, DATE, 9, json!(1), "x"),
            message(6, DATE, 1, json!(["carl"]), "x"),
            message(7, DATE, 3, json!(1), "x"),
            message(8, DATE, 9, json!(1), "x"),
        ]));
        let expected = [
            "auth.user 1 is in the dump twice",
            "auth.user 2: \"anna\" is auth.user 1 too",
            "auth.user 3: there can be no username \"\"",
            "chat.chatsession 1 is in the dump twice",
            "chat.chatsession 2: another one has the uri 0123456789abcde too",
            "chat.chatsession 3: auth.user 9 is not in the dump",
            "chat.chatsessionmember 4: auth.user 9 is not in the dump",
            "chat.chatsessionmessage 5: chat.chatsession 9 is not in the dump",
            "chat.chatsessionmessage 6: auth.user \"carl\" is not in the dump",
            "chat.chatsessionmessage 7: chat.chatsession 3 is not in the dump",
            "and 1 more",
            "Nothing was written.",
        ];
        assert_eq!(error.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_done_is_said_in_a_line() {
        let skipped = [("authtoken.token".to_owned(), 3), ("sessions.session".to_owned(), 1)].into();
        let report = Report { users: 2, messages: 5, chats_there: 1, locked_out: 1, skipped, ..Report::default() };
        assert_eq!(
            report.to_string(),
            "Written: 2 users, 0 chats, 0 members, 5 messages. Already there: 0 users, 1 chats. \
             Skipped: 3 authtoken.token, 1 chats.chat. Without a password that Confab can check: 1 users."
        );
    }

    proptest! {
        #[test]
        fn logs_have_no_gaps_and_are_in_order(
            happened in proptest::collection::vec((1..4_u64, 0..20_u32, any::<bool>()), 0..60),
        ) {
            let mut objects = vec![chat(1, "0123456789abcde", json!(1)), user(1, "a"), user(2, "b"), user(3, "c")];
            objects.extend((1..).zip(&happened).map(|(id, (user, second, said))| {
                let date = format!("2018-03-01T12:00:{second:02}Z");
                if *said { message(id, &date, 1, json!(user), "x") } else { member(id, &date, 1, json!(user)) }
            }));
            let Dump { chats, .. } = dump(json!(objects)).unwrap();
            let ImportedChat { chat, members, entries } = &chats[0];
            let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
            prop_assert_eq!(ids, (1..=chat.last_id).collect::<Vec<_>>());
            prop_assert!(entries.is_sorted_by_key(|entry| entry.create_date));
            let newcomers: HashSet<u64> =
                happened.iter().filter(|(user, _, said)| !said && *user != 1).map(|(user, ..)| *user).collect();
            let messages = happened.iter().filter(|(.., said)| *said).count();
            prop_assert_eq!(members.len(), newcomers.len() + 1);
            prop_assert_eq!(entries.len(), newcomers.len() + messages);
            for member in &members[1..] {
                let entry = &entries[member.joined_id as usize - 1];
                prop_assert_eq!((entry.body.message.is_none(), entry.create_date), (true, member.joined));
            }
        }
    }
}
