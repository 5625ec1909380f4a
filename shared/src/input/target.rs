//! Request targets, and references relative to them.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// A request target: a path and a query string, as the gateway received them. Scheme and host are not part of it, since
/// clients can forge the headers that carry them.
#[derive(Clone, Debug, Default)]
pub struct Target {
    path: String,
    query: String,
}

impl Target {
    /// A target of these two parts.
    pub fn new(path: impl Into<String>, query: impl Into<String>) -> Self {
        Self { path: path.into(), query: query.into() }
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query string; empty without one.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// A reference to the same path with these parameters, relative to the API's origin
    /// (<https://www.rfc-editor.org/rfc/rfc3986#section-4.2>). API Gateway's `rawPath` includes the stage and the
    /// mapping of a custom domain (<https://github.com/aws-powertools/powertools-lambda-python/pull/579>).
    pub(crate) fn with(&self, parameters: impl IntoIterator<Item = (&'static str, String)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        format!("{}?{}", in_ascii(&self.path), query.finish())
    }
}

/// A path or query string without the characters that headers and URIs may not have. A gateway may have decoded it.
pub(crate) fn in_ascii(text: &str) -> String {
    const NOT_IN_URIS: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');
    utf8_percent_encode(text, NOT_IN_URIS).to_string()
}
