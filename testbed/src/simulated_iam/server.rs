//! HTTP, and what IAM does with every request before it looks at it: credentials, throttling, counting.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Form, Router, routing};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::answers::{Answer, Refusal};
use super::directory::{Directory, User};
use super::operations::{self, Parameters};
use super::{Calls, Options};
use crate::aws::Account;
use crate::query_server::account_of;

/// What the requests share.
pub(super) struct State {
    directories: RwLock<HashMap<Account, Arc<Directory>>>,
    calls: Mutex<BTreeMap<(Account, String), Calls>>,
    buckets: Option<DefaultKeyedRateLimiter<Account>>,
    latency: Duration,
    requests: AtomicU64,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        let quota = options.limit.map(|bucket| Quota::per_second(bucket.rate).allow_burst(bucket.burst));
        Self {
            directories: RwLock::default(),
            calls: Mutex::default(),
            buckets: quota.map(RateLimiter::keyed),
            latency: options.latency,
            requests: AtomicU64::default(),
        }
    }

    pub(super) fn set_users(&self, account: &Account, users: Vec<User>) {
        let directory = Arc::new(Directory::new(account.clone(), users));
        let mut directories = self.directories.write().unwrap_or_else(PoisonError::into_inner);
        directories.insert(account.clone(), directory);
    }

    pub(super) fn calls(&self, account: &Account) -> BTreeMap<String, Calls> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = calls.iter().filter(|((caller, _), _)| caller == account);
        of_account.map(|((_, operation), calls)| (operation.clone(), *calls)).collect()
    }

    /// An account nobody has given users has none.
    fn directory(&self, account: &Account) -> Arc<Directory> {
        let directories = self.directories.read().unwrap_or_else(PoisonError::into_inner);
        let directory = directories.get(account).cloned();
        directory.unwrap_or_else(|| Arc::new(Directory::new(account.clone(), Vec::new())))
    }

    /// Takes a token out of the account's bucket, if there is one, and counts the call either way.
    fn admit(&self, account: &Account, action: &str) -> Result<(), Refusal> {
        let throttled = self.buckets.as_ref().is_some_and(|all| all.check_key(account).is_err());
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.entry((account.clone(), action.to_owned())).or_default();
        if throttled {
            calls.throttled += 1;
            return Err(Refusal::throttled());
        }
        calls.answered += 1;
        Ok(())
    }

    fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().route("/", routing::post(handle)).with_state(state)
}

async fn handle(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Form(parameters): Form<Parameters>,
) -> Response {
    let request_id = state.next_request_id();
    let answer = answer(&state, &headers, &parameters);
    tokio::time::sleep(state.latency).await;
    let (status, xml) = match &answer {
        Ok(answer) => (StatusCode::OK, answer.to_xml(&request_id)),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status);
            (status.unwrap_or(StatusCode::BAD_REQUEST), refusal.to_xml(&request_id))
        }
    };
    match xml {
        Ok(xml) => (status, [(header::CONTENT_TYPE, "text/xml")], xml).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn answer(state: &State, headers: &HeaderMap, parameters: &Parameters) -> Result<Answer, Refusal> {
    let account = account_of(headers).ok_or_else(Refusal::no_credentials)?;
    state.admit(&account, operations::action(parameters))?;
    operations::answer(&state.directory(&account), parameters)
}
