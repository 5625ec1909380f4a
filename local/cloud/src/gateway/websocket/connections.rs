//! The open connections of a WebSocket API.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::outgoing::{Close, Outgoing};

/// What is known about a connection when it starts.
pub(super) struct ConnectionInfo {
    pub(super) id: String,
    pub(super) connected_at: DateTime<Utc>,
    pub(super) source_ip: String,
    pub(super) user_agent: Value,
}

impl ConnectionInfo {
    pub(super) fn new(source_ip: String, user_agent: Value) -> Self {
        // Like AWS's: eleven random bytes in base64, so that an id ends in `=`.
        let id = URL_SAFE.encode(&uuid::Uuid::new_v4().as_bytes()[..11]);
        Self { id, connected_at: Utc::now(), source_ip, user_agent }
    }
}

/// When a connection last had traffic.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<(DateTime<Utc>, Instant)>>);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Utc::now(), Instant::now()))))
    }

    pub(super) fn mark(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Utc::now(), Instant::now());
    }

    pub(super) fn date(&self) -> DateTime<Utc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn instant(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A connection for its users.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) outgoing: Outgoing,
    pub(super) activity: Activity,
}

/// A connection for the task that runs its socket.
pub(super) struct SocketChannels {
    pub(super) outgoing: Outgoing,
    pub(super) queued: mpsc::Receiver<String>,
    pub(super) closed: watch::Receiver<Option<Close>>,
    pub(super) activity: Activity,
}

/// All connections by their ids.
pub(super) struct Connections {
    open: Mutex<HashMap<String, Connection>>,
    /// Whether a message must fit into a frame.
    limits_frames: bool,
}

impl Connections {
    pub(super) fn new(limits_frames: bool) -> Self {
        Self { open: Mutex::default(), limits_frames }
    }

    /// Makes a connection known.
    pub(super) fn register(&self, info: &Arc<ConnectionInfo>) -> SocketChannels {
        let (outgoing, queued, closed) = Outgoing::new(self.limits_frames);
        let activity = Activity::new();
        let connection = Connection { info: info.clone(), outgoing: outgoing.clone(), activity: activity.clone() };
        self.lock().insert(info.id.clone(), connection);
        SocketChannels { outgoing, queued, closed, activity }
    }

    pub(super) fn get(&self, id: &str) -> Option<Connection> {
        self.lock().get(id).cloned()
    }

    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
