//! Sends the mails that were requested.

use confab_shared::{
    Confab, Error,
    ids::MessageId,
    realtime::batch::{Batch, Record},
};
use futures_util::{StreamExt, stream};

pub(crate) async fn handle(confab: &Confab, Batch { records, deadline }: Batch) -> Vec<MessageId> {
    let send = async |Record { message_id, body, .. }: Record| {
        let sent = tokio::time::timeout_at(deadline.into(), confab.send_mail(&body)).await;
        let sent = sent.unwrap_or_else(|_| Err(Error::Busy(Some("the deadline has passed".into()))));
        sent.inspect_err(Error::log).err().map(|_| message_id)
    };
    // One after the other, since SES limits the rate.
    stream::iter(records).then(send).filter_map(async |failed| failed).collect().await
}
