//! The members of a chat: their items, how they come in, and the pages of their list.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    api::http::Target,
    auth::user::{Profile, User, found_user},
    aws::table::{Key, Write, read},
    chats::access::ChatAccess,
    chats::chat::{Chat, in_order},
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, LAST_ID, UserId},
    input::query::{number, parameters},
};

/// Up to this many members, a chat is shown with all of them, with who is online and with how far each has read. Above, members come in
/// pages of as many, and the rest is not tracked.
pub(crate) const MEMBERS_SHOWN: u64 = 100;

const PREFIX: &str = "MEMBER#";

/// A member as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) user_id: UserId,
    /// The log entry by which they came in; 0 for the one who started the chat, who is thus always first.
    pub(crate) joined_id: EntryId,
    pub(crate) joined: Date,
    pub(crate) role: Role,
    /// How far they have read.
    pub(crate) read_id: EntryId,
    /// How many messages they have posted since they came in.
    #[serde(default)]
    pub(crate) own_count: u64,
    /// The last of these.
    #[serde(default)]
    pub(crate) own_last_id: EntryId,
    /// What had been counted when the log ended with `read_id`; unknown for a marker that was set elsewhere.
    #[serde(flatten)]
    pub(crate) read_counts: Option<ReadCounts>,
}

/// The counts of a chat and a member at the member's read marker. What has been counted since is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadCounts {
    /// The chat's `message_count`.
    #[serde(rename = "read_messages")]
    pub(crate) messages: u64,
    /// The chat's `deletion_count`.
    #[serde(rename = "read_deletions")]
    pub(crate) deletions: u64,
    /// The member's `own_count`.
    #[serde(rename = "read_own")]
    pub(crate) own: u64,
    /// The member's `own_last_id`. Beyond the marker, `own` counts messages that are behind it.
    #[serde(rename = "read_own_last_id")]
    pub(crate) own_last_id: EntryId,
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
    pub(crate) uri: ChatUri,
    joined: Date,
}

/// How many chats a user is in.
#[derive(Debug, Serialize)]
struct MembershipCount {
    chats: usize,
}

/// A page of a chat's members.
#[derive(Debug, Serialize)]
pub struct MemberPage {
    members: Vec<User>,
    /// The address of the page after this one, where there is one.
    next: Option<String>,
}

impl Member {
    /// A member who has read everything up to `joined_id`, and has posted nothing. The counts are the chat's at that entry.
    pub(crate) fn new(user_id: UserId, role: Role, joined_id: EntryId, joined: Date, counts: &Chat) -> Self {
        let (messages, deletions) = (counts.message_count, counts.deletion_count);
        let read_counts = Some(ReadCounts { messages, deletions, own: 0, own_last_id: 0 });
        Self { user_id, joined_id, joined, role, read_id: joined_id, own_count: 0, own_last_id: 0, read_counts }
    }

    pub(crate) fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Key::new(format!("CHAT#{uri}"), format!("{PREFIX}{user_id}"))
    }

    /// The other side of the membership.
    pub(crate) fn membership_key(uri: &ChatUri, user_id: UserId) -> Key {
        Key::new(format!("USER#{user_id}"), format!("CHAT#{uri}"))
    }

    /// Lets a transaction pass only while the user is in the chat.
    pub(crate) fn still(uri: &ChatUri, user_id: UserId) -> Write {
        Write::check(Self::key(uri, user_id), "attribute_exists(pk)").otherwise(|_| Error::not_a_member())
    }

    /// The same, and counts a message of theirs. In a transaction it costs what the check alone costs.
    pub(crate) fn posts(uri: &ChatUri, user_id: UserId, id: EntryId) -> Write {
        Write::update(Self::key(uri, user_id), "SET own_last_id = :id ADD own_count :one")
            .if_present()
            .number(":id", id)
            .number(":one", 1)
            .otherwise(|_| Error::not_a_member())
    }

    /// Lets a transaction pass only while the user owns the chat.
    pub(crate) fn still_owner(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Write::check(Self::key(uri, user_id), "#role = :owner").name("#role", "role").serialized(":owner", &Role::Owner)
    }

    /// Makes a member the owner, if they are still in.
    pub(crate) fn promote(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Ok(Self::set_role(uri, user_id, Role::Owner)?.if_present())
    }

    /// Makes the owner a member like all others, if they are still the owner.
    pub(crate) fn demote(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Self::set_role(uri, user_id, Role::Member)?.when("#role = :owner").serialized(":owner", &Role::Owner)
    }

    fn set_role(uri: &ChatUri, user_id: UserId, role: Role) -> Result<Write> {
        Write::update(Self::key(uri, user_id), "SET #role = :role").name("#role", "role").serialized(":role", &role)
    }

    /// Moves the read marker forward to an entry, with the counts where that is the log's last.
    pub(crate) fn read_up_to(chat: &Chat, user_id: UserId, id: EntryId) -> Write {
        let key = Self::key(&chat.uri, user_id);
        let write = if id == chat.last_id {
            let counts = "read_messages = :messages, read_deletions = :deletions, \
                          read_own = if_not_exists(own_count, :zero), read_own_last_id = if_not_exists(own_last_id, :zero)";
            Write::update(key, &format!("SET read_id = :id, {counts}"))
                .number(":messages", chat.message_count)
                .number(":deletions", chat.deletion_count)
                .number(":zero", 0)
        } else {
            let counts = "read_messages, read_deletions, read_own, read_own_last_id";
            Write::update(key, &format!("SET read_id = :id REMOVE {counts}"))
        };
        write.when("read_id < :id").number(":id", id)
    }

    /// Puts both sides of the membership.
    pub(crate) fn put(&self, uri: &ChatUri) -> Result<[Write; 2]> {
        let membership = Membership { uri: uri.clone(), joined: self.joined };
        Ok([
            Write::put(Self::key(uri, self.user_id), self)?,
            Write::put(Self::membership_key(uri, self.user_id), &membership)?,
        ])
    }

    /// Deletes both sides of the membership, if the user is in. What it means if not is for the caller to say. It fails with
    /// [`Error::Uncounted`] as [`Confab::come_in`] does.
    pub(crate) fn remove(uri: &ChatUri, user_id: UserId) -> [Write; 3] {
        [
            Write::delete(Self::key(uri, user_id)).if_present(),
            Write::delete(Self::membership_key(uri, user_id)),
            Write::update(membership_count(user_id), "ADD chats :less")
                .if_present()
                .number(":less", -1)
                .otherwise(move |_| Error::Uncounted(user_id)),
        ]
    }
}

/// What a new user begins with, who is in no chat.
pub(crate) fn no_memberships(user_id: UserId) -> Result<Write> {
    Write::put(membership_count(user_id), &MembershipCount { chats: 0 })
}

/// Where it is counted how many chats a user is in.
fn membership_count(user_id: UserId) -> Key {
    Key::new(format!("MEMBERSHIPS#{user_id}"), "COUNT")
}

impl Confab {
    /// The writes by which a user comes into a chat, as it is right before that. They fail with [`Error::AlreadyDone`] if the user is in,
    /// with [`Error::TooManyChats`], of which others can bring a user into four fifths, and with [`Error::Uncounted`] for a user of a
    /// version before, or who was imported: see [`Confab::unless_uncounted`].
    pub(crate) fn come_in(
        &self,
        chat: &Chat,
        user_id: UserId,
        role: Role,
        joined_id: EntryId,
        joined: Date,
        is_invited: bool,
    ) -> Result<[Write; 3]> {
        let [member, membership] = Member::new(user_id, role, joined_id, joined, chat).put(&chat.uri)?;
        let most = self.limits().chats_per_user.unwrap_or(u32::MAX.into());
        let count = Write::update(membership_count(user_id), "ADD chats :one")
            .when("chats < :most")
            .number(":one", 1)
            .number(":most", if is_invited { (most * 4).div_ceil(5) } else { most })
            .otherwise(move |count| match count {
                Some(_) => Error::TooManyChats(user_id),
                None => Error::Uncounted(user_id),
            });
        Ok([member.if_absent().otherwise(|_| Error::AlreadyDone), membership, count])
    }

    /// Users as members of these chats see them over HTTP: with the e-mail addresses of those who are in the chat, if the deployment
    /// shows addresses at all.
    pub(crate) async fn people(
        &self,
        seen: impl IntoIterator<Item = (ChatUri, UserId)>,
    ) -> Result<HashMap<UserId, User>> {
        let seen: HashSet<(ChatUri, UserId)> = seen.into_iter().collect();
        if !self.limits().show_email {
            return self.users(seen.into_iter().map(|(_, id)| id)).await;
        }
        let keys = seen.iter().flat_map(|(uri, id)| [Profile::key(*id), Member::key(uri, *id)]);
        let found = self.table().get_many(keys).await?;
        let members: HashSet<UserId> =
            seen.iter().filter(|(uri, id)| found.has(&Member::key(uri, *id))).map(|(_, id)| *id).collect();
        let user = |(_, id): (ChatUri, UserId)| {
            let user = found_user(&found, id)?;
            Ok((id, if members.contains(&id) { user } else { user.without_email() }))
        };
        seen.into_iter().map(user).collect()
    }

    /// What came of an attempt that counts memberships, or nothing if a user's had not been counted yet. They are now, and the attempt can
    /// be repeated.
    ///
    /// **Invariant.** While a user's memberships are not counted, none can be added or ended, so counting finds them all.
    pub(crate) async fn unless_uncounted<T>(&self, attempt: Result<T>) -> Result<Option<T>> {
        match attempt {
            Err(Error::Uncounted(user_id)) => self.count_memberships(user_id).await.map(|()| None),
            ended => ended.map(Some),
        }
    }

    async fn count_memberships(&self, user_id: UserId) -> Result<()> {
        let mut pages = self.table().pages_under(format!("USER#{user_id}"), "CHAT#");
        let mut chats = 0;
        while let Some(page) = pages.next().await? {
            chats += page.len();
        }
        // Another request may have counted meanwhile.
        let count = Write::put(membership_count(user_id), &MembershipCount { chats })?.if_absent();
        self.table().apply(count).await.map(drop)
    }

    /// Who is in, in the order of joining; the owner first.
    pub(crate) async fn member_ids(&self, uri: &ChatUri) -> Result<Vec<UserId>> {
        Ok(self.members(uri).await?.into_iter().map(|member| member.user_id).collect())
    }

    /// All members, in the order of joining; the owner first. In a large chat they are many.
    pub(crate) async fn members(&self, uri: &ChatUri) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = self.table().pages_under(format!("CHAT#{uri}"), PREFIX).all().await?;
        members.sort_by_key(|member| (member.role != Role::Owner, member.joined_id));
        Ok(members)
    }

    /// The members behind a user, in the order of their keys, and whom to go on behind if there are more.
    pub(crate) async fn member_page(
        &self,
        uri: &ChatUri,
        after: Option<UserId>,
    ) -> Result<(Vec<Member>, Option<UserId>)> {
        let most = MEMBERS_SHOWN as usize;
        // U+0001 sorts before every digit, so nothing is between a key and the key with it.
        let first = after.map_or(PREFIX.to_owned(), |id| format!("{PREFIX}{id}\u{1}"));
        let pages = self.table().pages(format!("CHAT#{uri}")).between(first, format!("{PREFIX}\u{10FFFF}"));
        let mut pages = pages.limit(most + 1);
        let mut members: Vec<Member> = Vec::new();
        while members.len() <= most
            && let Some(page) = pages.next().await?
        {
            for item in &page {
                members.push(read(item)?);
            }
        }
        let more = members.len() > most;
        members.truncate(most);
        let last = members.last().filter(|_| more).map(|member| member.user_id);
        Ok((members, last))
    }

    /// A page of a chat's members, in no order that means anything; `target` is what was asked for.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Invalid`] for a `cursor` that is none.
    pub async fn list_members(&self, access: &ChatAccess, target: &Target) -> Result<MemberPage> {
        let uri = &access.require_member()?.uri;
        let mut invalid = Invalid::default();
        let cursor = parameters(target.query())?.remove("cursor");
        let after = cursor.and_then(|value| number("cursor", &value, 1..=LAST_ID, &mut invalid)).map(UserId);
        invalid.unless_empty(())?;
        let (members, last) = self.member_page(uri, after).await?;
        let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
        let users = self.people(ids.iter().map(|id| (uri.clone(), *id))).await?;
        let next = last.map(|id| target.with([("cursor", id.to_string())]));
        Ok(MemberPage { members: in_order(&ids, &users), next })
    }
}
