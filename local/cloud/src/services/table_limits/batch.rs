//! Batches of which some items are left out: the caller gets those back, to send them again.

use serde_json::{Map, Value};

/// The parts of a batch that are left out, by table, in the form of a request.
pub(super) struct LeftOut(Map<String, Value>);

impl LeftOut {
    /// Takes the items where `left_out` is true out of a batch. They are in the order of the request.
    pub(super) fn take(request: &mut Value, left_out: &[bool]) -> Self {
        let mut places = left_out.iter();
        let mut taken = Map::new();
        let Some(tables) = request["RequestItems"].as_object_mut() else { return Self(taken) };
        for (table, part) in tables.iter_mut() {
            let mut rest = part.clone();
            let (Some(items), Some(others)) = (list(part), list(&mut rest)) else { continue };
            let all = std::mem::take(items);
            others.clear();
            for item in all {
                let is_left_out = places.next().is_some_and(|is_left_out| *is_left_out);
                if is_left_out { &mut *others } else { &mut *items }.push(item);
            }
            if !others.is_empty() {
                taken.insert(table.clone(), rest);
            }
        }
        // DynamoDB rejects empty lists.
        tables.retain(|_, part| list(part).is_some_and(|items| !items.is_empty()));
        Self(taken)
    }

    /// Adds them to what the engine has not done.
    pub(super) fn add_to(self, answer: &mut Value, member: &str) {
        let mut all = self.0;
        if let Some(unprocessed) = answer[member].as_object() {
            all.extend(unprocessed.clone());
        }
        answer[member] = Value::Object(all);
    }
}

/// The items of a table in a batch: the writes, or the keys to read.
fn list(part: &mut Value) -> Option<&mut Vec<Value>> {
    match part {
        Value::Array(writes) => Some(writes),
        read => read.get_mut("Keys")?.as_array_mut(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_is_split_and_keeps_its_options() {
        let mut reads = json!({ "RequestItems": {
            "a": { "Keys": [1, 2], "ConsistentRead": true },
            "b": { "Keys": [3] },
        } });
        let left_out = LeftOut::take(&mut reads, &[false, true, true]);
        assert_eq!(reads, json!({ "RequestItems": { "a": { "Keys": [1], "ConsistentRead": true } } }));
        let mut answer = json!({ "Responses": {}, "UnprocessedKeys": {} });
        left_out.add_to(&mut answer, "UnprocessedKeys");
        let unprocessed = json!({ "a": { "Keys": [2], "ConsistentRead": true }, "b": { "Keys": [3] } });
        assert_eq!(answer["UnprocessedKeys"], unprocessed);

        let mut writes = json!({ "RequestItems": { "a": [1, 2, 3] } });
        let left_out = LeftOut::take(&mut writes, &[true, false, false]);
        assert_eq!(writes, json!({ "RequestItems": { "a": [2, 3] } }));
        let mut answer = json!({});
        left_out.add_to(&mut answer, "UnprocessedItems");
        assert_eq!(answer, json!({ "UnprocessedItems": { "a": [1] } }));
    }
}
