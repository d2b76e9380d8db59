//! Other accounts than the one Keynudge is in: which ones are looked after, and what keeps it out of one.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;

use chrono::{TimeDelta, Utc};
use keynudge_testbed::aws::{Account, Client, IAM, ORGANIZATIONS, STS};
use keynudge_testbed::deployment::{Deployment, Parameters, create_member_role};
use keynudge_testbed::emulator;
use keynudge_testbed::emulator_iam;
use keynudge_testbed::functions::Function;
use keynudge_testbed::outbox;
use keynudge_testbed::pipeline::{Patience, Run};
use keynudge_testbed::population::{Keys, Population, Profile, Setting};
use keynudge_testbed::processes;
use keynudge_testbed::simulated_iam::TokenBucket;
use keynudge_testbed::simulated_iam::account::{Role, Settings};
use keynudge_testbed::simulated_organization::{Member, Organization, ROOT, State, Unit};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::support::{
    Ledger, assert_exactly_the_expected_mails, assert_no_dead_letters, deploy, drain, fresh_account, merged,
    run_members, send, shared, start, timestamp,
};

const ROLE: &str = "keynudge-member";
const EXTERNAL_ID: &str = "keynudge-e2e";

/// The unit whose accounts are looked after, one in it, and one beside it.
const CHOSEN: &str = "ou-ab12-11111111";
const INSIDE: &str = "ou-ab12-22222222";
const ELSEWHERE: &str = "ou-ab12-33333333";

/// Far less than what the functions allow themselves. How many calls it throttles depends on how fast they
/// come.
const FEW_CALLS: TokenBucket =
    TokenBucket { rate: NonZeroU32::new(10).unwrap(), burst: NonZeroU32::new(2).unwrap() };

/// An account of an organization on the simulated services.
struct Place {
    client: Client,
    member: Member,
    settings: Settings,
    population: Population,
}

impl Place {
    fn account(&self) -> &Account {
        self.client.account()
    }
}

/// Accounts of a fresh organization, managed from the first, that let it in.
async fn places<const N: usize>(names_and_units: [(&str, &str); N]) -> [Place; N] {
    let shared = shared().await;
    let mut home = None;
    let mut seed = 20;
    names_and_units.map(|(name, unit)| {
        let client = fresh_account(&shared.emulator);
        let trusts = home.get_or_insert_with(|| client.account().clone()).clone();
        let role = Role { name: ROLE.to_owned(), external_id: Some(EXTERNAL_ID.to_owned()), trusts };
        seed += 1;
        Place {
            member: Member::new(client.account().clone(), name).in_unit(unit),
            client,
            settings: Settings { role: Some(role), ..Settings::default() },
            population: Population::mixed(&Setting::default(), 20, seed),
        }
    })
}

/// Has the simulated services know them.
async fn furnish(places: &[Place]) {
    let iam = &shared().await.iam;
    for place in places {
        iam.set_users(place.account(), place.population.users());
        iam.set_account(place.account(), place.settings.clone());
    }
    let members = places.iter().map(|place| place.member.clone()).collect();
    let units = vec![
        Unit::new(CHOSEN, ROOT, "Chosen"),
        Unit::new(INSIDE, CHOSEN, "Inside"),
        Unit::new(ELSEWHERE, ROOT, "Elsewhere"),
    ];
    // Pages are as short as they may be.
    let organization = Organization::of(members);
    iam.add_organization(Organization { units, page_max: 1, begins_empty: true, ..organization });
}

/// Fires the schedule, and waits until the run is over. Returns the processes seen meanwhile that may have to get into an
/// account: one may be replaced by another.
async fn run_as(run: Run<'_>, deployment: &Deployment) -> BTreeSet<PathBuf> {
    let mut processes = BTreeSet::new();
    let on_progress = |_| processes.extend(processes_that_assume_roles(deployment));
    let outcome = deployment.run_as(run, Patience::default(), on_progress).await;
    outcome.unwrap_or_else(|error| panic!("{error}"));
    processes
}

async fn run_of(accounts: usize, deployment: &Deployment) -> BTreeSet<PathBuf> {
    run_as(Run { accounts, ..Run::default() }, deployment).await
}

/// These accounts and no others did not let the producer in.
async fn assert_denied<const N: usize>(deployment: &Deployment, accounts: [&Account; N]) {
    let expected = accounts.map(Account::to_string).into();
    assert_eq!(deployment.accounts_denied().await.unwrap(), expected);
}

/// What a deployment's only run came to in an account.
async fn record(deployment: &Deployment, account: &Account) -> Value {
    let ledger = Ledger::of(deployment).await;
    let run = format!("run#{}", ledger.item("runs")["sk"].as_str().unwrap());
    let records = ledger.0.iter().filter(|item| item["pk"] == *run && item["sk"] == account.as_str());
    let records: Vec<&Value> = records.collect();
    let [record] = records[..] else { panic!("{run} {account}: {:?}", ledger.0) };
    record.clone()
}

/// The processes there are that may have to get into an account.
fn processes_that_assume_roles(deployment: &Deployment) -> impl Iterator<Item = PathBuf> {
    let names = [Function::Producer, Function::Worker].map(|one| deployment.outputs.function_name(one));
    let all = processes::using(deployment.aws.endpoint()).into_iter();
    let of_deployment = all.filter(move |process| {
        let name = process.function_name.as_deref();
        name.is_some_and(|name| names.contains(&name))
    });
    of_deployment.map(|process| process.path)
}

#[tokio::test]
async fn the_owners_in_an_organization_are_mailed_and_no_account_holds_up_another() {
    let mut places = places([
        ("Management", CHOSEN),
        ("Payments", INSIDE),
        ("Throttled", INSIDE),
        ("Denied", CHOSEN),
        ("Excluded", CHOSEN),
        ("Suspended", INSIDE),
        ("Elsewhere", ELSEWHERE),
    ])
    .await;
    let [_, payments, throttled, denied, _, suspended, _] = &mut places;
    payments.settings.alias = Some("corp-payments".to_owned());
    throttled.settings.limit = Some(FEW_CALLS);
    throttled.settings.throttled_at_first = 4;
    denied.settings.role = None;
    suspended.member.state = State::Suspended;
    furnish(&places).await;
    let [home, payments, throttled, denied, excluded, suspended, elsewhere] = &places;
    let parameters = Parameters::unpaced()
        .with("Timing", "testbed")
        .with("Accounts", "organization")
        .with("OrganizationalUnits", CHOSEN)
        .with("ExcludeAccounts", excluded.account().as_str())
        .with("MemberRoleName", ROLE)
        .with("ExternalId", EXTERNAL_ID);
    let deployment = deploy(home.client.clone(), &parameters).await;

    let processes = run_of(4, &deployment).await;

    let looked_after = [home, payments, throttled];
    let population = Population::union(looked_after.map(|place| &place.population));
    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    assert_denied(&deployment, [denied.account()]).await;
    let of_denied = record(&deployment, denied.account()).await;
    assert_eq!((&of_denied["AccountsDenied"], &of_denied["UsersEnqueued"]), (&json!(1), &Value::Null));
    for place in looked_after {
        let record = record(&deployment, place.account()).await;
        assert_eq!(record["UsersChecked"], place.population.totals().checked, "{record}");
        assert_eq!(record["AccountsDenied"].as_u64().unwrap_or_default(), 0, "{record}");
    }

    assert_mails_name_accounts(
        &deployment,
        &[(home, "Management"), (payments, "corp-payments"), (throttled, "Throttled")],
    )
    .await;

    let iam = &shared().await.iam;
    for place in [payments, throttled] {
        let assumed = iam.calls(place.account())["AssumeRole"].answered;
        assert!(assumed > 0);
        // Where processes can be seen.
        if cfg!(target_os = "linux") {
            assert!(assumed <= processes.len() as u64, "{assumed} times by {processes:?}");
        }
    }
    assert!(iam.calls(throttled.account()).values().any(|calls| calls.throttled > 0));
    assert_eq!(iam.calls(home.account()).get("AssumeRole"), None);
    assert_eq!(iam.calls(denied.account()).keys().collect::<Vec<_>>(), ["AssumeRole"]);
    for place in [excluded, suspended, elsewhere] {
        assert!(iam.calls(place.account()).is_empty(), "{:?}", place.member);
    }
}

/// Each mail names the account of its keys, and no other.
async fn assert_mails_name_accounts(deployment: &Deployment, places: &[(&Place, &str)]) {
    let keys = places.iter().flat_map(|(place, name)| {
        let keys = place.population.keys();
        keys.map(move |key| (key.id.as_str(), (place.account().as_str(), *name)))
    });
    let account_of_key: BTreeMap<&str, (&str, &str)> = keys.collect();
    let mut named = BTreeSet::new();
    for mail in outbox::mails(&deployment.aws).await.unwrap() {
        let key = mail.key_ids().into_iter().next().unwrap();
        let (id, name) = account_of_key[key];
        assert!(mail.text.contains(id) && mail.text.contains(name), "{id} {name}: {}", mail.text);
        named.insert(name.to_owned());
    }
    assert_eq!(named.len(), places.len());
}

#[tokio::test]
async fn accounts_that_are_listed_are_looked_after_without_an_organization() {
    let places = places([("Home", ROOT), ("Listed", ROOT), ("Not listed", ROOT)]).await;
    let iam = &shared().await.iam;
    for place in &places {
        iam.set_users(place.account(), place.population.users());
        iam.set_account(place.account(), place.settings.clone());
    }
    let [home, listed, other] = &places;
    let parameters =
        Parameters::unpaced().with("Accounts", listed.account().as_str()).with("ExternalId", EXTERNAL_ID);
    let deployment = deploy(home.client.clone(), &parameters).await;

    run_of(1, &deployment).await;

    assert_exactly_the_expected_mails(&deployment, &listed.population).await;
    assert_no_dead_letters(&deployment).await;
    assert_denied(&deployment, []).await;
    for place in [home, other] {
        assert!(iam.calls(place.account()).is_empty(), "{:?}", place.member);
    }
}

/// What the emulator asks the functions' roles for, and AWS does not: see `permissions.rs`.
async fn allow_what_the_emulator_asks_for(deployment: &Deployment) {
    let actions = ["sqs:SendMessageBatch", "ses:SendEmail", "iam:GetAccessKeyLastUsed"];
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
    let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    for role in deployment.resources_of_type("AWS::IAM::Role") {
        let policy = [
            ("RoleName", &*role.physical_resource_id),
            ("PolicyName", "as-the-emulator-asks"),
            ("PolicyDocument", &document),
        ];
        let _: IgnoredAny = deployment.aws.query(IAM, "PutRolePolicy", &policy).await.unwrap();
    }
}

/// Makes an account in the client's organization, of which the client's account is the manager.
async fn make_account(manager: &Client, name: &str) -> Client {
    let request = json!({ "AccountName": name, "Email": "aws@corp.example" });
    let answer = manager.json(ORGANIZATIONS, "CreateAccount", &request).await.unwrap();
    let account = answer["CreateAccountStatus"]["AccountId"].as_str().unwrap();
    Client::new(manager.endpoint().to_owned(), account.parse().unwrap())
}

/// With nothing simulated: the emulator's own Organizations, STS and IAM, the role as `infra/member-role.yaml` makes it,
/// and policies enforced. A key is made now, and judged in the future.
#[tokio::test]
async fn functions_and_accounts_decide_together_who_is_let_in() {
    let options = emulator::Options { enforce_iam: true, ..emulator::Options::default() };
    let emulator = start(&options).await;
    let [home, outside] = [(); 2].map(|()| fresh_account(&emulator));
    let organization = home.json(ORGANIZATIONS, "DescribeOrganization", &json!({})).await.unwrap();
    let organization = organization["Organization"]["Id"].as_str().unwrap();
    let member = make_account(&home, "Member").await;
    let of_another = make_account(&home, "Of another organization").await;
    let setting = Setting { everybody: true, ..Setting::default() };
    let mut populations = Vec::new();
    for (aws, seed) in [&home, &member, &outside, &of_another].into_iter().zip(30..) {
        let population = Population::of_profiles(&setting, &[Profile::with(Keys::Stale)], seed);
        populations.push(emulator_iam::create(aws, population, || ()).await.unwrap());
    }
    let parameters = Parameters::unpaced()
        .with("Timing", "testbed")
        .with("Audience", "all")
        .with("AllowAsOf", "true")
        .with("Accounts", "organization")
        .with("ExternalId", EXTERNAL_ID);
    let deployment = deploy(home, &parameters).await;
    allow_what_the_emulator_asks_for(&deployment).await;
    for (aws, lets_in) in [(&member, organization), (&of_another, "o-a1b2c3d4e5"), (&outside, "none")] {
        let parameters = [
            ("ProducerRoleArn", &*deployment.outputs.producer_role_arn),
            ("WorkerRoleArn", &*deployment.outputs.worker_role_arn),
            ("OrganizationId", lets_in),
            ("ExternalId", EXTERNAL_ID),
        ];
        create_member_role(aws, &parameters).await.unwrap_or_else(|error| panic!("{error}"));
    }

    let as_of = timestamp(Utc::now() + TimeDelta::days(100));
    run_as(Run { accounts: 3, as_of: Some(&as_of) }, &deployment).await;
    // Its role lets the functions in, but it is in no organization of theirs.
    let account_id = json!({ "account_id": outside.account().as_str() });
    let scan = merged(run_members(&deployment, &as_of), &account_id).to_string();
    send(&deployment, &deployment.outputs.accounts_queue_url, &scan).await;
    drain(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &Population::union(&populations[..2])).await;
    assert_denied(&deployment, [of_another.account(), outside.account()]).await;
    assert_no_dead_letters(&deployment).await;
    // Whoever else is in Keynudge's account is not let in.
    let role = format!("arn:aws:iam::{}:role/{ROLE}", member.account());
    let request = [("RoleArn", &*role), ("RoleSessionName", "mallory"), ("ExternalId", EXTERNAL_ID)];
    let denied = deployment.aws.query::<IgnoredAny>(STS, "AssumeRole", &request).await;
    assert!(denied.unwrap_err().to_string().contains("AccessDenied"));

    // An account that is listed may be in any organization.
    let listed = parameters.with("Accounts", outside.account().as_str());
    deployment.update(&listed).await.unwrap_or_else(|error| panic!("{error}"));
    allow_what_the_emulator_asks_for(&deployment).await;
    send(&deployment, &deployment.outputs.accounts_queue_url, &scan).await;
    drain(&deployment).await;
    assert_exactly_the_expected_mails(&deployment, &Population::union(&populations[..3])).await;
}
