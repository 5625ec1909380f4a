//! JSON bodies for hyper's own error responses.
//!
//! hyper answers requests that it cannot parse before any service sees them: it sends a response without a body and
//! closes the connection. This stream replaces that response with one that has a request id and a body in JSON, as all
//! others have.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::response::request_id;

/// The statuses of hyper's own responses, with their reasons.
const STATUSES: [(&str, &str); 3] =
    [("400", "Bad Request"), ("414", "URI Too Long"), ("431", "Request Header Fields Too Large")];
/// hyper's own responses are shorter than this, and each is one write.
const ANSWER_BYTES: usize = 256;

/// A client's connection whose writes are checked for hyper's own responses.
pub(crate) struct JsonErrors<S> {
    stream: S,
    /// The replacement that is being written, and how much of it is written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl<S> JsonErrors<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, replacement: None }
    }
}

/// The replacement for these bytes, if they are one of hyper's own responses.
fn replacement(bytes: &[u8]) -> Option<Vec<u8>> {
    let text =
        std::str::from_utf8(bytes.get(..bytes.len().min(ANSWER_BYTES))?).ok().filter(|_| bytes.len() < ANSWER_BYTES)?;
    let (status, reason) = STATUSES.into_iter().find(|(status, reason)| {
        let rest = text.strip_prefix("HTTP/1.1 ").and_then(|text| text.strip_prefix(*status)?.strip_prefix(' '));
        rest.is_some_and(|rest| rest.starts_with(reason))
    })?;
    // Responses of services have more headers.
    let mut headers =
        text.strip_suffix("\r\n\r\n")?.split("\r\n").skip(1).filter(|header| !header.starts_with("date: "));
    if (headers.next(), headers.next(), headers.next()) != (Some("connection: close"), Some("content-length: 0"), None)
    {
        return None;
    }
    let (id, body) = (request_id(), json!({ "message": reason }).to_string());
    let ids = format!("apigw-requestid: {id}\r\nx-request-id: {id}\r\n");
    let length = body.len();
    let head = format!("HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n{ids}");
    Some(format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes())
}

impl<S: AsyncRead + Unpin> AsyncRead for JsonErrors<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for JsonErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.replacement.is_none() {
            this.replacement = replacement(bytes).map(|answer| (answer, 0));
        }
        let Some((answer, written)) = &mut this.replacement else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        while *written < answer.len() {
            match ready!(Pin::new(&mut this.stream).poll_write(context, &answer[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        this.replacement = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [bytes] => self.poll_write(context, bytes),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_of_hyper_are_replaced() {
        let date = "date: Fri, 27 Nov 2026 10:14:55 GMT\r\n";
        let theirs = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n";
        for text in [format!("{theirs}\r\n"), format!("{theirs}{date}\r\n")] {
            let answer = String::from_utf8(replacement(text.as_bytes()).unwrap()).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("x-request-id: "),
                "{answer}"
            );
            assert!(answer.ends_with("\r\n\r\n{\"message\":\"Bad Request\"}"), "{answer}");
        }
        let ours = theirs.replace("content-length: 0", "content-type: application/json\r\ncontent-length: 0");
        for text in [
            "",
            theirs,
            &format!("{ours}\r\n"),
            &format!("{theirs}\r\nmore"),
            &format!("{}\r\n", theirs.replace("400 Bad Request", "405 Method Not Allowed")),
            &format!("{}\r\n", theirs.replace("length: 0", "length: 1")),
            &"x".repeat(10_000),
        ] {
            assert!(replacement(text.as_bytes()).is_none(), "{text}");
        }
    }
}
