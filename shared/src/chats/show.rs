//! Showing a chat.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future;
use serde::Serialize;

use super::{access::ChatAccess, member::MEMBERS_SHOWN};
use crate::{
    Confab, Result,
    auth::user::{User, in_order},
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    input::target::Target,
};

/// A chat as its members see it.
#[derive(Debug, Serialize)]
pub struct ChatDetail {
    id: u64,
    uri: ChatUri,
    owner: User,
    /// All members, the owner first; the first page of them where there are more.
    members: Vec<User>,
    /// The address of the next page of members, where there is one.
    members_next: Option<String>,
    member_count: u64,
    last_id: EntryId,
    /// The members who are online; `None` above [`MEMBERS_SHOWN`] members.
    online: Option<BTreeSet<UserId>>,
    /// The read marker of each member, by the user's id; `None` above [`MEMBERS_SHOWN`] members.
    read: Option<BTreeMap<UserId, EntryId>>,
    create_date: Date,
    update_date: Date,
}

impl Confab {
    /// Shows a chat to one of its members; `target` is the request's.
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
        let (users, last_id) = future::try_join(self.visible_users(seen), self.visible_id(chat)).await?;
        let pages = Target::new(format!("{}/members/", target.path().trim_end_matches('/')), "");
        let read = || members.iter().map(|member| (member.user_id, member.read_id)).collect();
        Ok(ChatDetail {
            id: chat.id,
            uri: uri.clone(),
            owner: chat.owner(&users)?,
            members: in_order(&ids, &users),
            members_next: cursor.map(|id| pages.with([("cursor", id.to_string())])),
            member_count: chat.member_count,
            last_id,
            online: if is_small { self.online_users(uri).await? } else { None },
            read: is_small.then(read),
            create_date: chat.create_date,
            update_date: chat.update_date,
        })
    }
}
