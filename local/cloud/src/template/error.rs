//! What is wrong with a template.

use std::path::PathBuf;

/// What is wrong with a template, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}.")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("{path} is not YAML: {problem}.")]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// The cause, and its place in the file.
        problem: String,
    },
    /// A parameter has no value, or one that its constraints do not allow.
    #[error("{0}.")]
    Parameter(String),
    /// A part of the template is invalid.
    #[error("The template is wrong: {0}.")]
    Wrong(String),
}

impl TemplateError {
    pub(crate) fn wrong(problem: impl Into<String>) -> Self {
        Self::Wrong(problem.into())
    }

    /// The same error, with the part of the template that has it.
    pub(super) fn within(self, place: &str) -> Self {
        match self {
            Self::Wrong(problem) => Self::Wrong(format!("{place}: {problem}")),
            other => other,
        }
    }
}
