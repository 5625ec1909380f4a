//! WebSocket clients.

use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message, client::IntoClientRequest, error::Error as SocketError, handshake::client::Request,
        protocol::CloseFrame,
    },
};

use super::DEADLINE;
use crate::documents;

/// The most that API Gateway sends as one frame
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>).
const FRAME_BYTES: usize = 32 * 1024;

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    lines: Vec<Value>,
    /// A chat, and the entry up to which events are ignored.
    pub known: Option<(String, u64)>,
    /// The number of frames received.
    pub frames: usize,
    /// The bytes of the largest one.
    pub largest: usize,
    /// The subprotocol that the server selected.
    pub protocol: Option<String>,
}

impl Socket {
    /// Connects to a URL, with headers.
    pub async fn connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, SocketError> {
        let mut request: Request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let (stream, response) = connect_async(request).await?;
        let protocol = response.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
        Ok(Self { stream, lines: Vec::new(), known: None, frames: 0, largest: 0, protocol })
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends a frame, and waits for the response.
    pub async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// Subscribes with `after`. Live entries may arrive before the response; they are ignored.
    pub async fn subscribe(&mut self, uri: &str, after: u64) -> Value {
        self.send(&json!({ "action": "subscribe", "uri": uri, "after": after })).await;
        self.next_of("subscribed").await
    }

    /// Subscribes to chats, each after an entry, in one frame. Live entries are ignored as by `subscribe`.
    pub async fn subscribe_to_all(&mut self, chats: &[(&str, u64)]) -> Vec<Value> {
        let chats = chats.iter().map(|(uri, after)| json!({ "uri": uri, "after": after }));
        self.subscribe_to_each(chats.collect()).await
    }

    /// Subscribes to chats in one frame, again after a 503, as clients do: on a busy machine it takes longer than a
    /// function has.
    pub async fn subscribe_to_each(&mut self, chats: Vec<Value>) -> Vec<Value> {
        let frame = json!({ "action": "subscribe", "chats": chats });
        let started = Instant::now();
        self.send(&frame).await;
        loop {
            let object = self.next().await;
            match object["type"].as_str() {
                Some("subscriptions") => return object["chats"].as_array().unwrap().clone(),
                Some("error") if object["status"] == 503 && started.elapsed() < DEADLINE => self.send(&frame).await,
                Some("error") => panic!("{object}"),
                _ => {}
            }
        }
    }

    /// The next object. Presence and `added` are ignored, as they may arrive at any time.
    pub async fn next(&mut self) -> Value {
        loop {
            let object = self.next_of_any().await;
            if !["online", "offline", "added"].iter().any(|kind| object["type"] == *kind) {
                return object;
            }
        }
    }

    /// The next object of any type that is not ignored.
    pub async fn next_of_any(&mut self) -> Value {
        loop {
            match tokio::time::timeout(DEADLINE, self.receive()).await {
                Ok(Ok(object)) if self.knows(&object) => {}
                Ok(Ok(object)) => return object,
                Ok(Err(code)) => panic!("the socket was closed with {code}"),
                Err(_) => panic!("nothing came"),
            }
        }
    }

    /// Whether it is an earlier entry.
    fn knows(&self, object: &Value) -> bool {
        let is_entry = object["create_date"].is_string() && (object["user"].is_object() || object["type"] == "void");
        let id = object["id"].as_u64().filter(|_| is_entry);
        self.known.as_ref().zip(id).is_some_and(|((uri, last_id), id)| object["uri"] == **uri && id <= *last_id)
    }

    /// Sends a frame, and returns whether the socket was open.
    pub async fn try_send(&mut self, frame: &Value) -> bool {
        self.stream.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// The next object, or the code with which the socket was closed.
    pub async fn receive(&mut self) -> Result<Value, u16> {
        while self.lines.is_empty() {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.frames += 1;
                    self.largest = self.largest.max(text.len());
                    self.lines = text.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
                    self.lines.iter().for_each(documents::check_line);
                    assert!(text.len() <= FRAME_BYTES, "a frame of {} bytes: {text:.200}", text.len());
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
        Ok(self.lines.remove(0))
    }

    /// The next line, unparsed; the rest of its frame is lost. Presence is ignored, as by `next`.
    pub async fn next_text(&mut self) -> String {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.stream.next()).await.expect("nothing came");
            let Message::Text(text) = message.unwrap().unwrap() else { continue };
            let is_news = |line: &&str| {
                let object: Value = serde_json::from_str(line).unwrap();
                !["online", "offline", "added"].iter().any(|kind| object["type"] == *kind)
            };
            if let Some(line) = text.split('\n').find(is_news) {
                return line.to_owned();
            }
        }
    }

    /// The next object of this type; others are ignored.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let object = self.next().await;
            if object["type"] == kind {
                return object;
            }
        }
    }

    /// Everything up to and including the message with this text.
    pub async fn until(&mut self, message: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await);
            if all.last().unwrap()["message"] == message {
                return all;
            }
        }
    }

    /// Waits for the server to close the socket, and returns the code.
    pub async fn closed(mut self) -> u16 {
        let closed = async {
            loop {
                if let Err(code) = self.receive().await {
                    return code;
                }
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("the socket stayed open")
    }

    /// Closes with a code, and returns the code of the server's response.
    pub async fn close_with(mut self, code: u16) -> Option<u16> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.stream.close(Some(frame)).await.unwrap();
        while let Ok(Some(Ok(message))) = tokio::time::timeout(DEADLINE, self.stream.next()).await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    }

    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
    }
}
