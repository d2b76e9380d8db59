//! Requests that web pages make, which no server of the testbed answers: a browser lets every page send requests to this
//! machine. `emulator/foreign.py` is the same for servers in Python, and says more.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// By which this machine is called, with whatever port: in front of a server there may be another.
const OWN_NAMES: [&str; 2] = ["127.0.0.1", "localhost"];
/// The browser's address line, and the server's own pages.
const OWN_SITES: [&str; 2] = ["none", "same-origin"];

/// The same, but that requests of web pages get the status 403.
pub fn refused(router: Router) -> Router {
    router.layer(middleware::from_fn(refuse))
}

async fn refuse(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        return (StatusCode::FORBIDDEN, "requests of web pages are refused").into_response();
    }
    next.run(request).await
}

/// `Origin` is refused whatever it is: the testbed serves no page that needs it.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is_one_of = |name: &str, own: &[&str]| {
        headers.get(name).is_none_or(|value| value.to_str().is_ok_and(|value| own.contains(&value)))
    };
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let host = host.map(|host| host.split_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase());
    headers.contains_key(header::ORIGIN)
        || host.is_some_and(|host| !OWN_NAMES.contains(&&*host))
        || !is_one_of("sec-fetch-site", &OWN_SITES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn tools_on_this_machine_are_answered() {
        for own in [
            &[][..],
            &[("host", "127.0.0.1:4566")],
            &[("host", "localhost:4566"), ("user-agent", "aws-cli/2")],
            &[("host", "LOCALHOST"), ("sec-fetch-site", "none")],
        ] {
            assert!(!is_foreign(&headers(own)), "{own:?}");
        }
    }

    #[test]
    fn web_pages_are_refused_however_they_ask() {
        for foreign in [
            &[("host", "127.0.0.1:4566"), ("origin", "https://evil.test")][..],
            // A file, or a page in a sandbox.
            &[("host", "127.0.0.1:4566"), ("origin", "null")],
            // An image: browsers send no `Origin` with it.
            &[("host", "127.0.0.1:4566"), ("sec-fetch-site", "cross-site")],
            // A name that its owner made lead here, so that the page counts as the server's own.
            &[("host", "evil.test:4566"), ("sec-fetch-site", "same-origin")],
            &[("host", "127.0.0.1.evil.test")],
            &[("host", "")],
        ] {
            assert!(is_foreign(&headers(foreign)), "{foreign:?}");
        }
    }
}
