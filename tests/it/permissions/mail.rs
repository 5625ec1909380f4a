//! Mails of accounts, in a separate laptop cloud, where accounts must be activated.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::policies::{Grant, for_mail, for_other_services, for_table};
use crate::{
    proxy::Proxy,
    world::{LINK_BASE, PASSWORD, User, World, answer, eventually, options, unique},
};

/// The laptop cloud, and the proxies of DynamoDB, SNS, SQS and `@connections`, and of SES.
pub struct Mailing {
    world: World,
    services: [Proxy; 4],
    ses: Proxy,
}

impl Mailing {
    pub async fn start() -> Self {
        let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
        let ses = Proxy::start().await;
        let mut options = options();
        options.like_aws.permissions = false;
        options.environment.insert("AWS_ENDPOINT_URL_SESV2".to_owned(), ses.url().to_owned());
        options.hosts.push(ses.host());
        let parameters = [("AttemptsPerAddress", "100000"), ("RequireActivation", "yes")];
        options.parameters.extend(parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let world = Proxy::before_all(&services, options).await;
        ses.leads_to(world.variable("AWS_ENDPOINT_URL_SESV2"));
        Self { world, services, ses }
    }

    /// Registers, activates, and resets the password.
    pub async fn accounts(&self) {
        let world = &self.world;
        let (username, email) = (unique("anna"), format!("{}@example.com", unique("anna")));
        let form = json!({"username": username, "password": PASSWORD, "email": email});
        let (status, registered) = self.post("/auth/users/", form).await;
        assert_eq!(status, 201, "{registered}");
        assert_eq!(self.post("/auth/users/resend_activation/", json!({ "email": email })).await.0, 204);
        let (uid, token) = self.link(&email, 2).await;
        assert_eq!(self.post("/auth/users/activate/", json!({"uid": uid, "token": token})).await.0, 204);
        let id = registered["id"].as_u64().unwrap();
        self.forget_address(id).await;
        let user = User { world, token: world.log_in(&username).await, username, id };
        let socket = user.subscribed(&user.start_chat().await).await;
        assert_eq!(self.post("/auth/password/reset/", json!({ "email": email })).await.0, 204);
        let (uid, token) = self.link(&email, 3).await;
        let form = json!({"uid": uid, "token": token, "new_password": "An0ther-pass-phrase"});
        assert_eq!(self.post("/auth/password/reset/confirm/", form).await.0, 204);
        socket.closed().await;
    }

    async fn post(&self, path: &str, form: Value) -> (StatusCode, Value) {
        answer(self.world.request(Method::POST, path).json(&form)).await
    }

    /// The `uid` and the `token` of the latest of `count` mails.
    async fn link(&self, email: &str, count: usize) -> (String, String) {
        eventually("the mails come", async || self.world.mails(email).await.len() >= count).await;
        let mail = self.world.mails(email).await.remove(0);
        let link = mail["text"].as_str().unwrap().lines().find(|line| line.starts_with(LINK_BASE)).unwrap();
        let mut parts = link.rsplit('/');
        let [token, uid] = [(); 2].map(|()| parts.next().unwrap().to_owned());
        (uid, token)
    }

    /// As of a user from before addresses could be looked up.
    async fn forget_address(&self, id: u64) {
        let update = self.world.dynamodb().update_item().table_name(self.world.variable("TABLE_NAME"));
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = update.key("pk", text(&format!("USER#{id}"))).key("sk", text("PROFILE"));
        update.update_expression("REMOVE is_listed").send().await.unwrap();
    }

    /// What the calls since the last time need.
    pub fn grants(&self, transactions: &mut BTreeSet<Grant>) -> BTreeSet<Grant> {
        let [dynamodb, sns, sqs, sockets] = &self.services;
        let mut grants = for_table(dynamodb.calls(), transactions);
        grants.append(&mut for_other_services(sns, sqs, sockets));
        grants.append(&mut for_mail(&self.ses));
        grants
    }
}
