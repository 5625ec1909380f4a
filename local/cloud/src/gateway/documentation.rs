//! Documentation under `/docs/`: the pages that mdBook made, which have inline scripts and styles.

use std::{collections::BTreeMap, path::Path};

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, Uri, header, request::Parts},
};

use super::website::Website;

/// Where it is.
const PATH: &str = "/docs";
/// Pages of mdBook have inline scripts and styles.
const POLICY: &str = "default-src 'self' 'unsafe-inline' data:; base-uri 'none'; frame-ancestors 'none'";

/// The pages.
#[derive(Clone, Debug)]
pub(crate) struct Documentation(Website);

impl Documentation {
    /// The pages in a folder, which may be created later.
    ///
    /// # Errors
    /// Never: the headers are valid.
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        let headers = [("content-security-policy", POLICY), ("x-content-type-options", "nosniff")];
        let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Website::new(folder, &headers).map(Self)
    }

    /// The page for a request, if there is one.
    pub(crate) async fn answer(&self, parts: &Parts) -> Option<Response<Body>> {
        let path = parts.uri.path().strip_prefix(PATH)?;
        // Links on the pages are relative.
        let is_root = path.is_empty();
        let path: Uri = if is_root { Uri::from_static("/") } else { path.parse().ok()? };
        let mut page = self.0.answer(parts.method.clone(), path, parts.headers.clone()).await?;
        if is_root {
            *page.status_mut() = StatusCode::PERMANENT_REDIRECT;
            *page.body_mut() = Body::empty();
            page.headers_mut().remove(header::CONTENT_LENGTH);
            page.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/docs/"));
        }
        Some(page)
    }
}
