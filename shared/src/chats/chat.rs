//! Chats: starting one, showing it, joining it, inviting others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    accounts::registration::IdSequence,
    api::http::Target,
    auth::user::{User, Username},
    aws::table::{Key, Write},
    chats::access::{Caller, ChatAccess},
    chats::log::{Entry, EntryBody, EntryType},
    chats::members::{MEMBERS_SHOWN, Member, Role},
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::fields::Fields,
};

/// The most users that one request brings into a chat. Each takes four of the hundred writes of a DynamoDB transaction, and the
/// request three more.
pub const INVITATIONS: usize = 24;

/// A chat as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chat {
    /// The uri.
    pub uri: ChatUri,
    /// The integer id that the wire format shows.
    pub id: u64,
    /// Whom it belongs to: who started it, or to whom it was handed over.
    pub owner_id: UserId,
    /// The id of the last entry in its log; 0 while there is none.
    pub last_id: EntryId,
    /// The id of the last message among them; 0 while there is none.
    pub last_message_id: EntryId,
    /// How many are in it.
    pub member_count: u64,
    /// How many messages have been posted, deleted ones included. Only differences count: see `unread`.
    #[serde(default)]
    pub message_count: u64,
    /// How many messages have been deleted.
    #[serde(default)]
    pub deletion_count: u64,
    /// When it was started.
    pub create_date: Date,
    /// When something last happened in it.
    pub update_date: Date,
}

/// A chat as its members see it.
#[derive(Debug, Serialize)]
pub struct ChatDetail {
    id: u64,
    uri: ChatUri,
    owner: User,
    /// All members, the owner first; the first hundred by id where there are more.
    members: Vec<User>,
    /// The address of the members after these, where there are more.
    members_next: Option<String>,
    member_count: u64,
    last_id: EntryId,
    /// The members who are listening; `None` above [`MEMBERS_SHOWN`] members.
    online: Option<BTreeSet<UserId>>,
    /// How far each member has read, by the user's id; `None` above [`MEMBERS_SHOWN`] members.
    read: Option<BTreeMap<UserId, EntryId>>,
    create_date: Date,
    update_date: Date,
}

/// The answer to joining, inviting and handing over.
#[derive(Debug, Serialize)]
pub struct MembershipChange {
    pub(crate) status: &'static str,
    /// All members; above [`MEMBERS_SHOWN`] only those whom the request was about.
    pub(crate) members: Vec<User>,
    pub(crate) member_count: u64,
    pub(crate) message: String,
    pub(crate) user: User,
    pub(crate) users: Vec<User>,
}

impl Chat {
    pub(crate) fn key(uri: &ChatUri) -> Key {
        Key::new(format!("CHAT#{uri}"), "SESSION")
    }

    /// The step of `last_id` by which entries get their numbers, with what they change in the chat itself. It fails if others
    /// have been there first. Since every change of the owner and of the members is an entry, both are still as in `self` if it does not.
    pub(crate) fn advance(&self, entries: &[Entry], date: Date) -> Result<Write> {
        let count = |kind| entries.iter().filter(|entry| entry.body.kind == kind).count() as i64;
        let last = |kind| entries.iter().rev().find(|entry| entry.body.kind == kind);
        let (message, owner) = (last(EntryType::Message), last(EntryType::Owner));
        let set_message = if message.is_some() { ", last_message_id = :message" } else { "" };
        let set_owner = if owner.is_some() { ", owner_id = :owner" } else { "" };
        let set = format!("SET last_id = :next, update_date = :date{set_message}{set_owner}");
        let add = "ADD member_count :members, message_count :messages, deletion_count :deletions";
        let mut write = Write::update(Self::key(&self.uri), &format!("{set} {add}"))
            .when("last_id = :last")
            .number(":last", self.last_id)
            .number(":next", self.last_id + entries.len() as u64)
            .number(":members", count(EntryType::Joined) - count(EntryType::Left))
            .number(":messages", count(EntryType::Message))
            .number(":deletions", count(EntryType::Deleted))
            .serialized(":date", &date)?;
        if let Some(message) = message {
            write = write.number(":message", message.id);
        }
        if let Some(owner) = owner {
            write = write.number(":owner", owner.body.user_id);
        }
        Ok(write)
    }

    /// The owner, who need not be in any more.
    pub(crate) fn owner(&self, users: &HashMap<UserId, User>) -> Result<User> {
        users.get(&self.owner_id).cloned().ok_or_else(|| Error::internal("a chat without its owner"))
    }
}

impl Confab {
    /// Starts a chat.
    ///
    /// # Errors
    /// [`Error::Throttled`] as for posting; [`Error::TooManyChats`].
    pub async fn start_chat(&self, caller: &Caller) -> Result<ChatUri> {
        // Before an id is taken, since all chats take theirs from one item.
        self.throttle(Rate::Entries, caller.user.id, 1).await?;
        let id = self.next_id(IdSequence::Chat).await?;
        let (uri, now, owner_id) = (ChatUri::random(), Date::now(), caller.user.id);
        let chat = Chat {
            uri: uri.clone(),
            id,
            owner_id,
            last_id: 0,
            last_message_id: 0,
            member_count: 1,
            message_count: 0,
            deletion_count: 0,
            create_date: now,
            update_date: now,
        };
        // Should the uri be taken, another try makes another one.
        let put = Write::put(Chat::key(&uri), &chat)?.if_absent().otherwise(|_| Error::Busy(None));
        let mut writes = vec![put];
        writes.extend(self.come_in(&chat, owner_id, Role::Owner, 0, now, false)?);
        for _ in 0..2 {
            if self.unless_uncounted(self.table().transact(writes.clone()).await).await?.is_some() {
                return Ok(uri);
            }
        }
        Err(Error::Busy(None))
    }

    /// Shows a chat to one of its members; `target` is what was asked for.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub async fn show_chat(&self, access: &ChatAccess, target: &Target) -> Result<ChatDetail> {
        let chat = access.require_member()?;
        let uri = &chat.uri;
        let is_small = chat.member_count <= MEMBERS_SHOWN;
        let (members, cursor) =
            if is_small { (self.members(uri).await?, None) } else { self.member_page(uri, None).await? };
        let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
        let seen = ids.iter().copied().chain([chat.owner_id]).map(|id| (uri.clone(), id));
        let users = self.people(seen).await?;
        let pages = Target::new(format!("{}/members/", target.path().trim_end_matches('/')), "");
        let read = || members.iter().map(|member| (member.user_id, member.read_id)).collect();
        Ok(ChatDetail {
            id: chat.id,
            uri: uri.clone(),
            owner: chat.owner(&users)?,
            members: in_order(&ids, &users),
            members_next: cursor.map(|id| pages.with([("cursor", id.to_string())])),
            member_count: chat.member_count,
            last_id: chat.last_id,
            online: if is_small { self.present(uri).await? } else { None },
            read: is_small.then(read),
            create_date: chat.create_date,
            update_date: chat.update_date,
        })
    }

    /// Brings users into a chat: the caller, or others whom the caller, being a member, invites. All of them or none;
    /// those who are in already stay in.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Throttled`] for too many invitations, or [`Error::Invalid`] naming the users
    /// that do not exist.
    pub async fn join(&self, access: &ChatAccess, fields: &Fields) -> Result<MembershipChange> {
        let (chat, caller) = (access.chat()?, &access.caller.user);
        let invitation = Invitation::read(fields)?;
        let others = invitation.names.iter().filter(|name| **name != caller.username).count();
        if others > 0 {
            access.require_member()?;
            self.throttle(Rate::Lookups, caller.id, others).await?;
        }
        let guests = self.guests(&invitation, caller).await?;
        let entries = match self.let_in(chat, &guests, caller.id, others > 0).await {
            Err(Error::TooManyChats(user_id)) if user_id != caller.id => {
                let full = guests.iter().find(|guest| guest.id == user_id).map_or("", |guest| &guest.username);
                let problem = format!("\"{full}\" is in as many chats as others can bring a user into.");
                return Err(Invalid::field(invitation.field, problem).into());
            }
            entries => entries?,
        };
        let names: Vec<&str> = guests.iter().map(|user| user.username.as_str()).collect();
        let message = format!("{} joined the chat", names.join(", "));
        let ids: Vec<UserId> = guests.iter().map(|user| user.id).collect();
        let known = guests.into_iter().map(|user| (user.id, user)).collect();
        self.publish_entries(&chat.uri, &entries, known).await;
        self.joined(chat, chat.member_count + entries.len() as u64, &ids, message).await
    }

    /// The answer to a request that is about these users.
    pub(crate) async fn joined(
        &self,
        chat: &Chat,
        member_count: u64,
        ids: &[UserId],
        message: String,
    ) -> Result<MembershipChange> {
        let is_small = member_count <= MEMBERS_SHOWN;
        let member_ids = if is_small { self.member_ids(&chat.uri).await? } else { ids.to_vec() };
        let seen = member_ids.iter().chain(ids).map(|id| (chat.uri.clone(), *id));
        let known = self.people(seen).await?;
        let users = in_order(ids, &known);
        Ok(MembershipChange {
            status: "SUCCESS",
            members: in_order(&member_ids, &known),
            member_count: if is_small { member_ids.len() as u64 } else { member_count },
            message,
            user: users.first().cloned().ok_or_else(|| Error::internal("an answer about nobody"))?,
            users,
        })
    }

    /// Writes down that the guests come in, unless they are in, and gives what was written. Others may be invited only by a member, also
    /// at the moment of writing.
    async fn let_in(&self, chat: &Chat, guests: &[User], host: UserId, invites: bool) -> Result<Vec<Entry>> {
        let uri = &chat.uri;
        // A request that loses a race against another invitation of the same guest finds them in at the next look, and one guest after the
        // other may not have been counted yet.
        for _ in 0..8 + guests.len() {
            let found = self.table().get_many(guests.iter().map(|guest| Member::key(uri, guest.id))).await?;
            let newcomers: Vec<EntryBody> = guests
                .iter()
                .filter(|guest| !found.has(&Member::key(uri, guest.id)))
                .map(|guest| EntryBody::new(EntryType::Joined, guest.id))
                .collect();
            if newcomers.is_empty() {
                return Ok(Vec::new());
            }
            if invites && newcomers.iter().any(|newcomer| newcomer.user_id == host) {
                return Err(Error::not_a_member());
            }
            let changes = |chat: &Chat, entries: &[Entry]| {
                let mut writes = Vec::new();
                for Entry { id, body: EntryBody { user_id, .. }, create_date, .. } in entries {
                    // An owner who had left comes back as one.
                    let role = if *user_id == chat.owner_id { Role::Owner } else { Role::Member };
                    writes.extend(self.come_in(chat, *user_id, role, *id, *create_date, *user_id != host)?);
                }
                writes.extend(invites.then(|| Member::still(uri, host)));
                Ok(writes)
            };
            match self.unless_uncounted(self.append(chat, host, &newcomers, changes).await).await {
                Ok(None) | Err(Error::AlreadyDone) => {}
                Ok(Some(entries)) => return Ok(entries),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy(None))
    }

    async fn guests(&self, invitation: &Invitation, caller: &User) -> Result<Vec<User>> {
        let others = invitation.names.iter().filter(|name| **name != caller.username);
        let found = self
            .table()
            .get_many(others.filter(|name| Username::is_possible(name)).map(|name| Username::key(name)))
            .await?;
        let mut ids = HashMap::from([(caller.username.as_str(), caller.id)]);
        let mut invalid = Invalid::default();
        for name in &invitation.names {
            match found.read::<Username>(&Username::key(name))? {
                Some(Username { user_id }) => drop(ids.insert(name, user_id)),
                None if *name == caller.username => {}
                None => invalid.add(invitation.field, format!("There is no user \"{name}\".")),
            }
        }
        invalid.unless_empty(())?;
        let mut users = self.users(ids.values().copied().filter(|id| *id != caller.id)).await?;
        users.insert(caller.id, caller.clone());
        invitation
            .names
            .iter()
            .map(|name| {
                let user = ids.get(name.as_str()).and_then(|id| users.get(id));
                user.cloned().ok_or_else(|| Error::internal("a username without a user"))
            })
            .collect()
    }
}

pub(crate) fn in_order(ids: &[UserId], users: &HashMap<UserId, User>) -> Vec<User> {
    ids.iter().filter_map(|id| users.get(id).cloned()).collect()
}

/// Whom a request wants in: `username`, or a list `usernames`.
struct Invitation {
    field: &'static str,
    /// Without repeats. Unlike at login these are not trimmed, as in the original.
    names: Vec<String>,
}

impl Invitation {
    fn read(fields: &Fields) -> Result<Self> {
        let (field, values) = match (fields.get("username"), fields.list("usernames")) {
            (Some(name), _) => ("username", vec![name]),
            (None, Some(names)) => ("usernames", names),
            (None, None) => return Err(Invalid::field("username", "This field is required.").into()),
        };
        if values.is_empty() {
            return Err(Invalid::field(field, "This list may not be empty.").into());
        }
        if values.len() > INVITATIONS {
            let problem = format!("Ensure this field has no more than {INVITATIONS} elements.");
            return Err(Invalid::field(field, problem).into());
        }
        let mut names: Vec<String> = Vec::new();
        for value in values {
            let name = match fields.untrimmed_text_of(field, value) {
                Ok(name) if name.is_empty() => Err("This field may not be blank."),
                name => name,
            };
            let name = name.map_err(|problem| Invalid::field(field, problem))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self { field, names })
    }
}
