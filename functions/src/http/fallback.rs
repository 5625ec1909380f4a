//! `$default`: answers requests that match no other function's route.
//!
//! The build script reads the routes from `template.yaml`.

use confab_shared::{
    Confab, Error, Result,
    api::http::{Request, Response},
};

use crate::Function;

include!(concat!(env!("OUT_DIR"), "/routes.rs"));

/// A route of the template.
struct Route {
    method: &'static str,
    path: &'static str,
    /// The name of its function.
    function: &'static str,
}

impl Route {
    /// Whether it needs no token.
    fn is_public(&self) -> bool {
        matches!(Function::named(self.function), Some(Function::PublicHttp(_)))
    }
}

/// Answers 405 for a known path with another method, 308 for a path that needs a trailing slash removed, else 404.
pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let path = request.target.path();
    let bare = path.strip_suffix('/').unwrap_or(path);
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| matches(route.path, bare)).collect();
    // As in the original, callers are authenticated before they learn that a method is wrong.
    let token = request.token()?;
    if routes.is_empty() || routes.iter().all(|route| route.is_public()) {
        confab.authenticate_if_given(token.as_ref()).await?;
    } else {
        confab.authenticate(token.as_ref()).await?;
    }
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method).collect();
    methods.sort_unstable();
    if methods.is_empty() {
        return Err(Error::NotFound);
    }
    if methods.contains(&request.method.as_str()) {
        let query = Some(request.target.query()).filter(|query| !query.is_empty());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        // Relative to the path, since a proxy or a custom domain may have put something before it.
        let last = bare.rsplit('/').next().unwrap_or_default();
        return if bare == path { Err(Error::NotFound) } else { Response::moved(&format!("../{last}{query}")) };
    }
    Err(Error::MethodNotAllowed { method: request.method.to_string(), allow: methods.join(", ") })
}

/// Whether a path is one of a route: `{…}` stands for one segment.
fn matches(route: &str, path: &str) -> bool {
    let (route, path) = (route.split('/'), path.split('/'));
    route.clone().count() == path.clone().count()
        && route
            .zip(path)
            .all(|(expected, segment)| expected.starts_with('{') && !segment.is_empty() || expected == segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_routes_are_known() {
        let find = |method, path| ROUTES.iter().find(|route| route.method == method && matches(route.path, path));
        assert!(find("POST", "/auth/token/create").is_some_and(Route::is_public));
        assert!(find("PATCH", "/api/chats/0123456789abcde").is_some_and(|route| !route.is_public()));
        assert!(find("POST", "/api/chats/x/messages/y").is_none());
        assert!(ROUTES.iter().all(|route| Function::named(route.function).is_some()));
        assert!(ROUTES.iter().all(|route| route.path.starts_with('/') && !route.path.ends_with('/')));
    }
}
