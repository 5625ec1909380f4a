//! The one DynamoDB table, and the few ways of reading and writing it that the domain uses.

mod batch;
mod client;
mod pages;
mod transaction;
mod write;

pub(crate) use batch::{BatchItems, WRITES_PER_BATCH};
pub(crate) use client::{Item, Table, read};
pub(crate) use pages::Pages;
pub(crate) use transaction::Transacted;
pub(crate) use write::{Applied, Write};
