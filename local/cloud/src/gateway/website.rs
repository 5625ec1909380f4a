//! A website: the files of a folder, as CloudFront would serve them from a bucket, with the headers of the template's
//! response headers policy.

use std::{collections::BTreeMap, path::Path};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
};
use tower::ServiceExt;
use tower_http::services::ServeDir;

/// The files and their headers.
#[derive(Clone, Debug)]
pub(crate) struct Website {
    files: ServeDir,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Website {
    /// The files of a folder, which may be created later.
    ///
    /// # Errors
    /// The first invalid header.
    pub(crate) fn new(folder: &Path, headers: &BTreeMap<String, String>) -> Result<Self, String> {
        let header = |(name, value): (&String, &String)| {
            let header = name.parse().ok().zip(HeaderValue::from_str(value).ok());
            header.ok_or_else(|| format!("{name}: {value} is not a header"))
        };
        let headers = headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { files: ServeDir::new(folder).append_index_html_on_directories(true), headers })
    }

    /// The file for a request, if there is one. A body is ignored.
    pub(crate) async fn answer(&self, method: Method, uri: Uri, mut headers: HeaderMap) -> Option<Response<Body>> {
        if ![Method::GET, Method::HEAD].contains(&method) {
            return None;
        }
        if !is_one_range(&headers) {
            headers.remove(header::RANGE);
        }
        let mut request = Request::new(Body::empty());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        // It never fails: errors are responses.
        let Ok(response) = self.files.clone().oneshot(request).await;
        // These statuses are about a file that exists.
        let of_a_file = [StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED, StatusCode::RANGE_NOT_SATISFIABLE];
        if !response.status().is_success() && !of_a_file.contains(&response.status()) {
            return None;
        }
        let mut response = response.map(Body::new);
        response.headers_mut().extend(self.headers.iter().cloned());
        Some(response)
    }
}

/// Whether a request is for one range of bytes. A server may ignore any other `Range`, and answer with the whole file,
/// as S3 does
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-14.2>).
fn is_one_range(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return false };
    let ends = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    ends.is_some_and(|(first, last)| {
        let number = |end: &str| end.parse::<u64>().is_ok() && !end.starts_with('+');
        match (first, last) {
            ("", last) => number(last),
            (first, "") => number(first),
            // A range must not end before it starts.
            (first, last) => number(first) && number(last) && first.parse::<u64>().ok() <= last.parse::<u64>().ok(),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_recognized() {
        let is_one = |text: &str| is_one_range(&HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]));
        assert!(["bytes=0-1", "bytes=5-", "bytes=-5"].iter().all(|range| is_one(range)));
        for range in ["bytes=0-1,3-4", "bytes=-", "bytes=a-b", "bytes=5-1", "lines=0-1", "bytes", "bytes=+1-2", ""] {
            assert!(!is_one(range), "{range}");
        }
    }
}
