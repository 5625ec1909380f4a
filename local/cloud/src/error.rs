//! Why the cloud does not start.

use std::{io, path::PathBuf};

use crate::template::TemplateError;

/// Why the cloud did not start, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The cloud cannot listen on a port.
    #[error("Port {0} cannot be listened on ({1}): another one can be chosen with --port.")]
    Port(u16, io::Error),
    /// The data file cannot be opened.
    #[error("The data cannot be opened: {0}.")]
    Data(String),
    /// The secret of the access keys cannot be read or stored.
    #[error("The secret of the access keys cannot be kept in {0}: {1}.")]
    Keys(PathBuf, io::Error),
    /// A resource cannot be created.
    #[error("{0} cannot be created: {1}.")]
    Resource(String, String),
    /// The website's headers are invalid.
    #[error("The website cannot be served: {0}.")]
    Website(String),
    /// A setting of `LikeAws` is unknown or has a wrong value.
    #[error("A setting is wrong: {0}.")]
    Setting(String),
    /// A policy of the template is wrong, or not supported.
    #[error("The permissions cannot be enforced: {0}.")]
    Permissions(String),
    /// A function cannot be started.
    #[error("{0}.")]
    Function(String),
}
