//! Members as stored, and the writes by which they join and leave.

use serde::{Deserialize, Serialize};

use super::{chat::Chat, former_membership::FormerMembership};
use crate::{
    Confab, Error, Result,
    accounts::membership_count::{self, MEMBERSHIP},
    aws::table::Write,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// Up to this many members, a chat is shown with all of them, with who is online and with how far each has read. Above,
/// members come in pages of as many, and the rest is not tracked.
pub(crate) const MEMBERS_SHOWN: u64 = 100;

/// The prefix of a member's sort key.
pub(crate) const MEMBER: &str = "MEMBER#";

/// A member as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) user_id: UserId,
    /// The log entry by which they joined; 0 for who started the chat, who is thus always first.
    pub(crate) joined_id: EntryId,
    pub(crate) joined: Date,
    pub(crate) role: Role,
    /// The read marker.
    pub(crate) read_id: EntryId,
    /// The counts when the log ended with `read_id`; unknown for a marker that was set elsewhere.
    #[serde(flatten)]
    pub(crate) read_counts: Option<ReadCounts>,
}

/// The counts of a chat and of a member's messages at the member's read marker. What has been counted since is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadCounts {
    /// The chat's `message_count`.
    #[serde(rename = "read_messages")]
    pub(crate) messages: u64,
    /// The chat's `deletion_count`.
    #[serde(rename = "read_deletions")]
    pub(crate) deletions: u64,
    /// The `own_count` of the membership.
    #[serde(rename = "read_own_count")]
    pub(crate) own: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Owner,
    Member,
}

/// The other side of a membership: a chat of a user. It is in the user's partition, since each post changes it, and all
/// posts of a hot chat would be too much for the chat's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) uri: ChatUri,
    joined: Date,
    /// The number of messages that the user has posted since they joined.
    #[serde(default)]
    pub(crate) own_count: u64,
    /// The one of these that was committed last.
    #[serde(default)]
    pub(crate) own_last_id: EntryId,
}

impl Membership {
    pub(crate) fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Partition::User.key(user_id, format!("{MEMBERSHIP}{uri}"))
    }

    /// Lets a transaction pass only while the user is a member.
    pub(crate) fn require(uri: &ChatUri, user_id: UserId) -> Write {
        Write::check(Self::key(uri, user_id), "attribute_exists(pk)").otherwise(|_| Error::not_a_member())
    }

    /// Lets a transaction pass only while the user is a member, and counts a message of theirs. In a transaction it
    /// costs what the check alone costs.
    pub(crate) fn count_message(uri: &ChatUri, user_id: UserId, id: EntryId) -> Write {
        Write::update(Self::key(uri, user_id), "SET own_last_id = :id ADD own_count :one")
            .if_present()
            .number(":id", id)
            .number(":one", 1)
            .otherwise(|_| Error::not_a_member())
    }
}

impl Member {
    /// A member who has read everything up to `joined_id` and has posted nothing. The counts are the chat's at that
    /// entry.
    pub(crate) fn new(user_id: UserId, role: Role, joined_id: EntryId, joined: Date, counts: &Chat) -> Self {
        let (messages, deletions) = (counts.message_count, counts.deletion_count);
        let read_counts = Some(ReadCounts { messages, deletions, own: 0 });
        Self { user_id, joined_id, joined, role, read_id: joined_id, read_counts }
    }

    pub(crate) fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Partition::Chat.key(uri, format!("{MEMBER}{user_id}"))
    }

    /// The keys of both sides of the membership.
    pub(crate) fn keys(uri: &ChatUri, user_id: UserId) -> [Key; 2] {
        [Self::key(uri, user_id), Membership::key(uri, user_id)]
    }

    /// Lets a transaction pass only while the user owns the chat.
    pub(crate) fn require_owner(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Write::check(Self::key(uri, user_id), "#role = :owner").name("#role", "role").serialized(":owner", &Role::Owner)
    }

    /// Makes a member the owner, if they are still a member.
    pub(crate) fn promote(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Ok(Self::set_role(uri, user_id, Role::Owner)?.if_present())
    }

    /// Makes the owner an ordinary member, if they are still the owner.
    pub(crate) fn demote(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Self::set_role(uri, user_id, Role::Member)?.when("#role = :owner").serialized(":owner", &Role::Owner)
    }

    fn set_role(uri: &ChatUri, user_id: UserId, role: Role) -> Result<Write> {
        Write::update(Self::key(uri, user_id), "SET #role = :role").name("#role", "role").serialized(":role", &role)
    }

    /// Moves the read marker forward to an entry that the user has seen, with the counts where that is the log's last.
    /// Who has seen the last entry has seen all before it, so their messages up to it have been counted.
    pub(crate) fn move_marker(chat: &Chat, membership: &Membership, user_id: UserId, id: EntryId) -> Write {
        let key = Self::key(&chat.uri, user_id);
        let write = if id == chat.last_id && membership.own_last_id <= id {
            let counts = "read_messages = :messages, read_deletions = :deletions, read_own_count = :own";
            Write::update(key, &format!("SET read_id = :id, {counts}"))
                .number(":messages", chat.message_count)
                .number(":deletions", chat.deletion_count)
                .number(":own", membership.own_count)
        } else {
            let counts = "read_messages, read_deletions, read_own_count";
            Write::update(key, &format!("SET read_id = :id REMOVE {counts}"))
        };
        write.when("read_id < :id").number(":id", id)
    }

    /// Puts both sides of the membership.
    pub(crate) fn put(&self, uri: &ChatUri) -> Result<[Write; 2]> {
        let (own_count, own_last_id) = (0, EntryId::NONE);
        let membership = Membership { uri: uri.clone(), joined: self.joined, own_count, own_last_id };
        let [member_key, membership_key] = Self::keys(uri, self.user_id);
        Ok([Write::put(member_key, self)?, Write::put(membership_key, &membership)?])
    }

    /// Deletes both sides of the membership, if the user is a member, and leaves a trace of it; the error for who is not
    /// is the caller's to say. It fails with [`Error::Uncounted`].
    pub(crate) fn remove(
        uri: &ChatUri,
        user_id: UserId,
        not_a_member: impl Fn() -> Error + Send + Sync + 'static,
    ) -> Result<Vec<Write>> {
        let [member, membership] = Self::keys(uri, user_id).map(Write::delete);
        let member = member.if_present().otherwise(move |_| not_a_member());
        let trace = FormerMembership::put(uri, user_id)?;
        Ok(vec![member, membership, trace, membership_count::decrement(user_id)])
    }
}

impl Confab {
    /// The writes by which a user joins a chat, given the chat as it is right before that. They fail with
    /// [`Error::AlreadyDone`] for a member, with [`Error::TooManyChats`], and with [`Error::Uncounted`].
    pub(crate) fn add_member(&self, chat: &Chat, member: &Member, is_invited: bool) -> Result<[Write; 3]> {
        let [put, membership] = member.put(&chat.uri)?;
        let count = self.increment_memberships(member.user_id, is_invited);
        Ok([put.if_absent().otherwise(|_| Error::AlreadyDone), membership, count])
    }

    /// All members, in the order of joining; the owner first. In a large chat they are many.
    pub(crate) async fn members(&self, uri: &ChatUri) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = self.table().pages_under(Partition::Chat.of(uri), MEMBER).all().await?;
        members.sort_by_key(|member| (member.role != Role::Owner, member.joined_id));
        Ok(members)
    }

    /// The members behind a user, in the order of their keys, and the user to continue behind if there are more.
    pub(crate) async fn member_page(
        &self,
        uri: &ChatUri,
        after: Option<UserId>,
    ) -> Result<(Vec<Member>, Option<UserId>)> {
        let most = MEMBERS_SHOWN as usize;
        // U+0001 sorts before every digit, so nothing is between a key and the key with it.
        let first = after.map_or(MEMBER.to_owned(), |id| format!("{MEMBER}{id}\u{1}"));
        let pages = self.table().pages(Partition::Chat.of(uri)).between(first, format!("{MEMBER}\u{10FFFF}"));
        let mut members: Vec<Member> = pages.limit(most + 1).up_to(most + 1).await?;
        let more = members.len() > most;
        members.truncate(most);
        let last = members.last().filter(|_| more).map(|member| member.user_id);
        Ok((members, last))
    }
}
