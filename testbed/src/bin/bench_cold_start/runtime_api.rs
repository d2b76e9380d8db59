//! Lambda's Runtime API, as far as one process with one event needs it.

use std::future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// What an invocation may take: long enough for each function to see no reason for haste.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A sign of life of the process.
#[derive(Debug)]
pub(crate) enum Sign {
    /// It has asked for its first event.
    Polled(Instant),
    /// It has answered the event.
    Answered(Instant, String),
    /// It could not start, or the invocation failed.
    Failed(String),
}

/// The API for one process. It ends when this is dropped.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    pub(crate) signs: UnboundedReceiver<Sign>,
    server: JoinHandle<()>,
}

struct Shared {
    event: Mutex<Option<Value>>,
    signs: UnboundedSender<Sign>,
}

impl RuntimeApi {
    /// Serves an API that has this event, and no other after it.
    pub(crate) async fn with(event: Value) -> Result<Self> {
        let (sender, signs) = unbounded_channel();
        let shared = Arc::new(Shared { event: Mutex::new(Some(event)), signs: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(failed))
            .with_state(shared);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serve = async move {
            // It has nothing to report to anybody.
            let _ = axum::serve(listener, router).await;
        };
        Ok(Self { address, signs, server: tokio::spawn(serve) })
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn tell(&self, sign: Sign) {
        // Nobody listens any more once the process is to end.
        let _ = self.signs.send(sign);
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let polled_at = Instant::now();
    let event = shared.event.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(event) = event else {
        return future::pending().await;
    };
    shared.tell(Sign::Polled(polled_at));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", REQUEST_ID.to_owned()),
        ("lambda-runtime-deadline-ms", (now + TIMEOUT).as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:0:function:keynudge".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(State(shared): State<Arc<Shared>>, answer: String) -> StatusCode {
    shared.tell(Sign::Answered(Instant::now(), answer));
    StatusCode::ACCEPTED
}

async fn failed(State(shared): State<Arc<Shared>>, error: String) -> StatusCode {
    shared.tell(Sign::Failed(error));
    StatusCode::ACCEPTED
}
