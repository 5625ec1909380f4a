//! Chat sessions and their members: starting one, showing it, joining it, inviting others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    Confab, Error, Result,
    date::Date,
    error::Invalid,
    fields::Fields,
    log::{Appended, Entry, EntryId, EntryType, Happening},
    registration::Counter,
    table::{Key, Write},
    user::{User, UserId, Username},
    visit::{Caller, Visit},
};

/// At most so many users come into a chat with one request: each takes three writes of the hundred that a DynamoDB
/// transaction may have.
pub const INVITATIONS: usize = 30;

/// Why an entry is refused by which a chat's owner would leave the others.
pub(crate) const OWNER_STAYS: &str = "The owner cannot leave while others are in this chat.";

const URI_DIGITS: usize = 15;

/// A chat session's uri, by which it is found and joined: the first 15 hex digits of a UUID4.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Uri(String);

impl Uri {
    fn random() -> Self {
        let mut digits = uuid::Uuid::new_v4().simple().to_string();
        digits.truncate(URI_DIGITS);
        Self(digits)
    }
}

impl FromStr for Uri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_uri = text.len() == URI_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_uri { Ok(Self(text.to_owned())) } else { Err(Error::NotFound) }
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a uri"))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A chat session as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The uri.
    pub uri: Uri,
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
    /// When it was started.
    pub create_date: Date,
    /// When something last happened in it.
    pub update_date: Date,
}

/// A member as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) user_id: UserId,
    /// The log entry by which they came in; 0 for the owner, who is thus always first.
    pub(crate) joined_id: EntryId,
    pub(crate) joined: Date,
    pub(crate) role: Role,
    /// How far they have read.
    pub(crate) read_id: EntryId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Owner,
    Member,
}

/// The other side of a membership: what chats a user is in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) uri: Uri,
    joined: Date,
    pub(crate) read_id: EntryId,
}

/// A chat session as its members see it.
#[derive(Debug, Serialize)]
pub struct Shown {
    id: u64,
    uri: Uri,
    owner: User,
    members: Vec<User>,
    last_id: EntryId,
    /// Who of them is listening, unless they are very many.
    online: Option<BTreeSet<UserId>>,
    /// How far each member has read, by the user's id.
    read: BTreeMap<UserId, EntryId>,
    create_date: Date,
    update_date: Date,
}

/// The answer to joining, inviting and handing over.
#[derive(Debug, Serialize)]
pub struct Joined {
    pub(crate) status: &'static str,
    pub(crate) members: Vec<User>,
    pub(crate) message: String,
    pub(crate) user: User,
    pub(crate) users: Vec<User>,
}

impl Session {
    pub(crate) fn key(uri: &Uri) -> Key {
        Key::new(format!("CHAT#{uri}"), "SESSION")
    }

    /// The step of `last_id` by which entries get their numbers. What they mean for the session as a whole is kept there too, and
    /// the owner does not leave while others are in: if `last_id` is as it was, that is what an entry was refused for.
    pub(crate) fn advance(uri: &Uri, last_id: EntryId, entries: &[Entry], date: Date) -> Result<Write> {
        let count = |kind| entries.iter().filter(|entry| entry.happening.kind == kind).count() as i64;
        let last = |kind| entries.iter().rev().find(|entry| entry.happening.kind == kind);
        let (message, owner) = (last(EntryType::Message), last(EntryType::Owner));
        let set_message = if message.is_some() { ", last_message_id = :message" } else { "" };
        let set_owner = if owner.is_some() { ", owner_id = :owner" } else { "" };
        let set = format!("SET last_id = :next, update_date = :date{set_message}{set_owner}");
        let expression = format!("{set} ADD member_count :more");
        let leaver = last(EntryType::Left).map(|entry| entry.happening.user_id);
        let may_leave = if leaver.is_some() { " AND (owner_id <> :leaver OR member_count = :one)" } else { "" };
        let mut write = Write::update(Self::key(uri), &expression)
            .when(&format!("last_id = :last{may_leave}"))
            .number(":last", last_id)
            .number(":next", last_id + entries.len() as u64)
            .number(":more", count(EntryType::Joined) - count(EntryType::Left))
            .serialized(":date", &date)?;
        if let Some(message) = message {
            write = write.number(":message", message.id);
        }
        if let Some(owner) = owner {
            write = write.number(":owner", owner.happening.user_id);
        }
        if let Some(leaver) = leaver {
            write = write.number(":leaver", leaver).number(":one", 1);
        }
        Ok(write)
    }

    /// The owner, who need not be in any more.
    pub(crate) fn owner(&self, users: &HashMap<UserId, User>) -> Result<User> {
        users.get(&self.owner_id).cloned().ok_or_else(|| Error::internal("a chat without its owner"))
    }
}

impl Member {
    pub(crate) fn key(uri: &Uri, user_id: UserId) -> Key {
        Key::new(format!("CHAT#{uri}"), format!("MEMBER#{user_id}"))
    }

    /// The other side of the membership.
    pub(crate) fn membership_key(uri: &Uri, user_id: UserId) -> Key {
        Key::new(format!("USER#{user_id}"), format!("CHAT#{uri}"))
    }

    /// Lets a transaction pass only while the user is in the chat.
    pub(crate) fn still(uri: &Uri, user_id: UserId) -> Write {
        Write::check(Self::key(uri, user_id), "attribute_exists(pk)")
    }

    /// Lets a transaction pass only while the user owns the chat.
    pub(crate) fn still_owner(uri: &Uri, user_id: UserId) -> Result<Write> {
        Write::check(Self::key(uri, user_id), "#role = :owner").name("#role", "role").serialized(":owner", &Role::Owner)
    }

    /// The writes by which a chat goes from its owner to another member.
    pub(crate) fn hand_over(uri: &Uri, owner_id: UserId, heir_id: UserId) -> Result<[Write; 2]> {
        let role = |user_id, role| {
            Write::update(Self::key(uri, user_id), "SET #role = :role").name("#role", "role").serialized(":role", &role)
        };
        Ok([
            role(owner_id, Role::Member)?.when("#role = :owner").serialized(":owner", &Role::Owner)?,
            role(heir_id, Role::Owner)?.if_present(),
        ])
    }

    /// The writes by which a user comes in.
    fn come_in(uri: &Uri, user_id: UserId, role: Role, joined_id: EntryId, joined: Date) -> Result<[Write; 2]> {
        let member = Self { user_id, joined_id, joined, role, read_id: joined_id };
        let [member, membership] = member.put(uri)?;
        Ok([member.if_absent(), membership])
    }

    /// Puts both sides of the membership.
    pub(crate) fn put(&self, uri: &Uri) -> Result<[Write; 2]> {
        let membership = Membership { uri: uri.clone(), joined: self.joined, read_id: self.read_id };
        Ok([
            Write::put(Self::key(uri, self.user_id), self)?,
            Write::put(Self::membership_key(uri, self.user_id), &membership)?,
        ])
    }
}

impl Confab {
    /// Starts a chat session.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn start_chat(&self, caller: &Caller) -> Result<Uri> {
        let id = self.next_id(Counter::Chat).await?;
        let (uri, now, owner_id) = (Uri::random(), Date::now(), caller.user.id);
        let session = Session {
            uri: uri.clone(),
            id,
            owner_id,
            last_id: 0,
            last_message_id: 0,
            member_count: 1,
            create_date: now,
            update_date: now,
        };
        let mut writes = vec![Write::put(Session::key(&uri), &session)?.if_absent()];
        writes.extend(Member::come_in(&uri, owner_id, Role::Owner, 0, now)?);
        match self.table().transact(writes).await? {
            None => Ok(uri),
            // The uri is taken; another try makes another one.
            Some(_) => Err(Error::Busy(None)),
        }
    }

    /// Shows a chat session to one of its members.
    ///
    /// # Errors
    /// As [`Visit::as_member`].
    pub async fn show_chat(&self, visit: &Visit) -> Result<Shown> {
        let session = visit.as_member()?;
        let members = self.members(&session.uri).await?;
        let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
        let users = self.users(ids.iter().copied().chain([session.owner_id])).await?;
        Ok(Shown {
            id: session.id,
            uri: session.uri.clone(),
            owner: session.owner(&users)?,
            members: in_order(&ids, &users),
            last_id: session.last_id,
            online: self.present(&session.uri).await?,
            read: members.iter().map(|member| (member.user_id, member.read_id)).collect(),
            create_date: session.create_date,
            update_date: session.update_date,
        })
    }

    /// Brings users into a chat: the caller, or others whom the caller, being a member, invites. All of them or none;
    /// whoever is in already stays in.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], or [`Error::Invalid`] naming the users that do not exist.
    pub async fn join(&self, visit: &Visit, fields: &Fields) -> Result<Joined> {
        let session = visit.session()?;
        let invitation = Invitation::read(fields)?;
        if invitation.names.iter().any(|name| *name != visit.caller.user.username) {
            visit.as_member()?;
        }
        let guests = self.guests(&invitation, &visit.caller.user).await?;
        let (member_ids, entries) = self.come_in(session, &guests).await?;
        let mut users: HashMap<UserId, User> = guests.iter().map(|user| (user.id, user.clone())).collect();
        self.publish_entries(&session.uri, &entries, users.clone()).await;
        let others: Vec<UserId> = member_ids.iter().copied().filter(|id| !users.contains_key(id)).collect();
        users.extend(self.users(others).await?);
        let names: Vec<&str> = guests.iter().map(|user| user.username.as_str()).collect();
        Ok(Joined {
            status: "SUCCESS",
            members: in_order(&member_ids, &users),
            message: format!("{} joined the chat", names.join(", ")),
            user: guests.first().cloned().ok_or_else(|| Error::internal("an invitation without a guest"))?,
            users: guests,
        })
    }

    /// Writes down that the guests come in, unless they are in, and says who is in now and what was written.
    async fn come_in(&self, session: &Session, guests: &[User]) -> Result<(Vec<UserId>, Vec<Entry>)> {
        let uri = &session.uri;
        // Whoever loses a race against another invitation of the same guest finds them in at the next look.
        for _ in 0..8 {
            let mut ids = self.member_ids(uri).await?;
            let newcomers: Vec<Happening> = guests
                .iter()
                .filter(|guest| !ids.contains(&guest.id))
                .map(|guest| Happening::new(EntryType::Joined, guest.id))
                .collect();
            if newcomers.is_empty() {
                return Ok((ids, Vec::new()));
            }
            let changes = |entries: &[Entry]| {
                let mut writes = Vec::new();
                for Entry { id, happening: Happening { user_id, .. }, create_date, .. } in entries {
                    // An owner who had left comes back as one.
                    let role = if *user_id == session.owner_id { Role::Owner } else { Role::Member };
                    writes.extend(Member::come_in(uri, *user_id, role, *id, *create_date)?);
                }
                Ok(writes)
            };
            if let Appended::Written(entries) = self.append(uri, session.last_id, &newcomers, changes).await? {
                ids.extend(newcomers.iter().map(|newcomer| newcomer.user_id));
                return Ok((ids, entries));
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

    /// Who is in, in the order of joining; the owner first.
    pub(crate) async fn member_ids(&self, uri: &Uri) -> Result<Vec<UserId>> {
        Ok(self.members(uri).await?.into_iter().map(|member| member.user_id).collect())
    }

    pub(crate) async fn members(&self, uri: &Uri) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = self.table().pages_under(format!("CHAT#{uri}"), "MEMBER#").all().await?;
        members.sort_by_key(|member| (member.role != Role::Owner, member.joined_id));
        Ok(members)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_random_uri_is_one() {
        let uri = Uri::random();
        assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
    }

    proptest! {
        #[test]
        fn only_fifteen_hex_digits_are_a_uri(text in "[0-9a-gA-F#/]{0,17}") {
            let is_one = text.len() == 15 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
            prop_assert_eq!(text.parse::<Uri>().is_ok(), is_one);
        }
    }
}
