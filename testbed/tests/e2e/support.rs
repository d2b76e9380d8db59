//! What the tests share: the emulator, the built functions, and a fresh account for each.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use keynudge_testbed::Result;
use keynudge_testbed::aws::{Account, Client, SQS};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator::{self, Emulator, Iam, Ses};
use keynudge_testbed::function_logs::LogEvent;
use keynudge_testbed::functions::{Function, Packages, Profile};
use keynudge_testbed::ledger;
use keynudge_testbed::outbox::{self, Queues, Verdict, key_ids_in};
use keynudge_testbed::pipeline::Patience;
use keynudge_testbed::population::{DOMAIN, FOREIGN_DOMAIN, Owner, Population};
use keynudge_testbed::simulated_iam::{Options, SimulatedIam};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The emulator most tests share, and the IAM and SES its functions ask.
pub(crate) struct Shared {
    pub(crate) emulator: Emulator,
    pub(crate) iam: SimulatedIam,
    pub(crate) ses: SimulatedSes,
}

/// Starts the shared emulator with the first test that needs it. It ends with the process.
pub(crate) async fn shared() -> &'static Shared {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            let iam = SimulatedIam::start(&Options::default()).unwrap();
            let options = emulator::Options { iam: Iam::At(iam.endpoint()), ..emulator::Options::default() };
            let (emulator, ses) = start_with_ses(options).await;
            Shared { emulator, iam, ses }
        })
        .await
}

pub(crate) async fn start(options: &emulator::Options) -> Emulator {
    Emulator::start(options, &|_| ()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Starts an emulator whose functions may send mail as fast as they like: its own SES says 14 a second.
pub(crate) async fn start_with_ses(options: emulator::Options) -> (Emulator, SimulatedSes) {
    let ses = SimulatedSes::start(&simulated_ses::Options::default()).unwrap();
    let emulator = start(&emulator::Options { ses: Ses::At(ses.endpoint()), ..options }).await;
    ses.pass_on_to(&emulator.endpoint());
    (emulator, ses)
}

/// Builds the functions with the first test that needs them. If they do not build, no test tries again.
pub(crate) async fn packages() -> &'static Packages {
    static PACKAGES: OnceCell<Result<Packages>> = OnceCell::const_new();
    let packages = PACKAGES.get_or_init(async || Packages::build(Profile::Test).await).await;
    packages.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// A client for an account nobody has used before.
pub(crate) fn fresh_account(emulator: &Emulator) -> Client {
    static ACCOUNTS: AtomicU32 = AtomicU32::new(1);
    let account = Account::nth(ACCOUNTS.fetch_add(1, Ordering::Relaxed));
    Client::new(emulator.endpoint(), account)
}

/// Deploys into a fresh account of the shared emulator, with these users in the simulated IAM.
pub(crate) async fn deploy_with(population: &Population, parameters: &Parameters) -> Deployment {
    let shared = shared().await;
    let aws = fresh_account(&shared.emulator);
    shared.iam.set_users(aws.account(), population.users());
    deploy(aws, parameters).await
}

pub(crate) async fn deploy(aws: Client, parameters: &Parameters) -> Deployment {
    let deployment = Deployment::create(aws, packages().await, parameters).await;
    deployment.unwrap_or_else(|error| panic!("{error}"))
}

/// Fires the schedule, and waits until the run is over.
pub(crate) async fn run(deployment: &Deployment) {
    let outcome = deployment.run(Patience::default(), |_| ()).await;
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Starts a run without the schedule, as of this instant, and waits until it is over.
pub(crate) async fn run_as_of(deployment: &Deployment, as_of: DateTime<Utc>) {
    let scan = run_members(deployment, &timestamp(as_of));
    send(deployment, &deployment.outputs.accounts_queue_url, &scan.to_string()).await;
    drain(deployment).await;
}

/// Waits until there is nothing left to do.
pub(crate) async fn drain(deployment: &Deployment) {
    let outcome = deployment.wait_until_empty(Patience::default(), |_| ()).await;
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Exactly the expected mails were sent, each once.
pub(crate) async fn assert_exactly_the_expected_mails(deployment: &Deployment, population: &Population) {
    let mails = outbox::mails(&deployment.aws).await.unwrap();
    let verdict = Verdict::on(population, &mails);
    assert!(verdict.mistakes.is_empty(), "{}", verdict.mistakes.join("\n"));
}

/// No function has given anything up.
pub(crate) async fn assert_no_dead_letters(deployment: &Deployment) {
    let queues = Queues::of(&deployment.aws).await.unwrap();
    for url in deployment.outputs.dead_letter_queue_urls() {
        assert!(queues.messages(url).is_empty(), "{:?}", queues.messages(url));
    }
}

/// Puts a message on a queue.
pub(crate) async fn send(deployment: &Deployment, queue_url: &str, body: &str) {
    let message = json!({ "QueueUrl": queue_url, "MessageBody": body });
    deployment.aws.json(SQS, "SendMessage", &message).await.unwrap();
}

/// Puts up to ten messages on a queue at once.
pub(crate) async fn send_batch(deployment: &Deployment, queue_url: &str, bodies: &[String]) {
    let entries = bodies.iter().enumerate();
    let entries = entries.map(|(id, body)| json!({ "Id": id.to_string(), "MessageBody": body }));
    let batch = json!({ "QueueUrl": queue_url, "Entries": entries.collect::<Vec<_>>() });
    let answer = deployment.aws.json(SQS, "SendMessageBatch", &batch).await.unwrap();
    assert_eq!(answer["Successful"].as_array().map(Vec::len), Some(bodies.len()), "{answer}");
}

/// What no log may hold: every key id, every address among user names and tags, and any address at their domains.
pub(crate) fn secrets_of(population: &Population) -> Vec<String> {
    let users = population.owners.iter().map(|owner| &owner.user);
    let texts = users.flat_map(|user| user.tags.iter().map(|tag| &tag.value).chain([&user.name]));
    let addresses = texts.filter(|text| text.contains('@')).cloned();
    let at_domains = [DOMAIN, FOREIGN_DOMAIN].map(|domain| format!("@{domain}"));
    let key_ids = population.keys().map(|key| key.id.clone());
    addresses.chain(at_domains).chain(key_ids).collect()
}

/// No function has logged any of the secrets, in whatever case and however glued to other letters, nor anything else
/// that looks like a key id.
pub(crate) async fn assert_log_is_private(deployment: &Deployment, secrets: &[String]) {
    let secrets: Vec<String> = secrets.iter().map(|secret| secret.to_lowercase()).collect();
    for function in Function::ALL {
        for LogEvent { message, .. } in deployment.log(function).await.unwrap() {
            let line = message.to_lowercase();
            let secret = secrets.iter().find(|secret| line.contains(&**secret));
            assert_eq!(secret, None, "the {} logged {message}", function.binary());
            assert!(key_ids_in(&message).is_empty(), "the {} logged {message}", function.binary());
        }
    }
}

/// The members every message has.
pub(crate) fn run_members(deployment: &Deployment, as_of: &str) -> Value {
    json!({
        "v": 1,
        "run_id": "by-hand",
        "as_of": as_of,
        "mode": "live",
        "account_id": deployment.aws.account().as_str(),
    })
}

/// As messages have it.
pub(crate) fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A message with further members.
pub(crate) fn merged(mut message: Value, members: &Value) -> Value {
    let all = message.as_object_mut().unwrap();
    all.extend(members.as_object().unwrap().clone());
    message
}

/// `user` as `CheckUser` and `StaleKeys` have it.
pub(crate) fn user_member(deployment: &Deployment, owner: &Owner) -> Value {
    let user = &owner.user;
    let account = deployment.aws.account();
    json!({
        "name": user.name,
        "id": user.id,
        "arn": format!("arn:aws:iam::{account}:user{}{}", user.path, user.name),
        "created_at": user.created_at,
        "password_last_used": user.password_last_used,
    })
}

/// What the worker says of an owner who is reached by the user name, itself an address or at the default domain, and of
/// each of whose keys it says that it is stale. It looked at them at `checked_at`.
pub(crate) fn finding(deployment: &Deployment, owner: &Owner, checked_at: DateTime<Utc>) -> Value {
    let keys = owner.user.keys.iter().map(|key| {
        let age_days = (checked_at - key.created_at).num_days();
        json!({ "id": key.id, "created_at": key.created_at, "age_days": age_days })
    });
    let (to, found_by) = match &owner.user.name {
        address if address.contains('@') => (address.clone(), "user_name"),
        name => (format!("{name}@{DOMAIN}"), "default_domain"),
    };
    let finding = json!({
        "user": user_member(deployment, owner),
        "recipient": { "to": to, "found_by": found_by },
        "keys": keys.collect::<Vec<_>>(),
        "stage": 1,
        "checked_at": timestamp(checked_at),
    });
    merged(run_members(deployment, &timestamp(checked_at)), &finding)
}

/// What the table holds of owners and runs.
pub(crate) struct Ledger(pub(crate) Vec<Value>);

impl Ledger {
    pub(crate) async fn of(deployment: &Deployment) -> Self {
        let items = ledger::items(&deployment.aws, &deployment.outputs.ledger_table_name).await;
        Self(items.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The only item with this partition key.
    pub(crate) fn item(&self, pk: &str) -> &Value {
        let items: Vec<&Value> = self.0.iter().filter(|item| item["pk"] == pk).collect();
        let [item] = items[..] else { panic!("{pk}: {items:?}, in {:?}", self.0) };
        item
    }

    /// What is known about the mails to an owner.
    pub(crate) fn entry(&self, deployment: &Deployment, owner: &Owner) -> &Value {
        self.item(&format!("owner#{}#{}", deployment.aws.account(), owner.user.id))
    }
}

/// What SES says when an owner's last mail bounced. Who that is and what mail, it knows from the mail's tags.
pub(crate) fn bounce(deployment: &Deployment, owner: &Owner, ledger: &Ledger) -> Value {
    json!({
        "eventType": "Bounce",
        "bounce": { "bounceType": "Permanent", "bounceSubType": "General" },
        "mail": {
            "messageId": "0100-0000",
            "tags": {
                "account_id": [deployment.aws.account().as_str()],
                "user_id": [owner.user.id],
                "claim_id": [ledger.entry(deployment, owner)["history"][0]["claim_id"]],
                "ledger": ["live"],
            },
        },
    })
}
