//! Graceful shutdown: parts of the cloud that stop together.

use tokio::{sync::watch, task::JoinSet};

/// Tasks that stop together.
pub(crate) struct Stage {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) tasks: JoinSet<()>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, stopped, tasks: JoinSet::new() }
    }
}

/// Waits until the stage stops or is dropped.
pub(crate) async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
