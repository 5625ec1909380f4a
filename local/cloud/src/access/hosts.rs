//! The names by which a server may be reached.

use http::{header, request::Parts, uri::Authority};

/// The names by which a server may be reached.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    port: u16,
    /// Names in addition to those of the loopback interface, with or without a port.
    allowed: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(port: u16, allowed: &[String]) -> Self {
        Self { port, allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request is for one of these names.
    pub(crate) fn admit(&self, parts: &Parts) -> bool {
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        // A request line may name the server too, and takes precedence over `Host`.
        let named = parts.uri.authority().cloned();
        let host = Authority::try_from(host.as_bytes()).ok();
        host.is_some_and(|host| self.knows(&host)) && named.is_none_or(|named| self.knows(&named))
    }

    fn knows(&self, authority: &Authority) -> bool {
        let name = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(80);
        let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&name.as_str()) && port == self.port;
        is_here || self.allowed.iter().any(|allowed| *allowed == name || *allowed == format!("{name}:{port}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_names_of_this_machine_are_admitted() {
        let hosts = Hosts::new(8000, &["Tunnel.example".to_owned(), "127.0.0.1:9000".to_owned()]);
        for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000", "127.0.0.1:9000"] {
            assert!(hosts.admit(&parts("/", &[host])), "{host}");
        }
        for host in ["tunnel.example", "TUNNEL.example:8000", "tunnel.example:443"] {
            assert!(hosts.admit(&parts("/", &[host])), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:8001",
            "localhost:80",
            "evil.example:8000",
            "0.0.0.0:8000",
            "127.0.0.1.evil.example:8000",
            "",
            "a b",
            "[::1]:9000",
            "evil@localhost:8001",
        ] {
            assert!(!hosts.admit(&parts("/", &[host])), "{host}");
        }
        assert!(!hosts.admit(&parts("/", &[])));
        assert!(!hosts.admit(&parts("/", &["127.0.0.1:8000", "127.0.0.1:8000"])));
        assert!(hosts.admit(&parts("http://localhost:8000/", &["127.0.0.1:8000"])));
        assert!(!hosts.admit(&parts("http://evil.example:8000/", &["127.0.0.1:8000"])));
    }
}
