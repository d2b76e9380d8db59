//! The roles of the template are enough, and nothing in them is too much.
//!
//! On an emulator that enforces IAM policies, the pipeline runs with the template's roles alone. Then it runs without
//! each single grant, one action on one resource, and each time something breaks. The emulator does not ask for all that
//! AWS asks for; the grants it never asks for are listed with the reason they are made. The two lists are all that the
//! template grants, and a snapshot says it word for word, since nothing else here would miss what the emulator does not
//! judge: on which identity and configuration set a mail is sent, on which user a last use is asked for, whether an account
//! belongs to the organization of a role that is assumed (tests of the template's text are about that), and what KMS,
//! boundaries and `DynamoDB`'s resource policies say, which it does not have. It judges `lambda:SourceFunctionArn`,
//! `ses:FromAddress`, `ses:Recipients` and `dynamodb:LeadingKeys`, each with another value once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use keynudge_testbed::aws::{IAM, REGION, SQS};
use keynudge_testbed::deployment::{Deployment, Members, Parameters, Resource};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::emulator_iam;
use keynudge_testbed::function_logs::LogEvent;
use keynudge_testbed::functions::Function;
use keynudge_testbed::outbox::{self, Queues, queue_name};
use keynudge_testbed::population::{Contact, Keys, Population, Profile, Setting};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    Ledger, assert_log_is_private, bounce, deploy, drain, finding, fresh_account, merged, run_members,
    secrets_of, send, start, timestamp,
};

const DEADLINE: Duration = Duration::from_mins(10);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Deployments at a time.
const CONCURRENCY: usize = 4;

/// One action a role may do on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    /// What the template calls the role.
    role: String,
    action: String,
    /// As the policy has it.
    arn: String,
    /// Under what it holds, if not always.
    condition: Option<Value>,
    /// What the template calls the resource, or the end of the ARN if it is none of the stack's.
    resource: String,
}

/// What shows whether a grant is there.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// A run that the schedule starts, and that ends in a mail.
    Schedule,
    /// A scan that ends in a mail.
    Scan,
    /// A finding that is too old to be mailed.
    OldFinding,
    /// A bounce of a mail.
    Bounce,
    /// A record that ends in the dead-letter queue of the named function.
    BadRecord(Function),
}

/// Delaying a record that is given back, for which something else has to be denied as well.
const DELAY: &str = "sqs:ChangeMessageVisibility";

/// The grants the emulator asks for: whose role has it, action, resource, and what shows it.
const NEEDED: [(Function, &str, &str, Probe); 28] = [
    (Function::Producer, "iam:ListUsers", "*", Probe::Scan),
    (Function::Producer, "iam:ListAccountAliases", "*", Probe::Scan),
    (Function::Producer, "sqs:SendMessage", "AccountsQueue", Probe::Schedule),
    (Function::Producer, "sqs:SendMessage", "UsersQueue", Probe::Scan),
    (Function::Producer, "sqs:SendMessage", "AccountsDeadLetterQueue", Probe::BadRecord(Function::Producer)),
    (Function::Producer, "dynamodb:UpdateItem", "LedgerTable", Probe::Scan),
    (Function::Producer, DELAY, "AccountsQueue", Probe::Scan),
    (Function::Worker, "iam:ListAccessKeys", "user/*", Probe::Scan),
    (Function::Worker, "iam:ListUserTags", "user/*", Probe::Scan),
    (Function::Worker, "iam:GetAccessKeyLastUsed", "user/*", Probe::Scan),
    (Function::Worker, "sqs:SendMessage", "FindingsQueue", Probe::Scan),
    (Function::Worker, "sqs:SendMessage", "UsersDeadLetterQueue", Probe::BadRecord(Function::Worker)),
    (Function::Worker, "dynamodb:GetItem", "LedgerTable", Probe::Scan),
    (Function::Worker, "dynamodb:UpdateItem", "LedgerTable", Probe::Scan),
    (Function::Worker, DELAY, "UsersQueue", Probe::Scan),
    (Function::Notifier, "ses:SendEmail", "identity/*", Probe::Scan),
    (Function::Notifier, "ses:GetSendQuota", "*", Probe::Scan),
    (Function::Notifier, "sqs:SendMessage", "UsersQueue", Probe::OldFinding),
    (Function::Notifier, "sqs:SendMessage", "FindingsDeadLetterQueue", Probe::BadRecord(Function::Notifier)),
    (Function::Notifier, "dynamodb:GetItem", "LedgerTable", Probe::Scan),
    (Function::Notifier, "dynamodb:PutItem", "LedgerTable", Probe::Scan),
    (Function::Notifier, "dynamodb:UpdateItem", "LedgerTable", Probe::Scan),
    (Function::Notifier, DELAY, "FindingsQueue", Probe::Scan),
    (Function::Feedback, "sqs:SendMessage", "FeedbackDeadLetterQueue", Probe::BadRecord(Function::Feedback)),
    (Function::Feedback, "dynamodb:GetItem", "LedgerTable", Probe::Bounce),
    (Function::Feedback, "dynamodb:PutItem", "LedgerTable", Probe::Bounce),
    (Function::Feedback, "dynamodb:UpdateItem", "LedgerTable", Probe::Bounce),
    (Function::Feedback, DELAY, "FeedbackQueue", Probe::Bounce),
];

const POLLS: &str = "Lambda polls the queue as the role; the emulator reads it without asking";
const LOGS: &str = "Lambda writes the log as the role; the emulator writes it without asking";
const STARTS: &str = "Scheduler acts as the role; the emulator's schedule asks nobody";

/// The grants the emulator never asks for, or not with these probes: role, action, resource, and why AWS does.
const NOT_ENFORCED: [(&str, &str, &str, &str); 25] = [
    ("ProducerRole", "sqs:ReceiveMessage", "AccountsQueue", POLLS),
    ("ProducerRole", "sqs:DeleteMessage", "AccountsQueue", POLLS),
    ("ProducerRole", "sqs:GetQueueAttributes", "AccountsQueue", POLLS),
    ("ProducerRole", "sqs:SendMessage", "ProducerFailuresQueue", "Lambda reports failed starts as the role"),
    ("ProducerRole", "logs:CreateLogStream", "ProducerLogGroup", LOGS),
    ("ProducerRole", "logs:PutLogEvents", "ProducerLogGroup", LOGS),
    ("WorkerRole", "sqs:ReceiveMessage", "UsersQueue", POLLS),
    ("WorkerRole", "sqs:DeleteMessage", "UsersQueue", POLLS),
    ("WorkerRole", "sqs:GetQueueAttributes", "UsersQueue", POLLS),
    ("WorkerRole", "logs:CreateLogStream", "WorkerLogGroup", LOGS),
    ("WorkerRole", "logs:PutLogEvents", "WorkerLogGroup", LOGS),
    ("NotifierRole", "ses:SendEmail", "configuration-set/*", "SES asks for it beside the identity"),
    (
        "NotifierRole",
        "sqs:SendMessage",
        "FeedbackQueue",
        "only when the ledger fails between claim and mark, which no policy brings about",
    ),
    ("NotifierRole", "sqs:ReceiveMessage", "FindingsQueue", POLLS),
    ("NotifierRole", "sqs:DeleteMessage", "FindingsQueue", POLLS),
    ("NotifierRole", "sqs:GetQueueAttributes", "FindingsQueue", POLLS),
    ("NotifierRole", "logs:CreateLogStream", "NotifierLogGroup", LOGS),
    ("NotifierRole", "logs:PutLogEvents", "NotifierLogGroup", LOGS),
    ("FeedbackRole", "sqs:ReceiveMessage", "FeedbackQueue", POLLS),
    ("FeedbackRole", "sqs:DeleteMessage", "FeedbackQueue", POLLS),
    ("FeedbackRole", "sqs:GetQueueAttributes", "FeedbackQueue", POLLS),
    ("FeedbackRole", "logs:CreateLogStream", "FeedbackLogGroup", LOGS),
    ("FeedbackRole", "logs:PutLogEvents", "FeedbackLogGroup", LOGS),
    ("ScheduleRole", "lambda:InvokeFunction", "ProducerFunction", STARTS),
    ("ScheduleRole", "sqs:SendMessage", "ScheduleDeadLetterQueue", STARTS),
];

/// The grants of the producer that there are only with the filter by credential report. The emulator asks for both.
const NEEDED_BY_THE_FILTER: [&str; 2] = ["iam:GenerateCredentialReport", "iam:GetCredentialReport"];

impl Grant {
    fn is(&self, role: &str, action: &str, resource: &str) -> bool {
        self.key() == (role, action, resource)
    }

    fn key(&self) -> (&str, &str, &str) {
        (&self.role, &self.action, &self.resource)
    }

    fn is_needed(&self) -> bool {
        NEEDED.iter().any(|(function, action, resource, _)| self.is(role_of(*function), action, resource))
    }

    /// The statement that makes the emulator allow what AWS allows for this grant: the grant as it is, but for how the
    /// emulator differs from AWS in what it asks:
    ///
    /// * for a batch it asks for `sqs:SendMessageBatch`, where AWS asks for `sqs:SendMessage`;
    /// * it judges `ses:SendEmail` without the identity, `iam:GetAccessKeyLastUsed` without the user.
    ///
    /// These are granted here alone, never in the template.
    fn as_the_emulator_asks(&self) -> Value {
        let mut statement = json!({ "Effect": "Allow", "Action": self.action, "Resource": self.arn });
        if let Some(condition) = &self.condition {
            statement["Condition"] = condition.clone();
        }
        match (&*self.action, &*self.resource) {
            ("sqs:SendMessage", _) => {
                statement["Action"] = json!(["sqs:SendMessage", "sqs:SendMessageBatch"]);
            }
            ("ses:SendEmail", "identity/*") | ("iam:GetAccessKeyLastUsed", _) => {
                statement["Resource"] = json!("*");
            }
            _ => {}
        }
        statement
    }

    /// The grant word for word, without what differs from one deployment to the next.
    fn masked(&self, deployment: &Deployment) -> String {
        let account = deployment.aws.account().as_str();
        let stack = deployment.outputs.producer_function_name.trim_end_matches("-producer");
        // In the order of the alphabet, however JSON is kept: what else is built decides about that.
        let sorted = |condition: &Value| {
            let sorted: BTreeMap<String, BTreeMap<String, Value>> =
                serde_json::from_value(condition.clone()).unwrap();
            serde_json::to_string(&sorted).unwrap()
        };
        let condition = self.condition.as_ref().map(|condition| format!(" if {}", sorted(condition)));
        let Self { role, action, arn, .. } = self;
        let line = format!("{role:<12} {action:<27} {arn}{}", condition.unwrap_or_default());
        line.replace(stack, "<stack>").replace(account, "<account>").replace(REGION, "<region>")
    }
}

fn role_of(function: Function) -> &'static str {
    match function {
        Function::Producer => "ProducerRole",
        Function::Worker => "WorkerRole",
        Function::Notifier => "NotifierRole",
        Function::Feedback => "FeedbackRole",
    }
}

/// An emulator that enforces IAM policies, for the tests of this file.
async fn enforcing() -> &'static Emulator {
    static ENFORCING: OnceCell<Emulator> = OnceCell::const_new();
    ENFORCING
        .get_or_init(async || {
            let options = emulator::Options { enforce_iam: true, ..emulator::Options::default() };
            start(&options).await
        })
        .await
}

/// A deployment in an account with one user, whose key is made now and judged in the future. The user is named by an
/// address, which is in what AWS says when it denies a call about the user.
async fn deploy_with_one_owner() -> (Deployment, Population) {
    deploy_with_one_owner_and("none").await
}

/// The same, with this filter.
async fn deploy_with_one_owner_and(user_filter: &str) -> (Deployment, Population) {
    let setting = Setting { everybody: true, ..Setting::default() };
    let profile = Profile { contact: Contact::Name, ..Profile::with(Keys::Stale) };
    // A few users are asked about one by one, with the filter, too.
    let others = if user_filter == "none" { 0 } else { 25 };
    let mut profiles = vec![profile];
    profiles.resize(1 + others, Profile { contact: Contact::Name, ..Profile::with(Keys::None) });
    let population = Population::of_profiles(&setting, &profiles, 6);
    let aws = fresh_account(enforcing().await);
    let population = emulator_iam::create(&aws, population, || ()).await.unwrap();
    let parameters = Parameters::unpaced()
        .with("Audience", "all")
        .with("AllowAsOf", "true")
        .with("UserFilter", user_filter);
    (deploy(aws, &parameters).await, population)
}

/// All that the template's roles grant.
async fn grants_of(deployment: &Deployment) -> Vec<Grant> {
    let mut grants = Vec::new();
    for role in deployment.resources_of_type("AWS::IAM::Role") {
        for policy in inline_policies(deployment, &role.physical_resource_id).await {
            for statement in policy.statements {
                grants.extend(grants_in(&statement, &role.logical_resource_id, deployment));
            }
        }
    }
    grants
}

/// One grant for each action on each resource.
fn grants_in(statement: &Statement, role: &str, deployment: &Deployment) -> Vec<Grant> {
    assert_eq!(statement.effect, "Allow", "{role}: {}", statement.sid);
    let mut grants = Vec::new();
    for action in many(&statement.action) {
        for arn in many(&statement.resource) {
            let arn = arn.as_str().unwrap();
            grants.push(Grant {
                role: role.to_owned(),
                action: action.as_str().unwrap().to_owned(),
                arn: arn.to_owned(),
                condition: statement.condition.clone(),
                resource: resource_name(arn, deployment),
            });
        }
    }
    grants
}

/// An ARN has a resource's name between colons, a table's behind a slash. That is its id, except for queues, whose id is
/// their URL.
fn resource_name(arn: &str, deployment: &Deployment) -> String {
    let named = |resource: &&Resource| {
        let id = &*resource.physical_resource_id;
        let name = if id.starts_with("http") { queue_name(id) } else { id };
        arn.split(':').any(|part| part.strip_prefix("table/").unwrap_or(part) == name)
    };
    let resource = deployment.resources().iter().find(named);
    let end_of_arn = || arn.rsplit(':').next().unwrap_or(arn);
    resource.map_or_else(end_of_arn, |resource| &resource.logical_resource_id).to_owned()
}

/// Policies have a list wherever there may be more than one thing, or that thing.
fn many(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// Leaves each role with these grants alone; without any, it has no policy, since none may be empty.
async fn allow(deployment: &Deployment, grants: &[Grant]) {
    for role in deployment.resources_of_type("AWS::IAM::Role") {
        let of_role = grants.iter().filter(|grant| grant.role == role.logical_resource_id);
        let statements: Vec<Value> = of_role.map(Grant::as_the_emulator_asks).collect();
        let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let policies = inline_policies(deployment, &role.physical_resource_id).await;
        assert_eq!(policies.len(), 1, "{} has one inline policy", role.logical_resource_id);
        let policy = [("RoleName", &*role.physical_resource_id), ("PolicyName", &*policies[0].name)];
        let (operation, parameters) = if statements.is_empty() {
            ("DeleteRolePolicy", policy.to_vec())
        } else {
            ("PutRolePolicy", [&policy[..], &[("PolicyDocument", &*document)]].concat())
        };
        let _: IgnoredAny = deployment.aws.query(IAM, operation, &parameters).await.unwrap();
    }
}

struct Policy {
    name: String,
    statements: Vec<Statement>,
}

/// A statement of a policy, of which nothing may be overlooked.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    sid: String,
    effect: String,
    action: Value,
    resource: Value,
    condition: Option<Value>,
}

async fn inline_policies(deployment: &Deployment, role: &str) -> Vec<Policy> {
    let aws = &deployment.aws;
    let of_role = [("RoleName", role)];
    let attached: ListAttachedRolePoliciesResponse =
        aws.query(IAM, "ListAttachedRolePolicies", &of_role).await.unwrap();
    assert!(attached.result.policies.member.is_empty(), "{role} has managed policies");
    let inline: ListRolePoliciesResponse = aws.query(IAM, "ListRolePolicies", &of_role).await.unwrap();
    let mut policies = Vec::new();
    for name in inline.result.policies.member {
        let named = [("RoleName", role), ("PolicyName", &name)];
        let answer: GetRolePolicyResponse = aws.query(IAM, "GetRolePolicy", &named).await.unwrap();
        let document = percent_decode_str(&answer.result.document).decode_utf8().unwrap();
        let document: Document = serde_json::from_str(&document).unwrap();
        policies.push(Policy { name, statements: document.statement });
    }
    policies
}

/// What a function was denied: an action, as its log names it.
type Denied = (Function, String);

/// Sets the probe off, waits until it is done or all that is expected was denied, and returns what was.
async fn denied_by(
    probe: Probe,
    expected: &[Denied],
    deployment: &Deployment,
    population: &Population,
) -> BTreeSet<Denied> {
    set_off(probe, deployment, population).await;
    let is_denied = |denied: &BTreeSet<Denied>| {
        !denied.is_empty() && expected.iter().all(|expected| denied.contains(expected))
    };
    wait_until(deployment, probe, async || {
        is_denied(&denied(deployment).await) || is_done(probe, deployment).await
    })
    .await;
    let denied_so_far = denied(deployment).await;
    if is_denied(&denied_so_far) {
        return denied_so_far;
    }
    // What was denied on the way may have been logged between the two looks, and a last use that cannot be read, or a
    // record that cannot be kept, stops no mail.
    drain(deployment).await;
    denied(deployment).await
}

async fn set_off(probe: Probe, deployment: &Deployment, population: &Population) {
    let owner = &population.owners[0];
    let as_of = Utc::now() + TimeDelta::days(100);
    match probe {
        Probe::Schedule => deployment.fire(Some(&timestamp(as_of))).await.unwrap(),
        Probe::Scan => scan(deployment, as_of).await,
        Probe::OldFinding => {
            let finding = merged(
                finding(deployment, owner, Utc::now() - TimeDelta::hours(7)),
                &json!({ "as_of": timestamp(as_of) }),
            );
            send(deployment, &deployment.outputs.findings_queue_url, &finding.to_string()).await;
        }
        Probe::Bounce => {
            scan(deployment, as_of).await;
            wait_until(deployment, probe, async || is_done(Probe::Scan, deployment).await).await;
            drain(deployment).await;
            let bounce = bounce(deployment, owner, &Ledger::of(deployment).await);
            send(deployment, &deployment.outputs.feedback_queue_url, &bounce.to_string()).await;
        }
        Probe::BadRecord(function) => send(deployment, queues_of(deployment, function).0, "{}").await,
    }
}

async fn scan(deployment: &Deployment, as_of: DateTime<Utc>) {
    let scan = run_members(deployment, &timestamp(as_of));
    send(deployment, &deployment.outputs.accounts_queue_url, &scan.to_string()).await;
}

async fn wait_until(deployment: &Deployment, probe: Probe, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        if Instant::now() > deadline {
            let queues = Queues::of(&deployment.aws).await.unwrap();
            panic!("{probe:?}: neither done nor denied\n{}", deployment.report(&queues).await);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What the functions say in their logs that they were denied: the call before ` failed: AccessDenied`.
async fn denied(deployment: &Deployment) -> BTreeSet<Denied> {
    let mut denied = BTreeSet::new();
    for function in Function::ALL {
        for LogEvent { message, .. } in deployment.log(function).await.unwrap() {
            let calls = message.match_indices(" failed: AccessDenied").map(|(end, _)| &message[..end]);
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == ':';
            let names = calls.filter_map(|text| text.rsplit(|c| !is_of_name(c)).next());
            denied.extend(names.map(|name| (function, name.to_owned())));
        }
    }
    denied
}

async fn is_done(probe: Probe, deployment: &Deployment) -> bool {
    match probe {
        Probe::Schedule | Probe::Scan => !outbox::mails(&deployment.aws).await.unwrap().is_empty(),
        Probe::OldFinding => deployment.metrics().await.unwrap().get("FindingsSentBack") > 0,
        Probe::Bounce => deployment.metrics().await.unwrap().get("OwnersNotReached") > 0,
        Probe::BadRecord(function) => {
            let queues = Queues::of(&deployment.aws).await.unwrap();
            !queues.messages(queues_of(deployment, function).1).is_empty()
        }
    }
}

/// A function's queue and its dead-letter queue.
fn queues_of(deployment: &Deployment, function: Function) -> (&str, &str) {
    let outputs = &deployment.outputs;
    match function {
        Function::Producer => (&outputs.accounts_queue_url, &outputs.accounts_dead_letter_queue_url),
        Function::Worker => (&outputs.users_queue_url, &outputs.users_dead_letter_queue_url),
        Function::Notifier => (&outputs.findings_queue_url, &outputs.findings_dead_letter_queue_url),
        Function::Feedback => (&outputs.feedback_queue_url, &outputs.feedback_dead_letter_queue_url),
    }
}

/// Every probe there is ends as it should.
async fn assert_nothing_is_denied(deployment: &Deployment, population: &Population) {
    let bad_records = Function::ALL.map(Probe::BadRecord);
    let others = [Probe::Schedule, Probe::Scan, Probe::Bounce, Probe::OldFinding];
    for probe in others.into_iter().chain(bad_records) {
        assert_eq!(denied_by(probe, &[], deployment, population).await, BTreeSet::new(), "{probe:?}");
    }
}

#[tokio::test]
async fn the_templates_roles_are_enough() {
    let (deployment, population) = deploy_with_one_owner().await;
    allow(&deployment, &grants_of(&deployment).await).await;
    assert_nothing_is_denied(&deployment, &population).await;
}

#[tokio::test]
async fn the_emulator_asks_for_none_of_the_other_grants() {
    let (deployment, population) = deploy_with_one_owner().await;
    let mut grants = grants_of(&deployment).await;
    grants.retain(Grant::is_needed);
    allow(&deployment, &grants).await;
    assert_nothing_is_denied(&deployment, &population).await;
}

/// Nor does what AWS says to a function that is denied something reach a log.
#[tokio::test]
async fn every_grant_that_the_emulator_asks_for_is_needed() {
    let without_each = stream::iter(NEEDED).map(|(function, action, resource, probe)| async move {
        let (deployment, population) = deploy_with_one_owner().await;
        let role = role_of(function);
        let mut grants = grants_of(&deployment).await;
        let all = grants.len();
        grants.retain(|grant| !grant.is(role, action, resource));
        assert_eq!(grants.len(), all - 1, "{role} grants {action} on {resource} once");
        let also = (action == DELAY).then(|| first_call_of(function));
        grants.retain(|grant| grant.role != role || Some(&*grant.action) != also);
        allow(&deployment, &grants).await;
        let expected = [Some(action), also].into_iter().flatten();
        let expected: Vec<Denied> = expected.map(|action| (function, action.to_owned())).collect();
        let denied = denied_by(probe, &expected, &deployment, &population).await;
        assert_eq!(denied, BTreeSet::from_iter(expected), "{role} without {action} on {resource}");
        assert_log_is_private(&deployment, &secrets_of(&population)).await;
    });
    without_each.buffer_unordered(CONCURRENCY).collect::<()>().await;
}

/// A grant under another condition: for whom it is then, and what shows that nobody else has it.
const JUDGED: [(Function, &str, &str, &str); 6] = [
    (Function::Producer, "iam:ListUsers", "-producer\"", "-other\""),
    (Function::Worker, "iam:ListAccessKeys", "-worker\"", "-other\""),
    (Function::Worker, "dynamodb:GetItem", "\"owner#*\"", "\"pilot#owner#*\""),
    (Function::Notifier, "dynamodb:GetItem", "\"owner#*\"", "\"pilot#owner#*\""),
    (Function::Notifier, "ses:SendEmail", "-notifier\"", "-other\""),
    (Function::Notifier, "ses:SendEmail", "*@corp.example", "*@other.example"),
];

/// A role that somebody passes to a function of their own is of no use there, a pilot cannot touch the owners' ledger, and
/// mail goes to the allowed domains, whatever the code does.
#[tokio::test]
async fn a_grant_for_another_function_ledger_or_domain_is_none() {
    let with_each = stream::iter(JUDGED).map(|(function, action, ours, other)| async move {
        let (deployment, population) = deploy_with_one_owner().await;
        let mut grants = grants_of(&deployment).await;
        let role = role_of(function);
        let mut changed = 0;
        for grant in grants.iter_mut().filter(|grant| grant.role == role && grant.action == action) {
            let condition = grant.condition.take().unwrap().to_string();
            changed += usize::from(condition.contains(ours));
            grant.condition = Some(serde_json::from_str(&condition.replace(ours, other)).unwrap());
        }
        assert!(changed > 0, "{role} {action}: no {ours}");
        allow(&deployment, &grants).await;
        let expected = [(function, action.to_owned())];
        let denied = denied_by(Probe::Scan, &expected, &deployment, &population).await;
        assert_eq!(denied, BTreeSet::from(expected), "{role}: {action} for {other}");
    });
    with_each.buffer_unordered(CONCURRENCY).collect::<()>().await;
}

/// `sqs:SendMessage` on everything is common in shared accounts.
#[tokio::test]
async fn where_operators_are_named_nobody_else_sends_to_the_queues_or_receives() {
    let (deployment, population) = deploy_with_one_owner().await;
    allow(&deployment, &grants_of(&deployment).await).await;
    let aws = &deployment.aws;
    let operators = format!("arn:aws:iam::{}:role/operators", aws.account());
    let forged = json!({ "MessageBody": "{}" });
    let put_back = json!({ "VisibilityTimeout": 0 });
    let queue_urls = deployment.outputs.queue_urls().into_iter();
    let queue_urls: Vec<&str> = queue_urls.chain(deployment.outputs.dead_letter_queue_urls()).collect();
    let refusals = async || {
        let mut refusals = Vec::new();
        for url in &queue_urls {
            for (operation, request) in [("SendMessage", &forged), ("ReceiveMessage", &put_back)] {
                let request = merged(request.clone(), &json!({ "QueueUrl": url }));
                let refusal = aws.json(SQS, operation, &request).await.err();
                refusals.extend(refusal.map(|error| format!("{operation} {}: {error}", queue_name(url))));
            }
        }
        refusals
    };
    // Until then, IAM alone decides.
    assert_eq!(refusals().await, [""; 0]);
    drain(&deployment).await;

    let parameters = Parameters::unpaced()
        .with("Audience", "all")
        .with("AllowAsOf", "true")
        .with("OperatorRoleArns", operators);
    // The roles keep what they were left with.
    deployment.update(&parameters).await.unwrap();

    let refusals = refusals().await;
    assert_eq!(refusals.len(), 2 * queue_urls.len(), "{refusals:#?}");
    assert!(refusals.iter().all(|refusal| refusal.contains("AccessDenied")), "{refusals:#?}");
    // The functions are let in as before.
    assert_eq!(denied_by(Probe::Schedule, &[], &deployment, &population).await, BTreeSet::new());
}

/// The call without which a function can only give its record back.
fn first_call_of(function: Function) -> &'static str {
    match function {
        Function::Producer => "iam:ListUsers",
        Function::Worker => "iam:ListAccessKeys",
        Function::Notifier | Function::Feedback => "dynamodb:GetItem",
    }
}

#[tokio::test]
async fn the_roles_grant_what_is_listed_and_nothing_else() {
    let (deployment, _) = deploy_with_one_owner().await;
    let grants = grants_of(&deployment).await;
    let mut granted: Vec<_> = grants.iter().map(Grant::key).collect();
    let needed = NEEDED.map(|(function, action, resource, _)| (role_of(function), action, resource));
    let not_enforced = NOT_ENFORCED.map(|(role, action, resource, _)| (role, action, resource));
    let mut listed = [&needed[..], &not_enforced].concat();
    granted.sort_unstable();
    listed.sort_unstable();
    assert_eq!(granted, listed);

    let mut lines: Vec<String> = grants.iter().map(|grant| grant.masked(&deployment)).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn the_filter_by_credential_report_takes_two_grants_more_and_is_left_out_without_one_of_them() {
    let without_each = [None, Some(0), Some(1)].map(|left_out: Option<usize>| async move {
        let left_out = left_out.map(|at| NEEDED_BY_THE_FILTER[at]);
        let (deployment, population) = deploy_with_one_owner_and("credential-report").await;
        let mut grants = grants_of(&deployment).await;
        assert_eq!(grants.len(), NEEDED.len() + NOT_ENFORCED.len() + NEEDED_BY_THE_FILTER.len());
        for action in NEEDED_BY_THE_FILTER {
            assert!(grants.iter().any(|grant| grant.is("ProducerRole", action, "*")), "{action}");
        }
        grants.retain(|grant| Some(&*grant.action) != left_out);
        allow(&deployment, &grants).await;
        let denied = denied_by(Probe::Scan, &[], &deployment, &population).await;
        let expected = left_out.map(|action| (Function::Producer, action.to_owned()));
        assert_eq!(denied, BTreeSet::from_iter(expected));
        drain(&deployment).await;
        assert!(is_done(Probe::Scan, &deployment).await, "the owner is mailed in any case");
        let unavailable = deployment.metrics().await.unwrap().get("CredentialReportsUnavailable");
        assert_eq!(unavailable, u64::from(left_out.is_some()));
        assert_log_is_private(&deployment, &secrets_of(&population)).await;
    });
    stream::iter(without_each).buffer_unordered(CONCURRENCY).collect::<()>().await;
}

#[derive(Deserialize)]
struct ListAttachedRolePoliciesResponse {
    #[serde(rename = "ListAttachedRolePoliciesResult")]
    result: AttachedPolicies,
}

#[derive(Deserialize)]
struct AttachedPolicies {
    #[serde(rename = "AttachedPolicies")]
    policies: Members<IgnoredAny>,
}

#[derive(Deserialize)]
struct ListRolePoliciesResponse {
    #[serde(rename = "ListRolePoliciesResult")]
    result: PolicyNames,
}

#[derive(Deserialize)]
struct PolicyNames {
    #[serde(rename = "PolicyNames")]
    policies: Members<String>,
}

#[derive(Deserialize)]
struct GetRolePolicyResponse {
    #[serde(rename = "GetRolePolicyResult")]
    result: RolePolicy,
}

#[derive(Deserialize)]
struct RolePolicy {
    #[serde(rename = "PolicyDocument")]
    document: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    statement: Vec<Statement>,
}
