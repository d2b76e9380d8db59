//! What the simulated services share: a server on a loopback port, and the Query protocol's envelope.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use axum::Router;
use axum::http::{HeaderMap, header};
use serde::Serialize;

use crate::aws::Account;
use crate::{Error, Result};

/// Serves on a thread and a port of its own, until the process ends: it is there for the tests of one process, whatever
/// runtime each is on. Returns where it listens.
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
        let _ = axum::serve(listener, router).await;
    };
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(serve)).map_err(failed)?;
    Ok(address)
}

/// The account whose credentials signed the request: on the testbed, the access key id is the account's number.
pub(crate) fn account_of(headers: &HeaderMap) -> Option<Account> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let (access_key_id, _) = credential.split_once('/')?;
    access_key_id.parse().ok()
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
