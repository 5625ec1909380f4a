//! Joining a chat, and inviting others into it.

use serde::Serialize;

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType},
    member::{MEMBERS_SHOWN, Member, Membership, Role},
};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    auth::{
        user::{User, in_order},
        username::Username,
    },
    aws::table::Write,
    error::Invalid,
    ids::UserId,
    input::{fields::Fields, text::Text},
};

/// The most users that one request invites. Each takes four of the hundred writes of a DynamoDB transaction, and the
/// request three more.
const INVITATIONS: usize = 24;

/// The response to joining, inviting and handing over.
#[derive(Debug, Serialize)]
pub struct MembershipChange {
    status: &'static str,
    /// All members; above [`MEMBERS_SHOWN`] only the users that the request was about.
    members: Vec<User>,
    member_count: u64,
    message: String,
    user: User,
    users: Vec<User>,
}

/// The usernames of a request: `username`, or a list `usernames`.
struct Invitation {
    field: &'static str,
    /// Without repeats. Unlike at login they are not trimmed, as in the original.
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
            let mut invalid = Invalid::default();
            let name = Text::required(field).untrimmed().read_value(value, fields, &mut invalid);
            let name = invalid.unless_empty(name.unwrap_or_default())?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self { field, names })
    }
}

impl Confab {
    /// Adds users to a chat: the caller, or others whom the caller, being a member, invites. All of them or none;
    /// idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`]; [`Error::Throttled`]; [`Error::TooManyChats`]; [`Error::Invalid`] for
    /// unknown users.
    pub async fn join(&self, access: &ChatAccess, fields: &Fields) -> Result<MembershipChange> {
        let (chat, caller) = (access.chat()?, &access.caller.user);
        let invitation = Invitation::read(fields)?;
        let others = invitation.names.iter().filter(|name| **name != caller.username).count();
        if others > 0 {
            access.require_member()?;
            self.throttle(Rate::Lookups, caller.id, others).await?;
        }
        let guests = self.guests(&invitation, caller).await?;
        let entries = self.let_in(chat, &guests, caller.id, others > 0).await;
        let entries = entries.map_err(|error| match error {
            Error::TooManyChats(user_id) if user_id != caller.id => {
                let full = guests.iter().find(|guest| guest.id == user_id).map_or("", |guest| &guest.username);
                let problem = format!("\"{full}\" is in as many chats as others can bring a user into.");
                Invalid::field(invitation.field, problem).into()
            }
            error => error,
        })?;
        let names: Vec<&str> = guests.iter().map(|user| user.username.as_str()).collect();
        let message = format!("{} joined the chat", names.join(", "));
        let ids: Vec<UserId> = guests.iter().map(|user| user.id).collect();
        let known = guests.into_iter().map(|user| (user.id, user)).collect();
        self.publish_entries(&chat.uri, &entries, known).await;
        self.membership_change(chat, chat.member_count + entries.len() as u64, &ids, message).await
    }

    /// The response to a request that is about these users.
    pub(super) async fn membership_change(
        &self,
        chat: &Chat,
        member_count: u64,
        ids: &[UserId],
        message: String,
    ) -> Result<MembershipChange> {
        let is_small = member_count <= MEMBERS_SHOWN;
        let member_ids: Vec<UserId> = match is_small {
            true => self.members(&chat.uri).await?.into_iter().map(|member| member.user_id).collect(),
            false => ids.to_vec(),
        };
        let seen = member_ids.iter().chain(ids).map(|id| (chat.uri.clone(), *id));
        let known = self.visible_users(seen).await?;
        let users = in_order(ids, &known);
        Ok(MembershipChange {
            status: "SUCCESS",
            members: in_order(&member_ids, &known),
            member_count: if is_small { member_ids.len() as u64 } else { member_count },
            message,
            user: users.first().cloned().ok_or_else(|| Error::internal("a response about no user"))?,
            users,
        })
    }

    /// Appends that the guests join, except those who are members, and returns the entries. Others may be invited only
    /// by a member, also at the time of the transaction.
    async fn let_in(&self, chat: &Chat, guests: &[User], host: UserId, invites: bool) -> Result<Vec<Entry>> {
        let uri = &chat.uri;
        // A request that loses a race against another invitation of the same guest finds them at the next look, and one
        // guest after the other may not have been counted yet.
        for _ in 0..8 + guests.len() {
            let found = self.table().get_many(guests.iter().map(|guest| Member::key(uri, guest.id))).await?;
            let newcomers = guests.iter().filter(|guest| !found.has(&Member::key(uri, guest.id)));
            let newcomers: Vec<EntryBody> =
                newcomers.map(|guest| EntryBody::new(EntryType::Joined, guest.id)).collect();
            if newcomers.is_empty() {
                return Ok(Vec::new());
            }
            if invites && newcomers.iter().any(|newcomer| newcomer.user_id == host) {
                return Err(Error::not_a_member());
            }
            let changes = |chat: &Chat, entries: &[Entry]| {
                let mut writes = self.joins(chat, entries, host)?;
                writes.extend(invites.then(|| Membership::require(uri, host)));
                Ok(writes)
            };
            match self.unless_uncounted(self.append_about_members(chat, host, &newcomers, changes).await).await {
                Ok(None) | Err(Error::AlreadyDone) => {}
                Ok(Some(entries)) => return Ok(entries),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy(None))
    }

    /// The writes by which the users of these entries join.
    fn joins(&self, chat: &Chat, entries: &[Entry], host: UserId) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        for Entry { id, body: EntryBody { user_id, .. }, create_date, .. } in entries {
            // An owner who had left comes back as one.
            let role = if *user_id == chat.owner_id { Role::Owner } else { Role::Member };
            let member = Member::new(*user_id, role, *id, *create_date, chat);
            writes.extend(self.add_member(chat, &member, *user_id != host)?);
        }
        Ok(writes)
    }

    async fn guests(&self, invitation: &Invitation, caller: &User) -> Result<Vec<User>> {
        let names = invitation.names.iter();
        let others = names.filter(|name| **name != caller.username && Username::is_possible(name));
        let found = self.table().get_many(others.flat_map(|name| Username::lookup_keys(name))).await?.all()?;
        let mut ids = Vec::new();
        let mut invalid = Invalid::default();
        for name in &invitation.names {
            let is_caller = *name == caller.username;
            match is_caller.then_some(caller.id).or_else(|| Username::find(name, &found)) {
                // Two forms of a name may be of one user.
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => invalid.add(invitation.field, no_user(name)),
            }
        }
        invalid.unless_empty(())?;
        let mut users = self.users(ids.iter().copied().filter(|id| *id != caller.id)).await?;
        users.insert(caller.id, caller.clone());
        let mut invalid = Invalid::default();
        for name in &invitation.names {
            // A name stays reserved for a while after its account was deleted.
            if Username::find(name, &found).and_then(|id| users.get(&id)).is_some_and(User::is_deleted) {
                invalid.add(invitation.field, no_user(name));
            }
        }
        invalid.unless_empty(())?;
        Ok(in_order(&ids, &users))
    }
}

fn no_user(name: &str) -> String {
    format!("There is no user \"{name}\".")
}
