//! HTTP, and what becomes of each call: answered here, refused, or passed on to the emulator.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::limits::{Limit, Limits};
use super::mail::{Mail, Parameters};
use super::{Options, Sends, events};
use crate::aws::{Account, Client, REGION, SNS, http_client};
use crate::query_server::{account_of, refusal_xml};

const NAMESPACE: &str = "http://ses.amazonaws.com/doc/2010-12-01/";

/// SES takes mails of 10 MB, which are longer as a form.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What the requests share.
pub(super) struct State {
    pub(super) limits: Limits,
    publishes_events: bool,
    unverified: AtomicBool,
    emulator: Mutex<Option<String>>,
    /// By account and configuration set.
    topics: Mutex<HashMap<(Account, String), String>>,
    sends: Mutex<BTreeMap<Account, Sends>>,
    /// Which of the mails that are taken gets no answer, and whether that was the case already.
    unanswered: AtomicU64,
    is_unanswered: AtomicBool,
    requests: AtomicU64,
    http: reqwest::Client,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            limits: Limits::new(options),
            publishes_events: options.events,
            unverified: AtomicBool::default(),
            emulator: Mutex::default(),
            topics: Mutex::default(),
            sends: Mutex::default(),
            unanswered: AtomicU64::default(),
            is_unanswered: AtomicBool::default(),
            requests: AtomicU64::default(),
            http: http_client(),
        }
    }

    pub(super) fn pass_on_to(&self, emulator: &str) {
        *lock(&self.emulator) = Some(emulator.to_owned());
    }

    pub(super) fn publish_to(&self, account: &Account, configuration_set: &str, topic_arn: &str) {
        lock(&self.topics).insert((account.clone(), configuration_set.to_owned()), topic_arn.to_owned());
    }

    pub(super) fn set_unverified(&self, unverified: bool) {
        self.unverified.store(unverified, Ordering::Relaxed);
    }

    pub(super) fn leave_unanswered(&self, mail: u64) {
        self.unanswered.store(mail, Ordering::Relaxed);
        self.is_unanswered.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.is_unanswered.load(Ordering::Relaxed)
    }

    pub(super) fn sends(&self, account: &Account) -> Sends {
        lock(&self.sends).get(account).copied().unwrap_or_default()
    }

    fn count(&self, account: &Account, counter: impl Fn(&mut Sends) -> &mut u64) {
        *counter(lock(&self.sends).entry(account.clone()).or_default()) += 1;
    }

    fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-9000-{number:012x}")
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(handle).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(state)
}

/// A call as it came, to be passed on unchanged.
struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// In which region it was meant to be answered: its credentials say so.
    fn region(&self) -> &str {
        let authorization = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        authorization.and_then(|value| value.split('/').nth(2)).unwrap_or(REGION)
    }
}

async fn handle(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str).to_owned();
    let call = Call { method, path, headers, body };
    let Some(account) = account_of(&call.headers) else {
        return refuse(&state, "MissingAuthenticationToken", "Request is missing Authentication Token");
    };
    // A body that is no form has no action, and is passed on.
    let parameters: Parameters = form(&call.body);
    match parameters.get("Action").map(String::as_str) {
        Some("SendEmail") => send_email(state, &account, &call, Mail::from_parameters(&parameters)).await,
        Some("GetSendQuota") => send_quota(&state, &account),
        _ => pass_on(&state, &call).await.into_response(),
    }
}

async fn send_email(state: Arc<State>, account: &Account, call: &Call, mail: Mail) -> Response {
    if state.unverified.load(Ordering::Relaxed) {
        state.count(account, |sends| &mut sends.failed);
        let message = format!(
            "Email address is not verified. The following identities failed the check in region {}: {}",
            call.region().to_uppercase(),
            mail.source
        );
        return refuse(&state, "MessageRejected", &message);
    }
    match state.limits.admit(account, mail.destination.len()) {
        Ok(()) => {}
        Err(Limit::Rate) => {
            state.count(account, |sends| &mut sends.throttled);
            return refuse(&state, "Throttling", "Maximum sending rate exceeded.");
        }
        Err(Limit::Day) => {
            state.count(account, |sends| &mut sends.over_quota);
            return refuse(&state, "Throttling", "Daily message quota exceeded.");
        }
    }
    match pass_on(&state, call).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            state.count(account, |sends| &mut sends.taken);
            if let Some(message_id) = message_id(&answer.body) {
                publish(&state, account, &mail, &message_id);
            }
            if state.sends(account).taken == state.unanswered.load(Ordering::Relaxed) {
                state.is_unanswered.store(true, Ordering::Relaxed);
                // Until the one who asked is gone.
                std::future::pending::<()>().await;
            }
            answer.into_response()
        }
        refused_or_lost => {
            state.count(account, |sends| &mut sends.failed);
            refused_or_lost.into_response()
        }
    }
}

/// Publishes a mail's events, if somebody wants to hear of them. It is no part of the answer, in SES neither.
fn publish(state: &Arc<State>, account: &Account, mail: &Mail, message_id: &str) {
    let topic = mail.configuration_set.as_ref().and_then(|set| {
        let topics = lock(&state.topics);
        topics.get(&(account.clone(), set.clone())).cloned()
    });
    let emulator = lock(&state.emulator).clone();
    let (Some(topic), Some(emulator), true) = (topic, emulator, state.publishes_events) else { return };
    let events = events::of(mail, message_id, account, Utc::now());
    let (state, account) = (Arc::clone(state), account.clone());
    tokio::spawn(async move {
        for event in events {
            if publish_one(&emulator, &account, &topic, &event).await.is_ok() {
                state.count(&account, |sends| &mut sends.events);
            }
        }
    });
}

async fn publish_one(emulator: &str, account: &Account, topic: &str, event: &Value) -> crate::Result<()> {
    // arn:aws:sns:REGION:ACCOUNT:NAME
    let region = topic.split(':').nth(3).unwrap_or(REGION);
    let sns = Client::new(emulator.to_owned(), account.clone()).in_region(region);
    let message = event.to_string();
    let parameters = [("TopicArn", topic), ("Message", &message)];
    let _: IgnoredAny = sns.query(SNS, "Publish", &parameters).await?;
    Ok(())
}

fn send_quota(state: &State, account: &Account) -> Response {
    let [per_day, per_second, sent] = state.limits.quota(account);
    let request_id = state.next_request_id();
    let xml = format!(
        "<GetSendQuotaResponse xmlns=\"{NAMESPACE}\"><GetSendQuotaResult>\
         <Max24HourSend>{per_day:.1}</Max24HourSend><MaxSendRate>{per_second:.1}</MaxSendRate>\
         <SentLast24Hours>{sent:.1}</SentLast24Hours></GetSendQuotaResult>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetSendQuotaResponse>"
    );
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}

/// SES has HTTP status 400 for all of these, throttling included.
fn refuse(state: &State, code: &str, message: &str) -> Response {
    match refusal_xml(NAMESPACE, code, message, &state.next_request_id()) {
        Ok(xml) => (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/xml")], xml).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The emulator's answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// Why a call could not be passed on: the emulator is not there.
struct Unreachable(String);

impl IntoResponse for Unreachable {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, self.0).into_response()
    }
}

async fn pass_on(state: &State, call: &Call) -> Result<Answer, Unreachable> {
    let emulator = lock(&state.emulator).clone();
    let emulator = emulator.ok_or_else(|| Unreachable("nobody has said where the emulator is".to_owned()))?;
    let mut headers = call.headers.clone();
    // These are about the connection, and the client makes its own.
    for name in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
        headers.remove(name);
    }
    let url = format!("{emulator}{}", call.path);
    let request = state.http.request(call.method.clone(), url).headers(headers).body(call.body.clone());
    let unreachable = |error: reqwest::Error| Unreachable(error.to_string());
    let answer = request.send().await.map_err(unreachable)?;
    let mut headers = HeaderMap::new();
    headers
        .extend(answer.headers().get(header::CONTENT_TYPE).map(|kind| (header::CONTENT_TYPE, kind.clone())));
    let status = answer.status();
    Ok(Answer { status, headers, body: answer.bytes().await.map_err(unreachable)? })
}

pub(super) fn form(body: &[u8]) -> Parameters {
    form_urlencoded::parse(body).into_owned().collect()
}

fn message_id(answer: &[u8]) -> Option<String> {
    let answer: SendEmailResponse = quick_xml::de::from_str(str::from_utf8(answer).ok()?).ok()?;
    Some(answer.result.message_id)
}

#[derive(Deserialize)]
struct SendEmailResponse {
    #[serde(rename = "SendEmailResult")]
    result: SendEmailResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmailResult {
    message_id: String,
}
