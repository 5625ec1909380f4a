//! `delete`: deletes a message.

use super::{
    message::{MessageChange, done},
    response::SocketResponse,
};
use crate::{Confab, Result, ids::ConnectionId, input::fields::Fields};

#[derive(Debug)]
pub(super) struct Delete(MessageChange);

impl Delete {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        MessageChange::read(fields).map(Self)
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let MessageChange { uri, id, key } = self.0;
        let access = confab.authorize_connection(connection_id, &uri, None).await?;
        let id = id?;
        confab.delete_message(&access, id).await?;
        done("delete", &access, id, key.as_deref())
    }
}
