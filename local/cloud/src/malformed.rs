//! Words for requests that are not HTTP.
//!
//! hyper answers what it cannot parse by itself, without a body, before any service sees it, and closes the connection. Here that
//! answer is replaced on its way out by one in JSON with a request id, as all others of the gateway have.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http_api::request_id;

/// What hyper says by itself: the status, and the text that goes with it.
const STATUSES: [(&str, &str); 3] =
    [("400", "Bad Request"), ("414", "URI Too Long"), ("431", "Request Header Fields Too Large")];
/// hyper's own answers are shorter than this, all of them in one write.
const ANSWER_BYTES: usize = 256;

/// A client's connection.
pub(crate) struct Worded<S> {
    stream: S,
    /// What is written instead, and how much of it has been.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> Worded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, instead: None }
    }
}

/// The answer to write instead of these bytes, if they are one of hyper's own.
fn instead_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let text =
        std::str::from_utf8(bytes.get(..bytes.len().min(ANSWER_BYTES))?).ok().filter(|_| bytes.len() < ANSWER_BYTES)?;
    let (status, reason) = STATUSES.into_iter().find(|(status, reason)| {
        let rest = text.strip_prefix("HTTP/1.1 ").and_then(|text| text.strip_prefix(*status)?.strip_prefix(' '));
        rest.is_some_and(|rest| rest.starts_with(reason))
    })?;
    // Answers of services have a type or an id.
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

impl<S: AsyncRead + Unpin> AsyncRead for Worded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = instead_of(bytes).map(|answer| (answer, 0));
        }
        let Some((answer, written)) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        while *written < answer.len() {
            match ready!(Pin::new(&mut this.stream).poll_write(context, &answer[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        this.instead = None;
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
    fn only_answers_of_the_library_are_replaced() {
        let date = "date: Fri, 27 Nov 2026 10:14:55 GMT\r\n";
        let theirs = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n";
        for text in [format!("{theirs}\r\n"), format!("{theirs}{date}\r\n")] {
            let answer = String::from_utf8(instead_of(text.as_bytes()).unwrap()).unwrap();
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
            assert!(instead_of(text.as_bytes()).is_none(), "{text}");
        }
    }
}
