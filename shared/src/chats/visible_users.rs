//! Users as the members of a chat see them.

use std::collections::{HashMap, HashSet};

use super::member::Member;
use crate::{
    Confab, Result,
    auth::user::{Profile, User, take_user},
    ids::{ChatUri, UserId},
};

impl Confab {
    /// Users as the members of these chats see them over HTTP: with the e-mail addresses of fellow members, if the
    /// deployment shows addresses at all.
    pub(crate) async fn visible_users(
        &self,
        seen: impl IntoIterator<Item = (ChatUri, UserId)>,
    ) -> Result<HashMap<UserId, User>> {
        let seen: HashSet<(ChatUri, UserId)> = seen.into_iter().collect();
        let ids: HashSet<UserId> = seen.iter().map(|(_, id)| *id).collect();
        if !self.limits().show_email {
            return self.users(ids).await;
        }
        let keys = seen.iter().flat_map(|(uri, id)| [Profile::key(*id), Member::key(uri, *id)]);
        let mut found = self.table().get_many(keys).await?;
        let members: HashSet<UserId> =
            seen.iter().filter(|(uri, id)| found.has(&Member::key(uri, *id))).map(|(_, id)| *id).collect();
        let user = |id: UserId| {
            let user = take_user(&mut found, id)?;
            Ok((id, if members.contains(&id) { user } else { user.without_email() }))
        };
        ids.into_iter().map(user).collect()
    }
}
