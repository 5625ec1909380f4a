//! The result of an import: what was written, or the problems that prevent it.

use std::{collections::BTreeMap, fmt};

use crate::{Error, Result};

/// The most problems that are named.
const NAMED: usize = 10;

/// The result of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Users that were written.
    pub users: usize,
    /// Chats that were written.
    pub chats: usize,
    /// Members of these chats, their owners included.
    pub members: usize,
    /// Messages in these chats.
    pub messages: usize,
    /// Users that were in the table already, and are unchanged.
    pub existing_users: usize,
    /// Chats that were in the table already, and are unchanged.
    pub existing_chats: usize,
    /// Users of the dump who cannot log in: without a password, or with a hash of an unknown kind.
    pub locked_out: usize,
    /// The number of objects of other models in the dump, by model.
    pub skipped: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, chats, members, messages, existing_users, existing_chats, locked_out, skipped } = self;
        write!(f, "Written: {users} users, {chats} chats, {members} members, {messages} messages. ")?;
        write!(f, "Already there: {existing_users} users, {existing_chats} chats.")?;
        if !skipped.is_empty() {
            let skipped: Vec<String> = skipped.iter().map(|(model, count)| format!("{count} {model}")).collect();
            write!(f, " Skipped: {}.", skipped.join(", "))?;
        }
        if *locked_out > 0 {
            write!(f, " Without a password that Confab can check: {locked_out} users.")?;
        }
        Ok(())
    }
}

/// Problems that prevent the import.
#[derive(Debug, Default)]
pub(super) struct Problems {
    named: Vec<String>,
    others: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        match self.named.len() < NAMED {
            true => self.named.push(problem),
            false => self.others += 1,
        }
    }

    /// The value, or else its problem is added.
    pub(super) fn take<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|problem| self.add(problem)).ok()
    }

    pub(super) fn unless_any(mut self) -> Result<()> {
        if self.named.is_empty() {
            return Ok(());
        }
        if self.others > 0 {
            self.named.push(format!("and {} more", self.others));
        }
        self.named.push("Nothing was written.".to_owned());
        Err(Error::NotImported(self.named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_a_line() {
        let skipped = [("authtoken.token".to_owned(), 3), ("sessions.session".to_owned(), 1)].into();
        let report = Report { users: 2, messages: 5, existing_chats: 1, locked_out: 1, skipped, ..Report::default() };
        assert_eq!(
            report.to_string(),
            "Written: 2 users, 0 chats, 0 members, 5 messages. Already there: 0 users, 1 chats. \
             Skipped: 3 authtoken.token, 1 sessions.session. Without a password that Confab can check: 1 users."
        );
    }
}
