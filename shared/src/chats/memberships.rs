//! Memberships of users in several chats, read together.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future;

use super::{
    chat::Chat,
    member::{Member, Membership},
};
use crate::{
    Confab, Error, Result,
    accounts::membership_count::MEMBERSHIP,
    auth::authentication::Identity,
    ids::{ChatUri, UserId},
    key::Partition,
};

/// From this number of chats of a user on, all memberships of the user are read: about forty fit a read unit.
const MANY: usize = 25;

impl Confab {
    /// Those of some pairs of a user and a chat whose user is a member. Both sides of a membership are written in one
    /// transaction, so either of them shows it.
    pub(crate) async fn memberships(
        &self,
        pairs: impl IntoIterator<Item = (UserId, ChatUri)>,
    ) -> Result<BTreeSet<(UserId, ChatUri)>> {
        let mut by_user: BTreeMap<UserId, BTreeSet<ChatUri>> = BTreeMap::new();
        for (user_id, uri) in pairs {
            by_user.entry(user_id).or_default().insert(uri);
        }
        let (many, few): (Vec<_>, Vec<_>) = by_user.into_iter().partition(|(_, uris)| uris.len() >= MANY);
        let few = few.into_iter().flat_map(|(user_id, uris)| uris.into_iter().map(move |uri| (user_id, uri)));
        let few: Vec<(UserId, ChatUri)> = few.collect();
        let found = self.table().get_many(few.iter().map(|(user_id, uri)| Member::key(uri, *user_id))).await?;
        let is_member = |(user_id, uri): &(UserId, ChatUri)| found.has(&Member::key(uri, *user_id));
        let mut members: BTreeSet<(UserId, ChatUri)> = few.into_iter().filter(is_member).collect();
        for (user_id, uris) in many {
            let all: Vec<Membership> = self.table().pages_under(Partition::User.of(user_id), MEMBERSHIP).all().await?;
            let chats = all.into_iter().map(|membership| membership.uri).filter(|uri| uris.contains(uri));
            members.extend(chats.map(|uri| (user_id, uri)));
        }
        Ok(members)
    }

    /// Authenticates an identity for several chats: for each its uri, or why it is not the user's. `None` as in
    /// [`Confab::authorize`].
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub(crate) async fn authorize_for_chats(
        &self,
        identity: Identity,
        uris: &[Option<ChatUri>],
    ) -> Result<Vec<Result<ChatUri>>> {
        let user_id = identity.user_id;
        let memberships = self.memberships(uris.iter().flatten().map(|uri| (user_id, uri.clone())));
        let (_, members) = future::try_join(self.authenticate_as(identity), memberships).await?;
        let is_member = |uri: &ChatUri| members.contains(&(user_id, uri.clone()));
        let others = uris.iter().flatten().filter(|uri| !is_member(uri));
        let found = self.table().get_many(others.map(Chat::key)).await?;
        let authorized = uris.iter().map(|uri| match uri {
            Some(uri) if is_member(uri) => Ok(uri.clone()),
            Some(uri) if found.has(&Chat::key(uri)) => Err(Error::not_a_member()),
            _ => Err(Error::NotFound),
        });
        Ok(authorized.collect())
    }
}
