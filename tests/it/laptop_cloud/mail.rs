//! SES of the laptop cloud, and the pages that show its mails.

use aws_sdk_sesv2::{
    error::ProvideErrorMetadata,
    operation::send_email::builders::SendEmailFluentBuilder,
    primitives::Blob,
    types::{Body, Content, Destination, EmailContent, Message, MessageHeader, RawMessage, Template},
};
use confab_cloud::{Cloud, LikeAws};
use reqwest::{Method, Response};
use serde_json::Value;

use super::client;
use crate::{signature::Signer, world::World};

const TEMPLATE: &str = r#"
Resources:
  Sender:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - Statement:
            - Effect: Allow
              Action: ses:SendEmail
              Resource: !Sub "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*"
              Condition: { StringEquals: { ses:FromAddress: "ada@example.com" } }
            - Effect: Deny
              Action: ses:SendEmail
              Resource: "*"
              Condition: { "ForAnyValue:StringLike": { ses:Recipients: "*@forbidden.example" } }
  OfDomain:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - Statement: { Effect: Allow, Action: ses:SendEmail, Resource: !Sub "arn:aws:ses:${AWS::Region}:${AWS::AccountId}:identity/example.com" }
"#;

async fn cloud(permissions: bool) -> Cloud {
    let like_aws = LikeAws { permissions, ..LikeAws::default() };
    super::cloud(TEMPLATE, |_| Value::Null, like_aws).await.unwrap()
}

fn content(text: &str) -> Content {
    Content::builder().data(text).build().unwrap()
}

fn message(subject: &str) -> Message {
    let body = Body::builder().text(content("Hello <you>,\nü")).html(content("<p>Hello <b>you</b></p>")).build();
    Message::builder().subject(content(subject)).body(body).build()
}

fn simple(message: Message) -> EmailContent {
    EmailContent::builder().simple(message).build()
}

fn to(addresses: &[&str]) -> Destination {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    Destination::builder().set_to_addresses(Some(addresses)).build()
}

/// A mail that is sent as it is.
fn mail(world: &World, subject: &str) -> SendEmailFluentBuilder {
    let mail = world.ses().send_email().from_email_address("Ada <ada@example.com>");
    mail.destination(to(&["bob@example.com"])).content(simple(message(subject)))
}

/// The code and message with which a mail is rejected.
async fn rejection(mail: SendEmailFluentBuilder) -> (String, String) {
    let error = mail.send().await.unwrap_err().into_service_error();
    (error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

async fn get(world: &World, path: &str) -> Response {
    world.request(Method::GET, path).send().await.unwrap()
}

async fn text(world: &World, path: &str) -> String {
    let response = get(world, path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_mail_can_be_read() {
    let cloud = cloud(false).await;
    let world = client(&cloud, None);
    assert!(text(&world, "/_mail").await.contains("No mail has been sent."));
    let sent = mail(&world, "<i>Grüße</i> & more").send().await.unwrap();
    let copies = Destination::builder().cc_addresses("Carl <carl@example.com>").bcc_addresses("dora@example.com");
    mail(&world, "Second").destination(copies.build()).send().await.unwrap();

    let mails = world.mails("bob@example.com").await;
    assert_eq!(mails.len(), 1);
    for (field, value) in [
        ("message_id", sent.message_id().unwrap()),
        ("from", "Ada <ada@example.com>"),
        ("subject", "<i>Grüße</i> & more"),
        ("text", "Hello <you>,\nü"),
        ("html", "<p>Hello <b>you</b></p>"),
    ] {
        assert_eq!(mails[0][field], value);
    }
    for copy in ["carl@example.com", "dora@example.com"] {
        assert_eq!(world.mails(copy).await[0]["subject"], "Second");
    }
    let all: Value = serde_json::from_str(&text(&world, "/_mail/api").await).unwrap();
    assert_eq!((&all["mails"][0]["id"], &all["mails"][1]["id"]), (&2.into(), &1.into()));

    let (list, page) = (text(&world, "/_mail").await, text(&world, "/_mail/1").await);
    assert!(list.contains(r#"<a href="/_mail/1">&lt;i&gt;Grüße&lt;/i&gt; &amp; more</a>"#), "{list}");
    assert!(page.contains("<pre>Hello &lt;you&gt;,\nü</pre>"), "{page}");
    assert_eq!(text(&world, "/_mail/1/text").await, "Hello <you>,\nü");
    let source = text(&world, "/_mail/1/source").await;
    assert!(source.contains("From: Ada <ada@example.com>\r\nTo: bob@example.com\r\n"), "{source}");
    for path in ["/_mail/3", "/_mail/x", "/_mail/1/x"] {
        assert_eq!(get(&world, path).await.status(), 404, "{path}");
    }
}

/// The HTML of a mail has no access to the gateway, and loads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_html_of_a_mail_is_sandboxed() {
    let cloud = cloud(false).await;
    let world = client(&cloud, None);
    mail(&world, "x").send().await.unwrap();
    let page = get(&world, "/_mail/1").await;
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let page = page.text().await.unwrap();
    let frame = r#"sandbox="allow-popups allow-popups-to-escape-sandbox" src="/_mail/1/html""#;
    assert!(page.contains(frame) && !page.contains("<b>you</b>"), "{page}");
    let html = get(&world, "/_mail/1/html").await;
    let policy = html.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for part in ["sandbox allow-popups ", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
    assert!(html.text().await.unwrap().ends_with("<p>Hello <b>you</b></p>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_are_readable_on_this_machine_only() {
    let mut options = crate::world::options();
    options.hosts = vec!["tunnel.example".to_owned()];
    let world = World::own(options).await;
    mail(&world, "x").send().await.unwrap();
    for path in ["/_mail", "/_mail/api", "/_mail/1", "/_mail/1/source"] {
        for host in ["tunnel.example", "evil.example"] {
            let response = world.request(Method::GET, path).header("host", host).send().await.unwrap();
            assert_eq!(response.status(), 403, "{path} {host}");
        }
        let response = world.request(Method::GET, path).header("origin", "https://evil.example").send().await.unwrap();
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{path}");
        assert_eq!(response.headers()["cross-origin-resource-policy"], "same-origin", "{path}");
    }
    assert_eq!(world.request(Method::POST, "/_mail/api").send().await.unwrap().status(), 405);
    // Another path of the API.
    assert_eq!(get(&world, "/_mailbox").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ses_does_not_take_is_rejected() {
    let cloud = cloud(false).await;
    let world = client(&cloud, None);
    let many: Vec<String> = (0..51).map(|n| format!("u{n}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    mail(&world, "x").destination(to(&many[..50])).send().await.unwrap();
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build().unwrap();
    let with_header = |name, value| {
        let mut message = message("x");
        message.headers = Some(vec![header(name, value)]);
        simple(message)
    };
    mail(&world, "x").content(with_header("X-Kind", "test")).send().await.unwrap();
    let large = content(&"x".repeat(31 * 1024 * 1024));
    let large = Message::builder().subject(content("x")).body(Body::builder().text(large).build()).build();
    let raw = RawMessage::builder().data(Blob::new("Subject: x")).build().unwrap();
    for (mail, expected) in [
        (mail(&world, "x").destination(to(&many)), "Recipient count exceeds 50."),
        (mail(&world, "x").destination(to(&[])), "Missing required header 'To'."),
        (mail(&world, "x").set_from_email_address(None), "Missing required header 'From'."),
        (mail(&world, "x").destination(to(&[""])), "Invalid email address ."),
        (mail(&world, "x").destination(to(&["a@b.example, c@d.example"])), "Invalid email address a@b"),
        (mail(&world, "x").from_email_address("A\r\nBcc: b@c.example <a@b.example>"), "Invalid email address A"),
        (mail(&world, "x").reply_to_addresses("nobody"), "Invalid email address nobody."),
        (mail(&world, "x\r\nBcc: eve@example.com"), "The subject has control characters."),
        (
            mail(&world, "x").content(with_header("X-Kind", "x\r\nBcc: eve@example.com")),
            "The header X-Kind is not valid.",
        ),
        (mail(&world, "x").content(with_header("X:", "x")), "The header X: is not valid."),
        (mail(&world, "x").content(simple(large)), "Message length is more than 41943040 bytes long: '43341148'."),
        (mail(&world, "x").content(EmailContent::builder().raw(raw).build()), "Only Simple content can be sent here"),
        (
            mail(&world, "x").content(EmailContent::builder().template(Template::builder().build()).build()),
            "Only Simple content can be sent here",
        ),
    ] {
        let (code, message) = rejection(mail).await;
        assert_eq!(code, "BadRequestException", "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    let all: Value = serde_json::from_str(&text(&world, "/_mail/api").await).unwrap();
    assert_eq!(all["mails"].as_array().unwrap().len(), 2, "a rejected mail was sent");
    let other = world.ses().get_account().send().await.unwrap_err().into_service_error();
    assert_eq!(other.code(), Some("UnknownOperationException"));
}

/// Both the identity of the address and that of its domain must be allowed, since either may be the verified one.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_sends_what_its_policies_allow() {
    let cloud = cloud(true).await;
    let (sender, of_domain) = (client(&cloud, Some("Sender")), client(&cloud, Some("OfDomain")));
    mail(&sender, "x").send().await.unwrap();
    let (code, message) = rejection(mail(&sender, "x").from_email_address("eve@example.com")).await;
    let expected = "User `arn:aws:sts::000000000000:assumed-role/confab-SenderRole/Sender' is not authorized to perform \
                    `ses:SendEmail' on resource `arn:aws:ses:us-east-1:000000000000:identity/eve@example.com'";
    assert_eq!((code.as_str(), message.as_str()), ("AccessDeniedException", expected));
    let forbidden = mail(&sender, "x").destination(to(&["bob@example.com", "Eve <eve@forbidden.example>"]));
    assert_eq!(rejection(forbidden).await.0, "AccessDeniedException");
    // The configuration set is a resource, too.
    assert_eq!(rejection(mail(&sender, "x").configuration_set_name("x")).await.0, "AccessDeniedException");
    let (code, message) = rejection(mail(&of_domain, "x")).await;
    assert_eq!(code, "AccessDeniedException");
    assert!(message.ends_with(":identity/ada@example.com'"), "{message}");
    mail(&client(&cloud, None), "x").send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_must_be_signed() {
    let cloud = cloud(false).await;
    let world = client(&cloud, None);
    let url = format!("{}/v2/email/outbound-emails", world.variable("AWS_ENDPOINT_URL_SESV2"));
    let request = || world.client.post(&url).header("content-type", "application/json").body("{}").build().unwrap();
    let unsigned = world.client.execute(request()).await.unwrap();
    assert_eq!(unsigned.status(), 403);
    assert_eq!(unsigned.headers()["x-amzn-errortype"], "MissingAuthenticationTokenException");
    let mut signed = request();
    Signer::new(&world, "ses").sign(&mut signed);
    assert_eq!(world.client.execute(signed).await.unwrap().status(), 400);
}
