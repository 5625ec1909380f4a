//! The request that opens a socket.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::{Result, auth::token::Token, ids::ConnectionId};

/// The subprotocol that browsers name, and that the server selects.
const PROTOCOL: &str = "confab";
/// The prefix of the subprotocol that carries a browser's token.
const TOKEN_PROTOCOL: &str = "token.";

/// A request to open a socket.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The connection that the socket will have.
    pub connection_id: ConnectionId,
    /// The headers.
    pub headers: HeaderMap,
    /// The chat to subscribe to, from the query string.
    pub uri: Option<String>,
}

impl ConnectRequest {
    /// The token, from `Authorization` or from the subprotocols: browsers cannot set headers.
    ///
    /// # Errors
    /// [`crate::Error::BadCredentials`] if it is malformed.
    pub fn token(&self) -> Result<Option<Token>> {
        if let Some(token) = Token::from_authorization(self.headers.get(AUTHORIZATION))? {
            return Ok(Some(token));
        }
        self.protocols().find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL)).map(Token::parse).transpose()
    }

    /// The subprotocol to select, if the client offers it.
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocols().any(|protocol| protocol == PROTOCOL).then_some(PROTOCOL)
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.get_all("sec-websocket-protocol").into_iter();
        headers.filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &'static str, value: &str) -> ConnectRequest {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
        ConnectRequest { connection_id: "c=".to_owned().into(), headers, uri: None }
    }

    #[test]
    fn a_browser_names_its_token_beside_the_protocol() {
        let token = Token::issue(crate::ids::UserId(5)).unwrap();
        let browser = request("sec-websocket-protocol", &format!("confab,  token.{}", token.reveal()));
        assert_eq!((browser.token().unwrap().as_ref(), browser.protocol()), (Some(&token), Some("confab")));
        let program = request("authorization", &format!("Token {}", token.reveal()));
        assert_eq!((program.token().unwrap().as_ref(), program.protocol()), (Some(&token), None));
        assert!(request("sec-websocket-protocol", "confab, token.x").token().is_err());
        assert!(request("sec-websocket-protocol", "confab").token().unwrap().is_none());
    }
}
