//! Reading templates, and the errors of those that cannot be run.

use std::{collections::BTreeMap, fs, sync::Arc};

use confab_cloud::{Cloud, Functions, Template};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::options;

#[tokio::test(flavor = "multi_thread")]
async fn start_failures_are_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut port = options();
    port.ports.gateway = taken.local_addr().unwrap().port();
    let problem = Cloud::start(port.clone()).await.err().unwrap().to_string();
    assert!(problem.starts_with(&format!("Port {} cannot be listened on", port.ports.gateway)), "{problem}");

    for (name, value, problem) in [
        ("TokenDays", "0", "Parameter 'TokenDays' must be a number not less than 1."),
        ("FanoutConcurrency", "1001", "Parameter 'FanoutConcurrency' must be a number not greater than 1000."),
        ("PostsPerMinute", "many", "Parameter 'PostsPerMinute' must be a number."),
        ("StageName", "a/b", "Parameter 'StageName' must match pattern [A-Za-z0-9_]+."),
        ("Website", "maybe", "Parameter 'Website' must be one of AllowedValues: yes, no."),
        ("Tokendays", "1", "Parameters: [Tokendays] do not exist in the template."),
    ] {
        let mut options = options();
        options.parameters.insert(name.to_owned(), value.to_owned());
        assert_eq!(Cloud::start(options).await.err().unwrap().to_string(), problem);
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let start = async |text: &str| {
        fs::write(&path, text).unwrap();
        let mut options = options();
        match Template::read(&path) {
            Ok(template) => (options.template, options.parameters) = (template, BTreeMap::new()),
            Err(problem) => return problem.to_string(),
        }
        Cloud::start(options).await.err().unwrap().to_string()
    };
    let function = |name: &str| {
        format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Metadata: {{ BuildProperties: {{ Binary: {name} }} }}\n    Properties: {{}}\n"
        )
    };
    assert!(start("Resources: [").await.contains("is not YAML"));
    assert_eq!(start(&function("no-such-function")).await, "There is no function no-such-function.");
    let why = "The function me does not start: the environment variable TABLE_NAME is not set.";
    assert_eq!(start(&function("me")).await, why);
    let dangling = format!(
        "{}  S:\n    Type: AWS::SNS::Subscription\n    Properties: {{ TopicArn: !Ref Nothing }}\n",
        function("me")
    );
    assert_eq!(start(&dangling).await, "The template is wrong: S: it refers to Nothing, which does not exist.");
    let missing = Template::read(&folder.path().join("none.yaml")).err().unwrap().to_string();
    assert!(missing.contains("none.yaml cannot be read"), "{missing}");
}

/// The laptop cloud is independent of Confab: it runs a template that has nothing to do with chat.
#[tokio::test(flavor = "multi_thread")]
async fn any_template_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = r#"
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Environment: { Variables: { GREETING: !Sub "hello from ${AWS::Region}" } }
      Events:
        Any: { Type: HttpApi, Properties: { Method: ANY, Path: "/echo/{rest+}" } }
"#;
    fs::write(&path, template).unwrap();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.functions = Functions::InProcess(Arc::new(|name, environment, _| {
        assert_eq!(name, "Echo");
        let greeting = environment["GREETING"].clone();
        Ok(Arc::new(move |event| {
            let event: Value = serde_json::from_str(event.payload.get()).unwrap();
            let answer = json!({"greeting": greeting, "event": event});
            Box::pin(async move { Ok(answer) })
        }))
    }));
    let cloud = Cloud::start(options).await.unwrap();
    let url = format!("{}/echo/a%20b/c?x=1&x=2&y=%C3%A9", cloud.http_url());
    let sent = reqwest::Client::new().delete(url).header("cookie", "a=1; b=2").body(vec![0xff]).send().await.unwrap();
    let answer: Value = sent.json().await.unwrap();
    assert_eq!(answer["greeting"], "hello from us-east-1");
    let event = &answer["event"];
    assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("ANY /echo/{rest+}")));
    assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/echo/a%20b/c"), &json!("x=1&x=2&y=%C3%A9")));
    assert_eq!(event["pathParameters"], json!({"rest": "a b/c"}));
    assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": "é"}));
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/w=="), &json!(true)));
    assert_eq!(event["requestContext"]["http"]["method"], "DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_a_template_are_expanded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = r#"
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Parameters:
  Names: { Type: CommaDelimitedList, Default: "One,Two" }
Globals:
  Function:
    LoggingConfig: { LogFormat: JSON }
    Environment: { Variables: { SHARED: all, GREETING: none } }
Resources:
  Fn::ForEach::Functions:
    - Name
    - !Ref Names
    - ${Name}Log: { Type: "AWS::Logs::LogGroup" }
      ${Name}Function:
        Type: AWS::Serverless::Function
        Properties:
          LoggingConfig: { LogGroup: !Ref "${Name}Log" }
          Environment: { Variables: { GREETING: !Sub "${Name} in ${AWS::Region}" } }
          Policies: [{ Statement: [{ Effect: Allow, Action: "logs:*", Resource: !GetAtt "${Name}Log.Arn" }] }]
          Events:
            Fn::ForEach::Routes:
              - Method
              - [Get, Put]
              - ${Method}: { Type: HttpApi, Properties: { Method: !Ref Method, Path: !Sub "/${Name}" } }
"#;
    fs::write(&path, template).unwrap();
    let mut options = options();
    options.template = Template::read(&path).unwrap();
    options.parameters = BTreeMap::from([("Names".to_owned(), "Three,Four".to_owned())]);
    options.functions = Functions::InProcess(Arc::new(|name, environment, _| {
        let answer = json!([name, environment["GREETING"], environment["SHARED"]]);
        Ok(Arc::new(move |_| {
            let answer = answer.clone();
            Box::pin(async move { Ok(answer) })
        }))
    }));
    let cloud = Cloud::start(options).await.unwrap();
    let client = reqwest::Client::new();
    for name in ["Three", "Four"] {
        for method in [Method::GET, Method::PUT] {
            let sent = client.request(method, format!("{}/{name}", cloud.http_url())).send().await.unwrap();
            let expected = json!([format!("{name}Function"), format!("{name} in us-east-1"), "all"]);
            assert_eq!(sent.json::<Value>().await.unwrap(), expected);
        }
    }
    assert_eq!(client.get(format!("{}/One", cloud.http_url())).send().await.unwrap().status(), 404);
}
