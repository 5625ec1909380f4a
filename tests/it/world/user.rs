//! Users and what they do.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Socket, World, answer, unique};

/// A user who is logged in.
pub struct User<'a> {
    pub world: &'a World,
    pub username: String,
    pub id: u64,
    pub token: String,
}

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.world.request(method, path).header("Authorization", format!("Token {}", self.token))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(method, path).json(&body)).await
    }

    pub async fn start_chat(&self) -> String {
        let (status, body) = answer(self.request(Method::POST, "/api/chats/")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["uri"].as_str().unwrap().to_owned()
    }

    pub async fn join(&self, uri: &str) {
        let (status, body) =
            self.call(Method::PATCH, &format!("/api/chats/{uri}/"), json!({ "username": self.username })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// Posts a message and returns its id.
    pub async fn post(&self, uri: &str, message: &str) -> u64 {
        let (status, body) =
            self.call(Method::POST, &format!("/api/chats/{uri}/messages/"), json!({ "message": message })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["id"].as_u64().unwrap()
    }

    /// The whole history, page by page.
    pub async fn history(&self, uri: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut path = Some(format!("/api/chats/{uri}/messages/?after=0"));
        while let Some(next) = path {
            let (status, body) = self.get(&next).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            messages.extend(body["messages"].as_array().unwrap().clone());
            path = body["next"].as_str().map(|url| url[url.find("/api/").unwrap()..].to_owned());
        }
        messages
    }

    /// Writes messages of this user into the table as the log of an empty chat, as an import would: thousands of them
    /// take no time, and nothing is published.
    pub async fn write_log(&self, uri: &str, messages: &[&str]) {
        let attribute = |value: &str| AttributeValue::S(value.to_owned());
        let items = (1..).zip(messages).map(|(id, message): (u64, _)| {
            let put = PutRequest::builder()
                .item("pk", attribute(&format!("LOG#{uri}")))
                .item("sk", attribute(&format!("{id:016}")))
                .item("type", attribute("message"))
                .item("user_id", AttributeValue::N(self.id.to_string()))
                .item("message", attribute(message))
                .item("imported", AttributeValue::Bool(true))
                .item("create_date", attribute("2026-01-01T00:00:00.000000Z"));
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        });
        let (dynamodb, table) = (self.world.dynamodb(), self.world.variable("TABLE_NAME"));
        self.world.write(items.collect()).await;
        let update = dynamodb.update_item().table_name(table).key("pk", attribute(&format!("CHAT#{uri}")));
        let update = update.key("sk", attribute("SESSION")).update_expression("SET last_id = :id");
        let last_id = AttributeValue::N(messages.len().to_string());
        update.expression_attribute_values(":id", last_id).send().await.unwrap();
    }

    /// Writes old tokens of this user into the table, issued one second apart, and returns their hashes, the oldest
    /// first.
    pub async fn add_old_tokens(&self, count: u64) -> Vec<String> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let hash = |n: u64| hex::encode(Sha256::digest(format!("{} {n}", self.id)));
        let items = (0..count).map(|n| {
            let put = PutRequest::builder()
                .item("pk", text(&format!("TOKENS#{}", self.id)))
                .item("sk", text(&hash(n)))
                .item("epoch", AttributeValue::N("0".to_owned()))
                .item("create_date", text(&format!("2020-01-01T00:{:02}:{:02}.000000Z", n / 60, n % 60)))
                .item("expires_at", AttributeValue::N("9999999999".to_owned()));
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        });
        self.world.write(items.collect()).await;
        (0..count).map(hash).collect()
    }

    pub async fn socket(&self) -> Socket {
        self.world.open("", &[("authorization", &format!("Token {}", self.token))]).await.unwrap()
    }

    /// A socket that is subscribed to a chat. Earlier entries may still arrive, and are ignored.
    pub async fn subscribed(&self, uri: &str) -> Socket {
        let mut socket = self.socket().await;
        socket.send(&json!({ "action": "subscribe", "uri": uri })).await;
        let subscribed = socket.next_of("subscribed").await;
        socket.known = Some((uri.to_owned(), subscribed["last_id"].as_u64().unwrap()));
        socket
    }
}

impl User<'_> {
    /// Writes a connection that is subscribed to a chat into the table, as if API Gateway had closed it without
    /// `$disconnect`, and returns the keys of its items.
    pub async fn leave_stale_connection(&self, uri: &str) -> Vec<HashMap<String, AttributeValue>> {
        let id = unique("stale=");
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let common = [
            ("connection_id", text(&id)),
            ("user_id", AttributeValue::N(self.id.to_string())),
            ("token", text("gone")),
            ("connect_date", text("2020-01-01T00:00:00.000000Z")),
            ("expires_at", AttributeValue::N("9999999999".to_owned())),
            ("uris", AttributeValue::Ss(vec![uri.to_owned()])),
        ];
        let places = [
            (format!("CONNECTION#{id}"), "CONNECTION".to_owned()),
            (format!("USER#{}", self.id), format!("CONNECTION#{id}")),
            // Last, since the reader of the stream reads the others.
            (format!("SUBSCRIBERS#{uri}"), format!("{:x}#{id}", Sha256::digest(id.as_bytes())[0] % 16)),
        ];
        let owned = |(name, value): (&str, AttributeValue)| (name.to_owned(), value);
        let mut keys = Vec::new();
        for (pk, sk) in places {
            let key: HashMap<_, _> = [("pk", text(&pk)), ("sk", text(&sk))].map(owned).into();
            let item = key.clone().into_iter().chain(common.clone().map(owned)).collect();
            let put = self.world.dynamodb().put_item().table_name(self.world.variable("TABLE_NAME"));
            put.set_item(Some(item)).send().await.unwrap();
            keys.push(key);
        }
        keys
    }

    /// Writes a subscriber that no connection names into the table, as a function does that is cut off while it registers
    /// a subscription.
    pub async fn leave_orphaned_subscriber(&self, uri: &str) {
        self.leave_orphaned_subscribers(uri, 1).await;
    }

    /// The same for several, in one write.
    pub async fn leave_orphaned_subscribers(&self, uri: &str, count: usize) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let puts = (0..count).map(|_| {
            let id = unique("orphan=");
            let put = PutRequest::builder()
                .item("pk", text(&format!("SUBSCRIBERS#{uri}")))
                .item("sk", text(&format!("{:x}#{id}", Sha256::digest(id.as_bytes())[0] % 16)))
                .item("connection_id", text(&id))
                .item("user_id", AttributeValue::N(self.id.to_string()))
                .item("connect_date", text("2020-01-01T00:00:00.000000Z"))
                .item("expires_at", AttributeValue::N("9999999999".to_owned()));
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        });
        self.world.write(puts.collect()).await;
    }
}
