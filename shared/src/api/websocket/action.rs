//! Actions: what a frame asks for.

use super::{
    delete::Delete, edit::Edit, frame::ClientFrame, ping::Ping, react::React, read::MarkRead, request::required_text,
    response::SocketResponse, send::SendMessage, subscribe::Subscribe, typing::Typing, unsubscribe::Unsubscribe,
};
use crate::{Confab, Error, Result, input::fields::Fields, metrics};

/// What a frame asks for, by its `action`.
///
/// The fields that identify the chat and the request are read at once. The others are kept as results, since errors in
/// them are reported to members of the chat only, as over HTTP.
// Not derived by serde: its errors name one field in its own words, and cannot tell a missing field from null.
#[derive(Debug)]
enum Action {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Send(SendMessage),
    Edit(Edit),
    Delete(Delete),
    React(React),
    Read(MarkRead),
    Typing(Typing),
    Ping(Ping),
}

type Reader = fn(&Fields) -> Result<Action>;

/// Every action, and how it is read.
const ACTIONS: [(&str, Reader); 9] = [
    ("subscribe", |fields| Subscribe::read(fields).map(Action::Subscribe)),
    ("unsubscribe", |fields| Unsubscribe::read(fields).map(Action::Unsubscribe)),
    ("send", |fields| SendMessage::read(fields).map(Action::Send)),
    ("edit", |fields| Edit::read(fields).map(Action::Edit)),
    ("delete", |fields| Delete::read(fields).map(Action::Delete)),
    ("react", |fields| React::read(fields).map(Action::React)),
    ("read", |fields| MarkRead::read(fields).map(Action::Read)),
    ("typing", |fields| Typing::read(fields).map(Action::Typing)),
    ("ping", |_| Ok(Action::Ping(Ping))),
];

/// The names of all actions.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(name, _)| *name)
}

/// The action of that name, and how it is read.
fn named(fields: &Fields) -> Result<(&'static str, Reader)> {
    let name = required_text(fields, "action")?;
    ACTIONS.into_iter().find(|(known, _)| *known == name).ok_or(Error::NotFound)
}

impl Confab {
    /// Does what a frame asks for.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Malformed`] for the frame; [`Error::NotAuthenticated`] and
    /// [`Error::BadCredentials`] for the connection; [`Error::NotFound`] for an unknown action; [`Error::Invalid`] for
    /// missing and wrong fields; else as the domain's method for the action.
    pub async fn act(&self, frame: &ClientFrame) -> Result<SocketResponse> {
        let (fields, connection_id) = (frame.fields()?, &frame.connection_id);
        let (name, read) = match named(&fields) {
            Ok(action) => action,
            Err(error) => {
                self.authenticate_connection(connection_id).await?;
                return Err(error);
            }
        };
        metrics::action(name);
        match read(&fields)? {
            Action::Subscribe(subscribe) => subscribe.handle(self, connection_id).await,
            Action::Unsubscribe(unsubscribe) => unsubscribe.handle(self, connection_id).await,
            Action::Send(send) => send.handle(self, connection_id).await,
            Action::Edit(edit) => edit.handle(self, connection_id).await,
            Action::Delete(delete) => delete.handle(self, connection_id).await,
            Action::React(react) => react.handle(self, connection_id).await,
            Action::Read(read) => read.handle(self, connection_id).await,
            Action::Typing(typing) => typing.handle(self, connection_id).await,
            Action::Ping(ping) => ping.handle(self, connection_id).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fields(value: Value) -> Fields {
        Fields::from_value(value).unwrap()
    }

    #[test]
    fn every_action_is_known_by_its_name() {
        for name in action_names() {
            let fields = fields(json!({"action": name, "uri": "0123456789abcde"}));
            let (_, read) = named(&fields).unwrap();
            // The variant `Edit` is for `edit`.
            let action = format!("{:?}", read(&fields).unwrap()).to_lowercase();
            assert!(action.starts_with(name), "{name}: {action}");
        }
    }

    #[test]
    fn other_frames_have_no_action() {
        for (value, status, detail) in [
            (json!({}), 400, "action: This field is required."),
            (json!({"action": null}), 400, "action: This field may not be null."),
            (json!({"action": 5}), 400, "action: Not a valid string."),
            (json!({"action": ["send"]}), 400, "action: Not a valid string."),
            (json!({"action": "fly"}), 404, "Not found."),
            (json!({"action": "Send"}), 404, "Not found."),
            (json!({"action": "$connect"}), 404, "Not found."),
        ] {
            let error = named(&fields(value.clone())).unwrap_err();
            assert_eq!((error.status(), error.to_string().as_str()), (status, detail), "{value}");
        }
    }

    #[test]
    fn the_chat_is_read_first() {
        for name in action_names().filter(|name| *name != "ping") {
            for (uri, detail) in [
                (None, "uri: This field is required."),
                (Some(Value::Null), "uri: This field may not be null."),
                (Some(json!(5)), "uri: Not a valid string."),
            ] {
                let mut frame = json!({"action": name, "id": "x", "message": 5, "after": "x", "key": null, "emoji": 5});
                if let Some(uri) = uri {
                    frame["uri"] = uri;
                }
                let fields = fields(frame);
                let (_, read) = named(&fields).unwrap();
                assert_eq!(read(&fields).unwrap_err().to_string(), detail, "{name}");
            }
        }
    }
}
