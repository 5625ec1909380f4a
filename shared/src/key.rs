//! The keys of the table: a partition key and a sort key. [`Partition`] is the only place that builds and parses
//! partition keys; IAM policies and stream filters in the template name the same prefixes.

use std::fmt::Display;

use serde::Deserialize;

/// Declares the partitions with their prefixes.
macro_rules! partitions {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {
        /// A kind of partition, which is what a partition key begins with. In a key at most the last part is free text;
        /// all before it have a fixed alphabet without `#`, so no user can forge a key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Partition {
            $($(#[$doc])* $name,)*
        }

        impl Partition {
            /// Every kind of partition.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What its keys begin with, `#` included: the form in which IAM policies and stream filters name it.
            pub const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($prefix, "#"),)*
                }
            }
        }
    };
}

partitions! {
    /// The users with an e-mail address: `EMAIL#<address>`.
    Address = "EMAIL";
    /// Failed logins, registrations and changes of a password: `ATTEMPTS#<what>`, by the hour.
    Attempts = "ATTEMPTS";
    /// A chat and its members: `CHAT#<uri>`.
    Chat = "CHAT";
    /// A WebSocket connection: `CONNECTION#<connection id>`.
    Connection = "CONNECTION";
    /// The last integer id that was issued: `COUNTER#<sequence>`.
    Counter = "COUNTER";
    /// How far a chat's log has been delivered: `CURSOR#<uri>`.
    Cursor = "CURSOR";
    /// The user of an identity of another system: `IDENTITY#<hash of issuer and subject>`.
    Identity = "IDENTITY";
    /// An idempotency record: `KEY#<uri>#<user id>#<key>`.
    IdempotencyKey = "KEY";
    /// A chat's log: `LOG#<uri>`.
    Log = "LOG";
    /// How many chats a user is in: `MEMBERSHIPS#<user id>`.
    Memberships = "MEMBERSHIPS";
    /// Who was last broadcast as online: `PRESENCE#<uri>`.
    Presence = "PRESENCE";
    /// Rate limits: `RATES#<what>#<user id>`, by the window.
    Rates = "RATES";
    /// A member's reactions to the messages of a chat: `REACTIONS#<uri>#<user id>`.
    Reactions = "REACTIONS";
    /// A secret of the deployment: `SECRET#<what for>`.
    Secret = "SECRET";
    /// A chat's subscribers: `SUBSCRIBERS#<uri>`.
    Subscribers = "SUBSCRIBERS";
    /// A user's tokens: `TOKENS#<user id>`. Apart from the user's other items, so that a function may be allowed to
    /// extend tokens and nothing else.
    Tokens = "TOKENS";
    /// A user's profile, memberships and connections: `USER#<user id>`.
    User = "USER";
    /// A username: `USERNAME#<username>`.
    Username = "USERNAME";
}

impl Partition {
    /// The partition key of `id`.
    pub fn of(self, id: impl Display) -> String {
        format!("{}{id}", self.prefix())
    }

    /// The partition of a key, and what follows the prefix.
    pub fn parse(pk: &str) -> Option<(Self, &str)> {
        Self::ALL.iter().find_map(|partition| Some((*partition, pk.strip_prefix(partition.prefix())?)))
    }

    /// The key of the item at `sk` in the partition of `id`.
    pub(crate) fn key(self, id: impl Display, sk: impl Into<String>) -> Key {
        Key { pk: self.of(id), sk: sk.into() }
    }
}

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Key {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_key_parses_back() {
        for partition in Partition::ALL {
            assert_eq!(Partition::parse(&partition.of("a#b")), Some((*partition, "a#b")));
        }
        assert_eq!(Partition::parse("USERS#1"), None);
        assert_eq!(Partition::parse("USER"), None);
    }
}
