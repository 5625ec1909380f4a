//! The routes of an HTTP API.

use serde_json::{Map, Value, json};

use crate::description::HttpRoute;

/// A request's path.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    text: &'a str,
    /// Whether a trailing slash counts.
    is_literal: bool,
}

impl<'a> Path<'a> {
    /// A path whose trailing slash is ignored.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, is_literal: false }
    }

    /// A path that is another one with a trailing slash. AWS does not document which of both is right.
    pub(super) fn literal(text: &'a str) -> Self {
        Self { text, is_literal: true }
    }

    /// The segments of this path, or of a route that is compared with it.
    fn segments<'b>(self, text: &'b str) -> std::str::Split<'b, char> {
        if self.is_literal { text.split('/') } else { text.strip_suffix('/').unwrap_or(text).split('/') }
    }
}

/// The route of a request: a full match before one with variables, that before a greedy one, and `$default` last
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>). The variables are
/// `None` if one of them is not UTF-8.
pub(super) fn find<'a>(
    routes: &'a [HttpRoute],
    method: &str,
    path: Path<'_>,
) -> Option<(&'a HttpRoute, Option<Map<String, Value>>)> {
    let matching = routes.iter().filter_map(|route| {
        if route.path.is_empty() {
            return Some(((4, 0), route, Some(Map::new())));
        }
        let any = route.method == "ANY";
        // Methods are case-sensitive (https://www.rfc-editor.org/rfc/rfc9110#section-9.1): `post` is not `POST`.
        if !any && route.method != method {
            return None;
        }
        let (rank, variables) = match_path(&route.path, path)?;
        Some(((rank, usize::from(any)), route, decoded(variables)))
    });
    matching.min_by_key(|(rank, ..)| *rank).map(|(_, route, parameters)| (route, parameters))
}

/// The rank of a match (0 in full, 1 with variables, 2 with a greedy one), and the variables' undecoded values.
fn match_path<'a>(route: &'a str, path: Path<'_>) -> Option<(usize, Vec<(&'a str, String)>)> {
    let mut rank = 0;
    let mut variables = Vec::new();
    let mut segments = path.segments(path.text);
    for expected in path.segments(route) {
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => {
                    let rest: Vec<&str> = segments.by_ref().collect();
                    if rest.is_empty() {
                        return None;
                    }
                    variables.push((name, rest.join("/")));
                    rank = 2;
                }
                None => {
                    let segment = segments.next().filter(|segment| !segment.is_empty())?;
                    variables.push((name, segment.to_owned()));
                    rank = rank.max(1);
                }
            },
            None if segments.next() == Some(expected) => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some((rank, variables))
}

/// The decoded variables, if all of them are UTF-8.
fn decoded(variables: Vec<(&str, String)>) -> Option<Map<String, Value>> {
    let decode = |value: &str| Some(json!(percent_encoding::percent_decode_str(value).decode_utf8().ok()?));
    variables.into_iter().map(|(name, value)| Some((name.to_owned(), decode(&value)?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_rank() {
        fn matched<'a>(route: &'a str, path: &str) -> Option<(usize, Vec<(&'a str, String)>)> {
            match_path(route, Path::new(path))
        }
        assert_eq!(matched("/a/b", "/a/b").unwrap().0, 0);
        let (rank, variables) = matched("/a/{x}/c", "/a/b%20b/c").unwrap();
        assert_eq!((rank, &decoded(variables).unwrap()["x"]), (1, &json!("b b")));
        let (rank, variables) = matched("/a/{rest+}", "/a/b/c").unwrap();
        assert_eq!((rank, &decoded(variables).unwrap()["rest"]), (2, &json!("b/c")));
        assert!(decoded(matched("/a/{x}", "/a/%E9").unwrap().1).is_none());
        for (route, path) in [("/a/b", "/a"), ("/a", "/a/b"), ("/a/{x}", "/a/"), ("/a/{x}", "/a"), ("/a/b", "/a/B")] {
            assert!(matched(route, path).is_none(), "{route} {path}");
        }
    }

    #[test]
    fn trailing_slashes_count_in_literal_paths() {
        for (route, path, matches) in [
            ("/a", "/a", [true, true]),
            ("/a", "/a/", [true, false]),
            ("/a/", "/a", [true, false]),
            ("/a/", "/a/", [true, true]),
            ("/a/{x}", "/a/b/", [true, false]),
            ("/", "/", [true, true]),
        ] {
            let found = [Path::new(path), Path::literal(path)].map(|path| match_path(route, path).is_some());
            assert_eq!(found, matches, "{route} {path}");
        }
    }
}
