//! Proxies in which calls to AWS fail, in every way in which they can, in the shape in which each service fails.
//!
//! They are microburst's, all in one child process that cannot outlive this one (`emulator/faults.py`): one in front of
//! the emulator, one of the simulated IAM, one of the simulated SES. Only the functions are behind them; Lambda's Runtime
//! API is a server of the emulator's own for each function, and the testbed talks to all of them directly.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::launcher::Launched;
use crate::run_directory::RunDirectory;
use crate::{Error, Result, venv};

/// How long the proxies may take to read the services' models, which takes seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What they print once they are ready, before their ports.
const READY: &str = "listening on ";

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service says that there are too many calls.
    Throttle,
    /// The service says that something is wrong with it.
    ServerError,
    /// The connection is reset before the call is passed on.
    LostCall,
    /// The connection is reset after the call took effect, in the middle of the answer.
    LostAnswer,
    /// The call takes effect, late.
    Late,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Throttle, Self::ServerError, Self::LostCall, Self::LostAnswer, Self::Late];

    /// By how much a late call is late.
    const DELAY: Duration = Duration::from_secs(2);

    /// What it does to a service's call, as microburst has it.
    fn effect(self, service: Service) -> Value {
        match self {
            Self::Throttle => {
                let (code, message) = service.throttle();
                json!({ "error": { "code": code, "status": 400, "message": message } })
            }
            Self::ServerError => json!({ "error": { "code": service.server_error(), "status": 500 } }),
            Self::LostCall => json!({ "reset": true }),
            Self::LostAnswer => json!({ "response": { "abort_bytes": 0 } }),
            Self::Late => json!({ "latency": Self::DELAY.as_millis() }),
        }
    }
}

/// A service whose calls can fail.
#[derive(Clone, Copy, Debug)]
enum Service {
    DynamoDb,
    Iam,
    Ses,
    Sqs,
}

impl Service {
    /// As signatures name it.
    fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Iam => "iam",
            Self::Ses => "ses",
            Self::Sqs => "sqs",
        }
    }

    fn throttle(self) -> (&'static str, &'static str) {
        match self {
            Self::DynamoDb => ("ThrottlingException", "Rate of requests exceeds the allowed throughput."),
            Self::Iam => ("Throttling", "Rate exceeded"),
            Self::Ses => ("Throttling", "Maximum sending rate exceeded."),
            Self::Sqs => ("RequestThrottled", "Request throttled."),
        }
    }

    fn server_error(self) -> &'static str {
        match self {
            Self::DynamoDb => "InternalServerError",
            Self::Iam => "ServiceFailure",
            Self::Ses => "InternalFailure",
            Self::Sqs => "InternalError",
        }
    }
}

/// How much fails, and how.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// The same seed draws the same lots. Which call draws which depends on their order.
    pub seed: u64,
    /// The share of the calls that fail, from 0 to 1.
    pub share: f64,
    /// In which ways, equally often.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Every fifth call fails, in all ways.
    #[must_use]
    pub fn chaos(seed: u64) -> Self {
        Self { seed, share: 0.2, faults: Fault::ALL.to_vec() }
    }

    /// A service's rules. The first that fires ends the matter, so that each is asked only about what is left by those
    /// before it.
    fn rules(&self, service: Service) -> Vec<Value> {
        let kinds = self.faults.iter().zip(0_u32..);
        #[expect(clippy::cast_precision_loss, reason = "there are five faults")]
        let each = self.share / self.faults.len() as f64;
        kinds
            .map(|(fault, before)| {
                let mut rule = fault.effect(service);
                rule["service"] = json!(service.name());
                rule["probability"] = json!(each / (1.0 - each * f64::from(before)));
                rule
            })
            .collect()
    }

    /// All proxies, in the order of [`Endpoints::in_order`].
    fn proxies(&self) -> [Vec<Value>; 3] {
        let aws = [Service::DynamoDb, Service::Sqs].iter().flat_map(|service| self.rules(*service));
        [aws.collect(), self.rules(Service::Iam), self.rules(Service::Ses)]
    }
}

/// Where what is.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Everything that is not one of the following.
    pub aws: String,
    /// IAM.
    pub iam: String,
    /// SES.
    pub ses: String,
}

impl Endpoints {
    fn in_order(&self) -> [&str; 3] {
        [&self.aws, &self.iam, &self.ses]
    }
}

/// Running proxies. Dropping them ends them.
#[derive(Debug)]
pub struct FaultProxies {
    // Nobody asks for it, but it ends with this; the files are removed then.
    _program: Launched,
    run: RunDirectory,
    endpoints: Endpoints,
    http: reqwest::Client,
}

impl FaultProxies {
    /// Starts them, warm. Until they are told where to, by [`pass_on_to`](Self::pass_on_to), they pass nothing on: the
    /// emulator has to be told of them first. `report` hears of the steps that take time.
    ///
    /// # Errors
    ///
    /// [`Error::Faults`] if they do not come up, and whatever [`venv::python`] says.
    pub async fn start(plan: &FaultPlan, report: &impl Fn(&str)) -> Result<Self> {
        let python = venv::python(venv::FAULTS, report).await?;
        report("starting the fault injector");
        let run = RunDirectory::create("faults")?;
        let path = run.state().join("plan.json");
        let content = json!({ "seed": plan.seed, "proxies": plan.proxies() });
        fs::write(&path, content.to_string()).map_err(Error::file("writing", &path))?;
        let mut program = Launched::start(&python, &["faults.py".as_ref(), path.as_os_str()], &[], &run)?;
        let [aws, iam, ses] = wait_until_ready(&mut program, &run).await?;
        let endpoints = Endpoints { aws, iam, ses };
        Ok(Self { _program: program, run, endpoints, http: crate::aws::http_client() })
    }

    /// Where they listen.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Says what they are in front of.
    ///
    /// # Errors
    ///
    /// [`Error::Faults`] if they are gone.
    pub async fn pass_on_to(&self, upstream: &Endpoints) -> Result<()> {
        for (proxy, upstream) in self.endpoints.in_order().iter().zip(upstream.in_order()) {
            let request = self.http.put(format!("{proxy}/_testbed/upstream")).body(upstream.to_owned());
            let answer = request.send().await.and_then(reqwest::Response::error_for_status);
            answer.map_err(|error| self.failed(&error.to_string()))?;
        }
        Ok(())
    }

    /// How many calls have failed so far.
    ///
    /// # Errors
    ///
    /// [`Error::Faults`] if they are gone.
    pub async fn injected(&self) -> Result<u64> {
        Ok(self.injected_by_kind().await?.values().sum())
    }

    /// The same, by service and kind, such as `ses reset`.
    ///
    /// # Errors
    ///
    /// [`Error::Faults`] if they are gone.
    pub async fn injected_by_kind(&self) -> Result<BTreeMap<String, u64>> {
        let mut injected = BTreeMap::new();
        for proxy in self.endpoints.in_order() {
            let url = format!("{proxy}/_microburst/stats");
            let failed = |error: reqwest::Error| self.failed(&error.to_string());
            let answer = self.http.get(url).send().await.map_err(failed)?;
            let Stats { by_rule, by_service } = answer.json().await.map_err(failed)?;
            let service = by_service.iter().map(|one| &*one.service).collect::<Vec<_>>().join("+");
            for rule in by_rule {
                *injected.entry(format!("{service} {}", rule.describe)).or_default() += rule.fired;
            }
        }
        Ok(injected)
    }

    fn failed(&self, what: &str) -> Error {
        failed(&self.run, what)
    }
}

async fn wait_until_ready(program: &mut Launched, run: &RunDirectory) -> Result<[String; 3]> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if program.has_ended() {
            return Err(failed(run, "ended at their start"));
        }
        let log = fs::read_to_string(run.log()).unwrap_or_default();
        let ports = log.lines().find_map(|line| serde_json::from_str(line.strip_prefix(READY)?).ok());
        if let Some(ports) = ports {
            let ports: [u16; 3] = ports;
            return Ok(ports.map(|port| format!("http://127.0.0.1:{port}")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(failed(run, "did not answer in time"))
}

fn failed(run: &RunDirectory, what: &str) -> Error {
    Error::Faults { what: what.to_owned(), log: run.log(), tail: run.log_tail() }
}

#[derive(Deserialize)]
struct Stats {
    by_rule: Vec<RuleStats>,
    by_service: Vec<ServiceStats>,
}

#[derive(Deserialize)]
struct RuleStats {
    describe: String,
    fired: u64,
}

#[derive(Deserialize)]
struct ServiceStats {
    service: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chance that a call meets each of these rules, one after another.
    fn chances(rules: &[Value]) -> Vec<f64> {
        let mut left = 1.0;
        let probabilities = rules.iter().filter_map(|rule| rule["probability"].as_f64());
        probabilities
            .map(|probability| {
                let chance = left * probability;
                left -= chance;
                chance
            })
            .collect()
    }

    #[test]
    fn all_faults_are_equally_likely_and_make_up_their_share() {
        let rules = FaultPlan::chaos(1).rules(Service::Sqs);
        let chances = chances(&rules);
        assert_eq!(chances.len(), Fault::ALL.len());
        for chance in chances {
            assert!((chance - 0.04).abs() < 1e-9, "{chance}");
        }
    }
}
