//! The throttling settings of an API's stage
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-httpapi.html>).

use serde_json::Value;

use super::model::{RouteThrottling, Throttling};

/// The settings of an API with these properties.
pub(super) fn throttling(properties: &Value) -> Result<Throttling, String> {
    let routes = properties["RouteSettings"].as_object().into_iter().flatten();
    let routes = routes.map(|(key, settings)| Ok((key.clone(), route(settings)?)));
    Ok(Throttling {
        default: route(&properties["DefaultRouteSettings"])?,
        routes: routes.collect::<Result<_, String>>()?,
    })
}

fn route(settings: &Value) -> Result<RouteThrottling, String> {
    let rate = number(settings, "ThrottlingRateLimit")?;
    let burst = number(settings, "ThrottlingBurstLimit")?;
    let burst = burst.map(|burst| {
        let whole = burst.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&burst);
        if whole { Ok(burst as u32) } else { Err(format!("ThrottlingBurstLimit must be an integer, not {burst}")) }
    });
    Ok(RouteThrottling { rate, burst: burst.transpose()? })
}

/// A number, which a parameter gives as text.
fn number(settings: &Value, name: &str) -> Result<Option<f64>, String> {
    let value = match &settings[name] {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    value.filter(|number: &f64| *number >= 0.0).map(Some).ok_or_else(|| format!("{name} must be a number"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_numbers() {
        let settings = |rate: Value, burst: Value| {
            throttling(
                &json!({ "DefaultRouteSettings": { "ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst } }),
            )
        };
        let read = settings(json!("0.5"), json!(7)).unwrap().default;
        assert_eq!((read.rate, read.burst), (Some(0.5), Some(7)));
        assert!(settings(json!(1), json!(1.5)).unwrap_err().contains("integer"));
        assert!(settings(json!("many"), json!(1)).unwrap_err().contains("ThrottlingRateLimit"));
        assert!(throttling(&json!({})).unwrap().default.rate.is_none());
    }
}
