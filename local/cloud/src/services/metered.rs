//! Counts what functions use of DynamoDB, SNS, SQS and SES.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use dynoxide::types::capacity_wanted;
use http::{Response, header, request::Parts};
use serde_json::{Value, json};

use super::{dynamodb, mail::Ses, service::Service};
use crate::{
    access::{CLIENT, Caller},
    usage::{Meter, units_of},
};

/// SNS and SQS bill each 64 KB of a request as a request (<https://aws.amazon.com/sqs/pricing/>).
const MESSAGE_UNIT: usize = 64 * 1024;

/// Answers a request, and adds it to the usage if a function sent it.
pub(super) async fn answer(meter: &Meter, service: &Service, parts: &Parts, body: Bytes) -> Response<Body> {
    let caller = parts.extensions.get::<Caller>().map_or(CLIENT, |caller| caller.0.as_str());
    if !meter.is_on() || caller == CLIENT {
        return service.answer(parts, body).await;
    }
    match service {
        Service::DynamoDb(_) => answer_with_units(meter, caller, service, parts, body).await,
        Service::Sns(_) => {
            let form = form_urlencoded::parse(&body).find(|(name, _)| name == "Action");
            let operation = format!("sns:{}", form.map_or_else(String::new, |(_, action)| action.into_owned()));
            meter.add(caller, &operation, units_of(body.len(), MESSAGE_UNIT));
            service.answer(parts, body).await
        }
        Service::Ses(ses) => {
            meter.add(caller, "ses:SendEmail", Ses::recipients(&body) as f64);
            ses.answer(parts, &body)
        }
        Service::Sqs(_) => {
            let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
            let operation = format!("sqs:{}", target.rsplit('.').next().unwrap_or_default());
            meter.add(caller, &operation, units_of(body.len(), MESSAGE_UNIT));
            service.answer(parts, body).await
        }
    }
}

/// Asks the table for the units that the request consumes.
async fn answer_with_units(
    meter: &Meter,
    caller: &str,
    service: &Service,
    parts: &Parts,
    body: Bytes,
) -> Response<Body> {
    let Ok(mut request) = serde_json::from_slice::<Value>(&body) else { return service.answer(parts, body).await };
    let is_wanted = capacity_wanted(request["ReturnConsumedCapacity"].as_str());
    if !is_wanted && let Some(request) = request.as_object_mut() {
        request.insert("ReturnConsumedCapacity".to_owned(), json!("TOTAL"));
    }
    let (mut head, body) = service.answer(parts, request.to_string().into()).await.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(mut answer) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(head, bytes.into());
    };
    meter.add(caller, &format!("dynamodb:{}", dynamodb::operation(parts)), consumed(&answer["ConsumedCapacity"]));
    if !is_wanted && let Some(answer) = answer.as_object_mut() {
        answer.remove("ConsumedCapacity");
    }
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, answer.to_string().into())
}

/// The units of a request, which has one table or a list of them.
fn consumed(capacity: &Value) -> f64 {
    let units = |table: &Value| table["CapacityUnits"].as_f64().unwrap_or_default();
    capacity.as_array().map_or_else(|| units(capacity), |tables| tables.iter().map(units).sum())
}
