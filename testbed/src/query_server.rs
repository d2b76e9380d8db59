//! What the simulated services share: a server on a loopback port, and the Query protocol's envelope.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use axum::Router;
use axum::http::{HeaderMap, header};
use serde::Serialize;

use crate::aws::Account;
use crate::{Error, Result, web_pages};

/// Serves on a thread and a port of its own, until the process ends: it is there for the tests of one process, whatever
/// runtime each is on. Web pages are refused. Returns where it listens.
pub(crate) fn serve(name: &'static str, router: Router) -> Result<SocketAddr> {
    let failed = |source| Error::Start { what: name, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener);
        let listener = listener.expect("the listener is non-blocking and this is a runtime");
        // It has nothing to report to anybody.
        let _ = axum::serve(listener, web_pages::refused(router)).await;
    };
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(serve)).map_err(failed)?;
    Ok(address)
}

/// What a request says of who signed it.
pub(crate) struct Credential<'a> {
    pub(crate) access_key_id: &'a str,
    /// The service it was signed for.
    pub(crate) service: Option<&'a str>,
}

impl<'a> Credential<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (_, credential) = authorization.split_once("Credential=")?;
        let (access_key_id, scope) = credential.split_once('/')?;
        // The scope is date, region, service and `aws4_request`.
        Some(Self { access_key_id, service: scope.split('/').nth(2) })
    }

    /// The account of the credentials: on the testbed, the access key id is the account's number, or has it in it where the
    /// credentials are temporary.
    pub(crate) fn account(&self) -> Option<Account> {
        let id = self.access_key_id;
        let digits = if self.is_temporary() { id.get(TEMPORARY.len()..TEMPORARY.len() + 12)? } else { id };
        digits.parse().ok()
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.access_key_id.starts_with(TEMPORARY)
    }
}

/// How the ids of temporary access keys begin.
const TEMPORARY: &str = "ASIA";

/// The id of the `serial`th temporary access key of an account: twenty characters, as AWS's are.
pub(crate) fn temporary_key_id(account: &Account, serial: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digits = [15, 10, 5, 0].map(|bits| char::from(ALPHABET[(serial >> bits) % ALPHABET.len()]));
    format!("{TEMPORARY}{account}{}", String::from_iter(digits))
}

/// The account whose credentials signed the request.
pub(crate) fn account_of(headers: &HeaderMap) -> Option<Account> {
    Credential::of(headers)?.account()
}

/// A refusal's XML. All of those made here are the caller's doing, so the type is always `Sender`, throttling included.
pub(crate) fn refusal_xml(
    namespace: &str,
    code: &str,
    message: &str,
    request_id: &str,
) -> Result<String, quick_xml::SeError> {
    let error = ErrorElement { r#type: "Sender", code, message };
    quick_xml::se::to_string(&ErrorResponse { namespace, error, request_id })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse<'a> {
    #[serde(rename = "@xmlns")]
    namespace: &'a str,
    error: ErrorElement<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorElement<'a> {
    r#type: &'a str,
    code: &'a str,
    message: &'a str,
}
