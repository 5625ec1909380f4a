//! A FIFO queue whose messages are taken out of the embedded one, which returns one of a group per receive.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_model::{
    error::SqsError,
    input::{DeleteMessageInput, ReceiveMessageInput},
};
use tokio::sync::Notify;

use super::groups::{Groups, Queued};

/// How long one poll of the embedded queue waits.
const WAIT_SECONDS: i32 = 20;

/// A FIFO queue.
pub(super) struct FifoQueue {
    pub(super) url: String,
    /// Notified when there may be more to receive.
    pub(super) changed: Notify,
    queues: Arc<RustackSqs>,
    groups: Mutex<Groups>,
    is_moving: AtomicBool,
}

impl FifoQueue {
    pub(super) fn new(queues: &Arc<RustackSqs>, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            changed: Notify::new(),
            queues: queues.clone(),
            groups: Mutex::default(),
            is_moving: AtomicBool::new(false),
        }
    }

    pub(super) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves all messages of the embedded queue.
    pub(super) async fn move_all(&self) -> Result<(), SqsError> {
        while self.move_some(0).await? {}
        Ok(())
    }

    /// Whether [`FifoQueue::wait_and_move`] is to be called, which it is once at a time.
    pub(super) fn begin_moving(&self) -> bool {
        !self.is_moving.swap(true, Ordering::AcqRel)
    }

    /// Waits for a message, and moves all. It may not be interrupted: a message that is received and not moved would be
    /// invisible for the time-out of the embedded queue.
    pub(super) async fn wait_and_move(self: Arc<Self>) {
        let moved = async {
            self.move_some(WAIT_SECONDS).await?;
            self.move_all().await
        };
        if let Err(error) = moved.await {
            tracing::warn!(%error, "a queue could not be polled");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.is_moving.store(false, Ordering::Release);
        // Receives that still wait begin again.
        self.changed.notify_waiters();
    }

    /// Moves messages, and waits so long for the first. `false` if there is none.
    async fn move_some(&self, wait_seconds: i32) -> Result<bool, SqsError> {
        let receive = ReceiveMessageInput {
            queue_url: self.url.clone(),
            max_number_of_messages: Some(10),
            wait_time_seconds: Some(wait_seconds),
            message_system_attribute_names: vec!["All".to_owned()],
            message_attribute_names: vec!["All".to_owned()],
            ..ReceiveMessageInput::default()
        };
        let messages = self.queues.receive_message(receive).await?.messages;
        let any = !messages.is_empty();
        for message in messages {
            let receipt_handle = message.receipt_handle.clone().unwrap_or_default();
            self.groups().add(Queued { message, receives: 0 });
            // Only then is the next message of its group received.
            self.queues.delete_message(DeleteMessageInput { queue_url: self.url.clone(), receipt_handle }).await?;
        }
        if any {
            self.changed.notify_waiters();
        }
        Ok(any)
    }
}
