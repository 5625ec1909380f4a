//! `GET /auth`: the routes of accounts, with the names that djoser has for them.

use std::collections::BTreeMap;

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

const ROUTES: &[(&str, &str)] = &[
    ("user", "/auth/me"),
    ("user-create", "/auth/users/create"),
    ("user-activate", "/auth/users/activate"),
    ("user-activate-resend", "/auth/users/resend_activation"),
    ("user-delete", "/auth/users/delete"),
    ("user-export", "/auth/users/me/export"),
    ("set_username", "/auth/username"),
    ("set_password", "/auth/password"),
    ("password_reset", "/auth/password/reset"),
    ("password_reset_confirm", "/auth/password/reset/confirm"),
    ("login", "/auth/token/create"),
    ("logout", "/auth/token/destroy"),
    ("logout-all", "/auth/token/logoutall"),
    ("token-exchange", "/auth/token/exchange"),
    ("tokens", "/auth/tokens"),
];

/// URLs relative to the API's origin, which no function knows.
pub(crate) async fn handle(_: &Confab, _: &Request) -> Result<Response> {
    Response::ok(&BTreeMap::from_iter(ROUTES.iter().copied()))
}
