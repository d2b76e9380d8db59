//! Feeds functions from queues as Lambda does, for an emulator that cannot: the deployed functions' binaries,
//! each process with a Runtime API of its own, and a poller of the function's queue.
//!
//! As Lambda does, it delivers batches of up to `BatchSize` messages with SQS's attributes, to as many
//! processes as `MaximumConcurrency` says, each with one batch at a time. If an answer has
//! `batchItemFailures`, it deletes the other messages, and those come back when their visibility timeout
//! ends. If a process dies, exceeds the function's timeout or reports an error, the whole batch comes back.
//! Unlike Lambda, it limits no memory and counts no retries: the queue's redrive policy does.
//!
//! No process outlives this: the emulator's launcher is the parent of them all.
//!
//! # Layout
//!
//! * `runtime_api`: serves events to a process and takes its answers.
//! * `sqs`: messages, and the events made of them.

mod runtime_api;
mod sqs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::deployment::{Deployment, event_source_mappings};
use crate::emulator::EMULATOR_VARIABLE;
use crate::functions::{Function, Packages};
use crate::launcher::Launched;
use crate::run_directory::RunDirectory;
use crate::{Error, Result, venv};
pub use runtime_api::{Invocation, RuntimeApi, Sign};
use sqs::{Message, Queue};

/// How often a process is looked at whether it is still there.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often an empty queue is looked at.
const RECEIVE_INTERVAL: Duration = Duration::from_millis(250);
/// After a call of the runtime's own failed.
const PAUSE: Duration = Duration::from_millis(500);

/// How it differs from Lambda on its best day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often each message of the findings queue is delivered: twice in one batch, and all of the batch
    /// once more.
    pub deliveries_per_finding: usize,
}

/// A deployment's functions at work. Dropping it ends them.
pub struct LambdaRuntime {
    shared: Arc<Shared>,
    fed: Vec<Arc<Fed>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all processes share.
struct Shared {
    python: PathBuf,
    invocations: AtomicU64,
    /// The process groups there are, by function and instance.
    groups: Mutex<BTreeMap<(Function, usize), Pid>>,
    /// The logs of all processes there were.
    runs: Mutex<Vec<(Function, Arc<RunDirectory>)>>,
    /// Calls of the runtime's own that failed.
    troubles: Mutex<Vec<String>>,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A function, and the queue that feeds it.
struct Fed {
    function: Function,
    executable: PathBuf,
    variables: Vec<(String, String)>,
    arn: String,
    timeout: Duration,
    instances: usize,
    deliveries: usize,
    queue: Queue,
    /// Held while the queue is asked for messages: of the instances that are idle, one asks.
    receiving: tokio::sync::Mutex<()>,
}

impl LambdaRuntime {
    /// Starts feeding a deployment's functions. Their processes find AWS at these endpoints, which are
    /// variables such as `AWS_ENDPOINT_URL`; each is started with its first batch.
    ///
    /// # Errors
    ///
    /// Whatever the calls to Lambda answer, and [`Error::Template`] if a function is fed by no queue.
    pub async fn start(
        deployment: &Deployment,
        packages: &Packages,
        endpoints: &[(String, String)],
        options: Options,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            python: venv::python(venv::SECOND_EMULATOR, &|_| ()).await?,
            invocations: AtomicU64::default(),
            groups: Mutex::default(),
            runs: Mutex::default(),
            troubles: Mutex::default(),
        });
        let mappings = event_source_mappings(&deployment.aws).await?;
        let mut fed = Vec::new();
        for function in Function::ALL {
            let one = Fed::of(deployment, packages, function, &mappings, endpoints, options).await?;
            fed.push(Arc::new(one));
        }
        let mut tasks = Vec::new();
        for fed in &fed {
            for instance in 0..fed.instances {
                tasks.push(tokio::spawn(feed(Arc::clone(&shared), Arc::clone(fed), instance)));
            }
        }
        Ok(Self { shared, fed, tasks })
    }

    /// Invokes a function with an event that comes from no queue, as a schedule does, and waits for its
    /// answer.
    ///
    /// # Errors
    ///
    /// [`Error::Measured`] with the function's log if it fails.
    pub async fn invoke(&self, function: Function, event: Value) -> Result<String> {
        let fed = self.fed.iter().find(|fed| fed.function == function);
        let fed = fed.ok_or_else(|| unknown(function))?;
        let mut process = Process::start(&self.shared, fed, fed.instances).await?;
        process.invoke(&self.shared, fed, event).await.map_err(|what| process.failed(&what))
    }

    /// Kills all processes of a function in a way they cannot notice. How many there were.
    #[must_use]
    pub fn kill(&self, function: Function) -> usize {
        let groups = lock(&self.shared.groups);
        let its = groups.iter().filter(|((of, _), _)| *of == function);
        its.filter(|(_, group)| kill_process_group(**group, Signal::KILL).is_ok()).count()
    }

    /// All that a function's processes have printed so far.
    #[must_use]
    pub fn log(&self, function: Function) -> String {
        let runs = lock(&self.shared.runs);
        runs.iter().filter(|(of, _)| *of == function).map(|(_, run)| run.log_text()).collect()
    }

    /// Calls to AWS of the runtime's own that failed.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        lock(&self.shared.troubles).clone()
    }
}

impl Drop for LambdaRuntime {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn unknown(function: Function) -> Error {
    Error::Unreadable {
        call: "lambda:ListEventSourceMappings".to_owned(),
        detail: format!("nothing feeds the {}", function.binary()),
    }
}

impl Fed {
    async fn of(
        deployment: &Deployment,
        packages: &Packages,
        function: Function,
        mappings: &[Value],
        endpoints: &[(String, String)],
        options: Options,
    ) -> Result<Self> {
        let name = deployment.outputs.function_name(function);
        let is_its = |mapping: &&Value| {
            mapping["FunctionArn"].as_str().is_some_and(|arn| arn.rsplit(':').next() == Some(name))
        };
        let mapping = mappings.iter().find(is_its).ok_or_else(|| unknown(function))?;
        let configuration = deployment.configuration(function).await?;
        // moto leaves a number of a mapping in the template a text.
        let number = |value: &Value| value.to_string().trim_matches('"').parse::<u32>().ok();
        let mut variables = deployment.variables_of_process(function).await?;
        variables.extend_from_slice(endpoints);
        variables.push((EMULATOR_VARIABLE.to_owned(), deployment.aws.endpoint().to_owned()));
        let is_repeated = function == Function::Notifier;
        Ok(Self {
            function,
            executable: packages.executable(function).to_owned(),
            variables,
            arn: configuration["FunctionArn"].as_str().unwrap_or_default().to_owned(),
            timeout: Duration::from_secs(
                number(&configuration["Timeout"]).ok_or_else(|| unknown(function))?.into(),
            ),
            // Lambda's own least.
            instances: number(&mapping["ScalingConfig"]["MaximumConcurrency"]).unwrap_or(2) as usize,
            deliveries: if is_repeated { options.deliveries_per_finding } else { 1 },
            queue: Queue::of(&deployment.aws, mapping).ok_or_else(|| unknown(function))?,
            receiving: tokio::sync::Mutex::default(),
        })
    }

    /// The next batch, once there is one.
    async fn receive(&self) -> Result<Vec<Message>> {
        let _only_one_asks = self.receiving.lock().await;
        loop {
            let messages = self.queue.receive(self.deliveries).await?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            // Without SQS's long polling: the emulator handles one request at a time.
            sleep(RECEIVE_INTERVAL).await;
        }
    }
}

/// One instance of a function, fed until this is aborted.
async fn feed(shared: Arc<Shared>, fed: Arc<Fed>, instance: usize) {
    let mut process = None;
    loop {
        if let Err(error) = feed_once(&shared, &fed, instance, &mut process).await {
            lock(&shared.troubles).push(format!("{}: {error}", fed.function.binary()));
            sleep(PAUSE).await;
        }
    }
}

async fn feed_once(
    shared: &Arc<Shared>,
    fed: &Fed,
    instance: usize,
    process: &mut Option<Process>,
) -> Result<()> {
    let messages = fed.receive().await?;
    let running = process.take().and_then(|mut running| (!running.program.has_ended()).then_some(running));
    let mut running = match running {
        Some(running) => running,
        None => Process::start(shared, fed, instance).await?,
    };
    let mut failures = Vec::new();
    for event in fed.queue.events(&messages, fed.deliveries) {
        match running.invoke(shared, fed, event).await {
            Ok(answer) => failures.extend(fed.queue.failures(&answer, &messages)),
            // All of the batch comes back when its visibility timeout ends; the process is replaced.
            Err(_) => return Ok(()),
        }
    }
    *process = Some(running);
    fed.queue.delete(messages.iter().filter(|message| !failures.contains(&message.id()))).await
}

/// A process of a function.
struct Process {
    program: Launched,
    api: RuntimeApi,
    run: Arc<RunDirectory>,
    place: (Function, usize),
    shared: Arc<Shared>,
}

impl Process {
    async fn start(shared: &Arc<Shared>, fed: &Fed, instance: usize) -> Result<Self> {
        let api = RuntimeApi::start().await?;
        // The API's port is no other process's.
        let run = RunDirectory::create(&format!("{}-{}", fed.function.binary(), api.address.port()))?;
        let run = Arc::new(run);
        lock(&shared.runs).push((fed.function, Arc::clone(&run)));
        let mut variables: Vec<(&str, String)> =
            fed.variables.iter().map(|(name, value)| (&**name, value.clone())).collect();
        variables.push(("AWS_LAMBDA_RUNTIME_API", api.address.to_string()));
        let program = Launched::start(&shared.python, &[fed.executable.as_os_str()], &variables, &run)?;
        let place = (fed.function, instance);
        lock(&shared.groups).insert(place, program.group());
        Ok(Self { program, api, run, place, shared: Arc::clone(shared) })
    }

    /// Has it handle an event, and returns its answer, or what became of it instead.
    async fn invoke(&mut self, shared: &Shared, fed: &Fed, event: Value) -> Result<String, String> {
        let number = shared.invocations.fetch_add(1, Ordering::Relaxed);
        self.api.invoke(Invocation {
            request_id: format!("00000000-0000-4000-8000-{number:012}"),
            function_arn: fed.arn.clone(),
            timeout: fed.timeout,
            event,
        });
        let must_end_at = Instant::now() + fed.timeout;
        while Instant::now() < must_end_at {
            match timeout(POLL_INTERVAL, self.api.signs.recv()).await {
                Ok(Some(Sign::Answered(_, answer))) => return Ok(answer),
                Ok(Some(Sign::Failed(error))) => return Err(format!("it failed: {error}")),
                Ok(None) => return Err("its runtime API ended".to_owned()),
                Err(_) if self.program.has_ended() => return Err("it ended".to_owned()),
                Ok(Some(Sign::Polled(_))) | Err(_) => {}
            }
        }
        Err(format!("it did not answer within {} s", fed.timeout.as_secs()))
    }

    fn failed(&self, what: &str) -> Error {
        Error::Measured { what: what.to_owned(), log: self.run.log(), tail: self.run.log_tail() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut groups = lock(&self.shared.groups);
        // Another may have its place already.
        if groups.get(&self.place) == Some(&self.program.group()) {
            groups.remove(&self.place);
        }
    }
}
