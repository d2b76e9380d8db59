//! HTTP, and what is done with every request before it is looked at: credentials, throttling, counting.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde_json::Value;

use super::account::Settings;
use super::answers::{Answer, Refusal, Service};
use super::credential_report::Reports;
use super::denied_users::DeniedUsers;
use super::directory::{Directory, User};
use super::operations::{self, Parameters};
use super::roles::{self, Sessions, Wanted};
use super::{Calls, Options, TokenBucket};
use crate::aws::{Account, STS_VERSION};
use crate::query_server::Credential;
use crate::simulated_clock::SimulatedClock;
use crate::simulated_organization::{self, Organization};

type Bucket<Key, Store> = RateLimiter<Key, Store, SimulatedClock, NoOpMiddleware<Nanos>>;

/// What the requests share.
pub(super) struct State {
    directories: RwLock<HashMap<Account, Arc<Directory>>>,
    accounts: RwLock<HashMap<Account, Arc<AccountState>>>,
    organizations: RwLock<Vec<Arc<Organization>>>,
    pub(super) denied_users: DeniedUsers,
    sessions: Sessions,
    reports: Reports,
    calls: Mutex<BTreeMap<(Account, String), Calls>>,
    calls_by_second: Mutex<BTreeMap<(Account, u64), Calls>>,
    started_at: Instant,
    clock: SimulatedClock,
    buckets: Option<Bucket<Account, DashMapStateStore<Account>>>,
    latency: Duration,
    requests: AtomicU64,
}

/// An account's settings, with the tokens it has left.
#[derive(Default)]
struct AccountState {
    settings: Settings,
    bucket: Option<Bucket<NotKeyed, InMemoryState>>,
}

impl TokenBucket {
    pub(crate) fn quota(self) -> Quota {
        Quota::per_second(self.rate).allow_burst(self.burst)
    }
}

impl Calls {
    fn add(&mut self, throttled: bool) {
        *if throttled { &mut self.throttled } else { &mut self.answered } += 1;
    }
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            directories: RwLock::default(),
            accounts: RwLock::default(),
            organizations: RwLock::default(),
            denied_users: DeniedUsers::default(),
            sessions: Sessions::new(options.session),
            reports: Reports::default(),
            calls: Mutex::default(),
            calls_by_second: Mutex::default(),
            started_at: Instant::now(),
            clock: options.clock.clone(),
            buckets: options
                .limit
                .map(|bucket| RateLimiter::dashmap_with_clock(bucket.quota(), options.clock.clone())),
            latency: options.latency,
            requests: AtomicU64::default(),
        }
    }

    pub(super) fn set_users(&self, account: &Account, users: Vec<User>) {
        let directory = Arc::new(Directory::new(account.clone(), users));
        let mut directories = self.directories.write().unwrap_or_else(PoisonError::into_inner);
        directories.insert(account.clone(), directory);
    }

    pub(super) fn set_account(&self, account: &Account, settings: Settings) {
        let bucket =
            settings.limit.map(|bucket| RateLimiter::direct_with_clock(bucket.quota(), self.clock.clone()));
        let state = Arc::new(AccountState { settings, bucket });
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(account.clone(), state);
    }

    pub(super) fn add_organization(&self, organization: Organization) {
        let mut organizations = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        organizations.push(Arc::new(organization));
    }

    pub(super) fn calls(&self, account: &Account) -> BTreeMap<String, Calls> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = calls.iter().filter(|((caller, _), _)| caller == account);
        of_account.map(|((_, operation), calls)| (operation.clone(), *calls)).collect()
    }

    pub(super) fn calls_by_second(&self, account: &Account) -> BTreeMap<u64, Calls> {
        let calls = self.calls_by_second.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = calls.range((account.clone(), 0)..=(account.clone(), u64::MAX));
        of_account.map(|((_, second), calls)| (*second, *calls)).collect()
    }

    /// An account nobody has given users has none.
    fn directory(&self, account: &Account) -> Arc<Directory> {
        let directories = self.directories.read().unwrap_or_else(PoisonError::into_inner);
        let directory = directories.get(account).cloned();
        directory.unwrap_or_else(|| Arc::new(Directory::new(account.clone(), Vec::new())))
    }

    fn account(&self, account: &Account) -> Arc<AccountState> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(account).cloned().unwrap_or_default()
    }

    fn organization_of(&self, account: &Account) -> Option<Arc<Organization>> {
        let organizations = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        organizations.iter().find(|organization| organization.has(account)).cloned()
    }

    /// Takes a token out of the account's bucket, if there is one, and counts the call either way.
    fn admit(&self, account: &Account, action: &str) -> Result<(), Refusal> {
        let state = self.account(account);
        let exceeds = || match &state.bucket {
            Some(own) => own.check().is_err(),
            None => self.buckets.as_ref().is_some_and(|all| all.check_key(account).is_err()),
        };
        let throttled = self.throttled(account, action) < state.settings.throttled_at_first || exceeds();
        self.count(account, action, throttled);
        let mut by_second = self.calls_by_second.lock().unwrap_or_else(PoisonError::into_inner);
        let second = self.started_at.elapsed().as_secs();
        by_second.entry((account.clone(), second)).or_default().add(throttled);
        if throttled { Err(Refusal::throttled()) } else { Ok(()) }
    }

    fn throttled(&self, account: &Account, action: &str) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&(account.clone(), action.to_owned())).map_or(0, |calls| calls.throttled)
    }

    fn count(&self, account: &Account, action: &str, throttled: bool) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.entry((account.clone(), action.to_owned())).or_default().add(throttled);
    }

    fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().route("/", routing::post(handle)).with_state(state)
}

async fn handle(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let answer = match target.and_then(|target| target.strip_prefix(simulated_organization::TARGET)) {
        Some(operation) => ask_organizations(&state, &headers, operation, &body),
        None => ask_iam_or_sts(&state, &headers, &body),
    };
    tokio::time::sleep(state.latency).await;
    answer
}

/// A request to Organizations, which speaks JSON.
fn ask_organizations(state: &State, headers: &HeaderMap, operation: &str, body: &[u8]) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    let caller = match caller(state, headers) {
        Ok(caller) => caller,
        Err(refusal) => return (status(refusal.status), content_type, refusal.to_json()).into_response(),
    };
    state.count(&caller, operation, false);
    let request = serde_json::from_slice(body).unwrap_or(Value::Null);
    let organization = state.organization_of(&caller);
    match simulated_organization::answer(organization.as_deref(), &caller, operation, &request) {
        Ok(answer) => (StatusCode::OK, content_type, answer.to_string()).into_response(),
        Err(refusal) => (StatusCode::BAD_REQUEST, content_type, refusal.to_string()).into_response(),
    }
}

/// A request to IAM or STS, which take forms and answer in XML.
fn ask_iam_or_sts(state: &State, headers: &HeaderMap, body: &[u8]) -> Response {
    let parameters: Parameters = form_urlencoded::parse(body).into_owned().collect();
    let request_id = state.next_request_id();
    let service = service_of(headers, &parameters);
    let answer = caller(state, headers).and_then(|caller| match service {
        Service::Iam => ask_iam(state, &caller, &parameters),
        Service::Sts => ask_sts(state, &caller, &parameters),
    });
    let (status, xml) = match &answer {
        Ok(answer) => (StatusCode::OK, answer.to_xml(&request_id)),
        Err(refusal) => (status(refusal.status), refusal.to_xml(service, &request_id)),
    };
    match xml {
        Ok(xml) => (status, [(header::CONTENT_TYPE, "text/xml")], xml).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn ask_iam(state: &State, caller: &Account, parameters: &Parameters) -> Result<Answer, Refusal> {
    let action = operations::action(parameters);
    state.admit(caller, action)?;
    let Settings { alias, report, denied, .. } = &state.account(caller).settings;
    if denied.contains(action) {
        return Err(Refusal::denied(caller, action));
    }
    state.denied_users.check(caller, parameters)?;
    let directory = state.directory(caller);
    match action {
        "GenerateCredentialReport" => Ok(Answer::ReportState(state.reports.generate(&directory, *report))),
        "GetCredentialReport" => state.reports.get(caller, *report).map(Answer::Report),
        _ => operations::answer(&directory, alias.clone(), parameters),
    }
}

fn ask_sts(state: &State, caller: &Account, parameters: &Parameters) -> Result<Answer, Refusal> {
    let action = operations::action(parameters);
    if action == "GetCallerIdentity" {
        return Ok(Answer::Caller(roles::identity(caller)));
    }
    if action != "AssumeRole" {
        return Err(Refusal::no_such_operation(action, STS_VERSION));
    }
    let wanted = Wanted::of(parameters)?;
    state.count(&wanted.account, action, false);
    wanted.admit(caller, state.account(&wanted.account).settings.role.as_ref())?;
    Ok(Answer::Role(state.sessions.begin(&wanted)))
}

/// Whose credentials signed the request, if they are good.
fn caller(state: &State, headers: &HeaderMap) -> Result<Account, Refusal> {
    let credential = Credential::of(headers).ok_or_else(Refusal::no_credentials)?;
    let account = credential.account().ok_or_else(Refusal::no_credentials)?;
    state.sessions.check(&credential)?;
    Ok(account)
}

/// Which service a request is for: its signature says so, or the version of the service's API.
fn service_of(headers: &HeaderMap, parameters: &Parameters) -> Service {
    let is_signed_for_sts = Credential::of(headers).is_some_and(|one| one.service == Some("sts"));
    let has_version_of_sts = parameters.get("Version").is_some_and(|version| version == STS_VERSION);
    if is_signed_for_sts || has_version_of_sts { Service::Sts } else { Service::Iam }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}
