//! Listing the members of a chat.

use serde::Serialize;

use super::access::ChatAccess;
use crate::{
    Confab, Result,
    auth::user::{User, in_order},
    error::Invalid,
    ids::{LAST_ID, UserId},
    input::{query::Query, target::Target},
};

/// A page of a chat's members.
#[derive(Debug, Serialize)]
pub struct MemberPage {
    members: Vec<User>,
    /// The address of the next page, where there is one.
    next: Option<String>,
}

impl Confab {
    /// Lists a page of a chat's members, in no particular order; `target` is the request's.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`crate::Error::Invalid`] for a `cursor`.
    pub async fn list_members(&self, access: &ChatAccess, target: &Target) -> Result<MemberPage> {
        let uri = &access.require_member()?.uri;
        let mut invalid = Invalid::default();
        let cursor = Query::read(target.query())?.number("cursor", 1..=LAST_ID, &mut invalid);
        let after = invalid.unless_empty(cursor)?.map(UserId);
        let (members, last) = self.member_page(uri, after).await?;
        let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
        let users = self.visible_users(ids.iter().map(|id| (uri.clone(), *id))).await?;
        let next = last.map(|id| target.with([("cursor", id.to_string())]));
        Ok(MemberPage { members: in_order(&ids, &users), next })
    }
}
