//! Lambda's Runtime API for one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::{Error, Result, web_pages};

/// What an invocation may take where nothing else is said: long enough for each function to see no reason for
/// haste.
const TIMEOUT: Duration = Duration::from_mins(5);

/// An event for a function, and what Lambda says of it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The invocation's id.
    pub request_id: String,
    /// The function.
    pub function_arn: String,
    /// How long the function may take.
    pub timeout: Duration,
    /// The event.
    pub event: Value,
}

impl Invocation {
    /// An event for a function that is nowhere deployed.
    #[must_use]
    pub fn of(event: Value) -> Self {
        Self {
            request_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            function_arn: "arn:aws:lambda:us-east-1:0:function:keynudge".to_owned(),
            timeout: TIMEOUT,
            event,
        }
    }
}

/// A sign of life of the process.
#[derive(Debug)]
pub enum Sign {
    /// It has asked for an event.
    Polled(Instant),
    /// It has answered an event.
    Answered(Instant, String),
    /// It could not start, or the invocation failed.
    Failed(String),
}

/// The API for one process. It ends when this is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    /// Where the process finds it.
    pub address: SocketAddr,
    /// The process's signs of life.
    pub signs: UnboundedReceiver<Sign>,
    invocations: UnboundedSender<Invocation>,
    server: JoinHandle<()>,
}

struct Shared {
    invocations: Mutex<UnboundedReceiver<Invocation>>,
    signs: UnboundedSender<Sign>,
}

impl RuntimeApi {
    /// Serves an API without an event yet.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if no port is to be had.
    pub async fn start() -> Result<Self> {
        let (sender, signs) = unbounded_channel();
        let (invocations, waiting) = unbounded_channel();
        let shared = Arc::new(Shared { invocations: Mutex::new(waiting), signs: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(failed))
            .with_state(shared);
        let failed = |source| Error::Start { what: "a Runtime API", source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let serve = async move {
            // It has nothing to report to anybody.
            let _ = axum::serve(listener, web_pages::refused(router)).await;
        };
        Ok(Self { address, signs, invocations, server: tokio::spawn(serve) })
    }

    /// Has the process get this event when it asks next.
    pub fn invoke(&self, invocation: Invocation) {
        // The receiver is the server's, which lives as long as this.
        let _ = self.invocations.send(invocation);
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
    shared.tell(Sign::Polled(Instant::now()));
    let Some(invocation) = shared.invocations.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", (now + invocation.timeout).as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", invocation.function_arn),
    ];
    (headers, invocation.event.to_string()).into_response()
}

async fn answered(State(shared): State<Arc<Shared>>, answer: String) -> StatusCode {
    shared.tell(Sign::Answered(Instant::now(), answer));
    StatusCode::ACCEPTED
}

async fn failed(State(shared): State<Arc<Shared>>, error: String) -> StatusCode {
    shared.tell(Sign::Failed(error));
    StatusCode::ACCEPTED
}
