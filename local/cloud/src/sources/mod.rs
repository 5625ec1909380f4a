//! Event sources: invoke functions with messages of queues and changes of tables.

mod checkpoints;
mod dead_letters;
mod queue;
mod record;
mod stream;

pub(crate) use checkpoints::prepare as prepare_checkpoints;
pub(crate) use dead_letters::DeadLetters;
pub(crate) use queue::serve as serve_queue;
pub(crate) use stream::serve as serve_stream;
