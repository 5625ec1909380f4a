//! Events of the WebSocket API.

use std::{collections::BTreeMap, time::Instant};

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use confab_shared::{
    Confab, Error, Result,
    api::{
        http::Response,
        websocket::{ClientFrame, ConnectRequest, SocketEvent, SocketResponse, error_frame},
    },
    error::Invalid,
};
use lambda_runtime::BoxFuture;

use super::{answer::GatewayAnswer, deadline::in_time, gateway::malformed};

/// Answers what happens on a socket.
pub(super) type Handler = for<'a> fn(&'a Confab, &'a SocketEvent) -> BoxFuture<'a, Result<SocketResponse>>;

/// Responds to an event.
pub(super) async fn respond(handle: Handler, confab: &Confab, event: &str, deadline: Instant) -> GatewayAnswer {
    let event = match read(event) {
        Ok(event) => event,
        Err(error) => return refusal(error),
    };
    match in_time(deadline, handle(confab, &event)).await {
        Ok(SocketResponse::Accepted(Some(protocol))) => {
            let headers = BTreeMap::from([("Sec-WebSocket-Protocol".to_owned(), protocol.to_owned())]);
            GatewayAnswer { headers, ..answer(200, None) }
        }
        Ok(SocketResponse::Frame(frame)) => answer(200, Some(frame)),
        Ok(SocketResponse::Accepted(None) | SocketResponse::Nothing) => answer(200, None),
        Err(error) => match &event {
            SocketEvent::Message(frame) => answer(200, Some(error_frame(&error, frame))),
            SocketEvent::Connect(_) | SocketEvent::Disconnect(_) => refusal(error),
        },
    }
}

/// Reads an event by its type. The route says nothing: a client can name any route in a frame.
fn read(event: &str) -> Result<SocketEvent> {
    let event: ApiGatewayWebsocketProxyRequest = serde_json::from_str(event).map_err(|_| malformed())?;
    let connection_id = event.request_context.connection_id.clone().unwrap_or_default().into();
    match event.request_context.event_type.as_deref() {
        Some("CONNECT") => {
            let uri = uri(&event)?;
            Ok(SocketEvent::Connect(ConnectRequest { connection_id, headers: event.headers, uri }))
        }
        Some("MESSAGE") => {
            Ok(SocketEvent::Message(ClientFrame { connection_id, text: event.body.unwrap_or_default() }))
        }
        Some("DISCONNECT") => Ok(SocketEvent::Disconnect(connection_id)),
        _ => Err(malformed()),
    }
}

/// The chat that a client names when it connects. If it names several, `query_string_parameters` has the last
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>).
fn uri(event: &ApiGatewayWebsocketProxyRequest) -> Result<Option<String>> {
    match event.multi_value_query_string_parameters.all("uri").as_deref() {
        Some([_, _, ..]) => Err(Invalid::field("uri", "This parameter may be given only once.").into()),
        _ => Ok(event.query_string_parameters.first("uri").map(str::to_owned)),
    }
}

/// A response that keeps a socket from opening.
fn refusal(error: Error) -> GatewayAnswer {
    let response = Response::from(error);
    answer(response.status.as_u16(), Some(response.body))
}

fn answer(status_code: u16, body: Option<String>) -> GatewayAnswer {
    GatewayAnswer { status_code, body, ..GatewayAnswer::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(event_type: &str, route_key: &str) -> Value {
        json!({
            "requestContext": {
                "eventType": event_type, "routeKey": route_key, "connectionId": "c=",
                "connectedAt": 1_700_000_000_000_u64, "requestTimeEpoch": 1_700_000_000_000_u64,
            },
            "queryStringParameters": { "uri": "u" },
            "multiValueQueryStringParameters": { "uri": ["u"] },
            "body": "{\"action\":\"$connect\"}",
            "isBase64Encoded": false,
        })
    }

    #[test]
    fn the_type_of_an_event_counts_and_not_its_route() {
        for route_key in ["$default", "$connect", "$disconnect", "send"] {
            let read = |event_type| read(&event(event_type, route_key).to_string());
            assert!(matches!(read("CONNECT").unwrap(), SocketEvent::Connect(ConnectRequest { uri: Some(_), .. })));
            let SocketEvent::Message(frame) = read("MESSAGE").unwrap() else { panic!("not a message") };
            assert_eq!(frame.text, "{\"action\":\"$connect\"}");
            assert!(matches!(read("DISCONNECT").unwrap(), SocketEvent::Disconnect(id) if id.as_str() == "c="));
            assert_eq!(read("OTHER").unwrap_err().status(), 400);
        }
    }

    #[test]
    fn a_client_names_one_chat() {
        let mut event = event("CONNECT", "$connect");
        event["multiValueQueryStringParameters"]["uri"] = json!(["a", "b"]);
        assert_eq!(read(&event.to_string()).unwrap_err().status(), 400);
    }
}
