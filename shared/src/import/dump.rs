//! A dump: an export in the form of the table's items, with a log for each chat.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read,
};

use super::{
    django::{DjangoChat, DjangoEntry, DjangoUser, Objects, Reference},
    report::Problems,
};
use crate::{
    Error, Result,
    auth::{
        user::{Profile, User},
        username::Username,
    },
    chats::{
        chat::Chat,
        entry::{Entry, EntryBody, EntryType},
        member::{Member, Role},
    },
    date::Date,
    ids::{EntryId, UserId},
};

/// An export, in the form of the table's items.
#[derive(Debug, Default)]
pub struct Dump {
    pub(super) users: Vec<Profile>,
    pub(super) chats: Vec<ImportedChat>,
    pub(super) skipped: BTreeMap<String, u64>,
}

/// A chat with its members and its log.
#[derive(Debug)]
pub(super) struct ImportedChat {
    pub(super) chat: Chat,
    pub(super) members: Vec<Member>,
    pub(super) entries: Vec<Entry>,
}

/// The users of a dump, by id and by name.
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

/// A chat of an export with its memberships and messages, and their ids and users.
struct ChatObjects {
    owner_id: UserId,
    chat: DjangoChat,
    entries: Vec<(u64, UserId, DjangoEntry)>,
}

impl Dump {
    /// Reads an export, and makes a log of each chat.
    ///
    /// # Errors
    /// [`Error::NotImported`] where it is not an export of the original, or has references to users or chats that are
    /// not in it.
    pub fn read(reader: impl Read) -> Result<Self> {
        Self::new(Objects::read(reader).map_err(|error| {
            Error::NotImported(vec![format!("The dump cannot be read: {error}"), "Nothing was written.".to_owned()])
        })?)
    }

    fn new(Objects { users, chats, entries, skipped }: Objects) -> Result<Self> {
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
            if by_id.insert(id, ChatObjects { owner_id, chat, entries: Vec::new() }).is_some() {
                problems.add(format!("chat.chatsession {id} is in the dump twice"));
            }
        }
        for (id, entry) in entries {
            let model = if entry.message.is_some() { "chat.chatsessionmessage" } else { "chat.chatsessionmember" };
            let chat_id = entry.chat_session;
            let chat = by_id.get_mut(&chat_id).ok_or_else(|| format!("chat.chatsession {chat_id} is not in the dump"));
            let found = known.find(&entry.user).and_then(|user_id| Ok((user_id, chat?)));
            if let Some((user_id, chat)) = problems.take(found.map_err(|problem| format!("{model} {id}: {problem}"))) {
                chat.entries.push((id, user_id, entry));
            }
        }
        problems.unless_any()?;
        Ok(Self {
            users: users.into_iter().map(|(id, user)| profile(UserId(id), user)).collect(),
            chats: by_id.into_iter().map(|(id, chat)| ImportedChat::new(id, chat)).collect(),
            skipped,
        })
    }

    /// The steps of the import: one for each user, chat and log entry.
    pub fn steps(&self) -> u64 {
        self.users.len() as u64 + self.chats.iter().map(ImportedChat::steps).sum::<u64>()
    }
}

fn profile(id: UserId, user: DjangoUser) -> Profile {
    let DjangoUser { username, password, email, first_name, last_name, is_active, date_joined } = user;
    let user = User { id, username, email, first_name, last_name };
    Profile {
        user,
        password_hash: password,
        epoch: 0,
        is_active,
        // Whom an administrator deactivated cannot activate themselves.
        awaits_activation: false,
        is_listed: true,
        create_date: date_joined,
        identity: None,
    }
}

impl ImportedChat {
    /// Orders the entries and numbers them. A repeated membership, and the owner's, who was a member from the start,
    /// are dropped. Every member's read marker is at the end.
    fn new(id: u64, ChatObjects { owner_id, chat, entries: mut objects }: ChatObjects) -> Self {
        objects.sort_by_key(|(id, _, object)| (object.create_date, object.message.is_some(), *id));
        let DjangoChat { uri, create_date, update_date, .. } = chat;
        let mut joined = vec![(owner_id, Role::Owner, EntryId::NONE, create_date)];
        let mut known = HashSet::from([owner_id]);
        let mut entries: Vec<Entry> = Vec::new();
        for (_, user_id, DjangoEntry { message, create_date, .. }) in objects {
            let id = EntryId(entries.len() as u64 + 1);
            if message.is_none() {
                if !known.insert(user_id) {
                    continue;
                }
                joined.push((user_id, Role::Member, id, create_date));
            }
            entries.push(entry(id, user_id, message, create_date));
        }
        let last_id = EntryId(entries.len() as u64);
        let messages = || entries.iter().filter(|entry| entry.body.kind == EntryType::Message);
        let chat = Chat {
            reserve_date: None,
            locked_until: None,
            uri,
            id,
            owner_id,
            last_id,
            last_message_id: messages().next_back().map_or(EntryId::NONE, |last| last.id),
            member_count: joined.len() as u64,
            message_count: messages().count() as u64,
            deletion_count: 0,
            create_date,
            update_date: entries.last().map_or(update_date, |last| last.create_date.max(update_date)),
        };
        let member = |(user_id, role, joined_id, joined)| {
            let member = Member::new(user_id, role, joined_id, joined, &chat);
            Member { read_id: last_id, ..member }
        };
        Self { members: joined.into_iter().map(member).collect(), chat, entries }
    }

    pub(super) fn steps(&self) -> u64 {
        1 + self.entries.len() as u64
    }
}

fn entry(id: EntryId, user_id: UserId, message: Option<String>, create_date: Date) -> Entry {
    let kind = if message.is_some() { EntryType::Message } else { EntryType::Joined };
    Entry::new(id, EntryBody { message, ..EntryBody::new(kind, user_id) }, create_date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
            entry["reaction_counts"] = json!({});
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
        let members: Vec<_> = members
            .iter()
            .map(|member| (member.user_id.0, member.role, member.joined_id.0, member.read_id.0))
            .collect();
        assert_eq!(members, [(1, Role::Owner, 0, 4), (2, Role::Member, 1, 4)]);
        assert_eq!((chat.last_id.0, chat.last_message_id.0, chat.member_count, chat.id), (4, 4, 2, 7));
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
        let long = message(5, DATE, 1, json!(1), &"x".repeat(crate::import::django::MESSAGE_BYTES + 1));
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
            prop_assert_eq!(ids, (1..=chat.last_id.0).map(EntryId).collect::<Vec<_>>());
            prop_assert!(entries.is_sorted_by_key(|entry| entry.create_date));
            let newcomers: HashSet<u64> =
                happened.iter().filter(|(user, _, said)| !said && *user != 1).map(|(user, ..)| *user).collect();
            let messages = happened.iter().filter(|(.., said)| *said).count();
            prop_assert_eq!(members.len(), newcomers.len() + 1);
            prop_assert_eq!(entries.len(), newcomers.len() + messages);
            for member in &members[1..] {
                let entry = &entries[member.joined_id.0 as usize - 1];
                prop_assert_eq!((entry.body.message.is_none(), entry.create_date), (true, member.joined));
            }
        }
    }
}
