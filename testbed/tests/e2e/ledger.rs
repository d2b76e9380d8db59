//! The ledger: who is told again and when, what a run came to, and what SES says became of a mail.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use keynudge_testbed::aws::{Client, SES};
use keynudge_testbed::deployment::{Deployment, Parameters, SesStack, sender};
use keynudge_testbed::outbox::{self, Mail, Verdict};
use keynudge_testbed::population::{Contact, Expectation, Keys, Owner, Population, Profile, Setting};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time;

use crate::support::{
    Ledger, assert_exactly_the_expected_mails, assert_no_dead_letters, deploy, deploy_with, drain, finding,
    fresh_account, run, run_as_of, send, shared,
};

/// Where SES is, if not where Keynudge is.
const SES_REGION: &str = "eu-west-1";
/// Far more than it takes, on whatever machine.
const DEADLINE: Duration = Duration::from_mins(3);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Owners of keys that are stale and stay so.
fn owners() -> Population {
    let profiles = [Keys::Stale, Keys::TwoStale, Keys::StaleNeverUsed].map(Profile::with);
    Population::of_profiles(&Setting::default(), &profiles, 10)
}

async fn mails(deployment: &Deployment) -> Vec<Mail> {
    outbox::mails(&deployment.aws).await.unwrap()
}

#[tokio::test]
async fn an_owner_is_told_once_and_again_seven_days_later() {
    let population = owners();
    let parameters = Parameters::unpaced().with("AllowAsOf", "true");
    let deployment = deploy_with(&population, &parameters).await;
    let first = Utc::now();
    let calls_about_tags = async || {
        let calls = shared().await.iam.calls(deployment.aws.account());
        usize::try_from(calls["ListUserTags"].answered).unwrap()
    };
    for (days, told_again) in [(0, 0), (0, 0), (6, 0), (7, 1), (7, 1)] {
        run_as_of(&deployment, first + TimeDelta::days(days)).await;
        let told = (1 + told_again) * population.owners.len();
        assert_eq!(calls_about_tags().await, told, "on day {days}: only those who are told are asked about");
        let verdict = Verdict::on(&population, &mails(&deployment).await);
        let expected = (0, told_again * population.owners.len());
        assert_eq!((verdict.lost, verdict.duplicates), expected, "on day {days}: {verdict:?}");
        assert!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
    }
    let ledger = Ledger::of(&deployment).await;
    for owner in &population.owners {
        let entry = ledger.entry(&deployment, owner);
        assert_eq!(entry["history"].as_array().map(Vec::len), Some(2), "{entry}");
        assert!(entry["claim"].is_null(), "{entry}");
    }
}

/// The pilot's mails, which their owners never saw, count for the pilot alone.
#[tokio::test]
async fn going_live_after_a_pilot_tells_everybody() {
    const PILOT: &str = "pilot@corp.example";
    let population = owners();
    let pilot = Parameters::unpaced().with("RedirectAllTo", PILOT);
    let deployment = deploy_with(&population, &pilot).await;
    let all = population.owners.len();
    for _ in 0..2 {
        run_as_of(&deployment, Utc::now()).await;
        let mails = mails(&deployment).await;
        assert!(mails.iter().all(|mail| mail.to == [PILOT]), "{mails:?}");
        assert_eq!(mails.len(), all, "{mails:?}");
    }

    deployment.update(&Parameters::unpaced()).await.unwrap();
    run_as_of(&deployment, Utc::now()).await;

    let mut live = mails(&deployment).await;
    live.retain(|mail| mail.to != [PILOT]);
    let verdict = Verdict::on(&population, &live);
    assert!(verdict.mistakes.is_empty(), "{:?}", verdict.mistakes);
    assert_eq!(mails(&deployment).await.len(), 2 * all);
}

/// What the record of one run says, in its only account.
struct RunRecord<'a>(&'a Value);

impl RunRecord<'_> {
    fn sum(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.0[name].as_u64()).sum()
    }

    /// Nobody is missing between one step and the next.
    fn assert_adds_up(&self) {
        let skipped = [
            "UsersSkippedNeverSignedIn",
            "UsersSkippedOutsidePath",
            "UsersSkippedTooYoung",
            "UsersUnreadable",
        ];
        let after_listing = [&skipped[..], &["UsersEnqueued"]].concat();
        let after_checking = ["MailsSent", "MailsNotDue", "MailsFailed", "WithoutContact", "Exempt"];
        assert_eq!(self.sum(&["UsersListed"]), self.sum(&after_listing), "{}", self.0);
        assert_eq!(self.sum(&["UsersEnqueued"]), self.sum(&["UsersChecked"]), "{}", self.0);
        assert_eq!(self.sum(&["StaleOwners"]), self.sum(&after_checking), "{}", self.0);
        assert_eq!(self.sum(&["Redeliveries"]), 0, "{}", self.0);
    }
}

/// One that tells everybody, and one of the same day that tells nobody.
#[tokio::test]
async fn the_record_of_a_run_adds_up() {
    let setting = Setting { path_prefix: "/people/", ..Setting::default() };
    let population = Population::mixed(&setting, 150, 11);
    let parameters = Parameters::unpaced().with("PathPrefix", setting.path_prefix);
    let deployment = deploy_with(&population, &parameters).await;

    run(&deployment).await;

    let ledger = Ledger::of(&deployment).await;
    let started = ledger.item("runs");
    let record = ledger.item(&format!("run#{}", started["sk"].as_str().unwrap()));
    assert_eq!(record["sk"], deployment.aws.account().as_str());
    assert_eq!((&record["as_of"], &record["mode"]), (&started["as_of"], &started["mode"]));
    RunRecord(record).assert_adds_up();
    let totals = population.totals();
    for (name, expected) in [
        ("UsersListed", totals.users),
        ("UsersSkippedNeverSignedIn", totals.never_signed_in),
        ("UsersSkippedOutsidePath", totals.outside_path),
        ("UsersSkippedTooYoung", totals.too_young),
        ("UsersChecked", totals.checked),
        ("StaleOwners", totals.stale_owners),
        ("Exempt", totals.exempt),
        ("WithoutContact", totals.without_contact),
        ("MailsSent", totals.mails),
    ] {
        assert_eq!(record[name], expected, "{name}: {record}");
    }

    run_as_of(&deployment, Utc::now()).await;

    let ledger = Ledger::of(&deployment).await;
    let record = ledger.item("run#by-hand");
    RunRecord(record).assert_adds_up();
    assert_eq!((&record["MailsNotDue"], &record["MailsSent"]), (&totals.mails.into(), &Value::Null));
}

/// Of the two, one has rotated the key meanwhile.
#[tokio::test]
async fn owners_found_hours_ago_are_checked_again_and_told_if_it_is_still_true() {
    let profiles = [Keys::Stale, Keys::Fresh].map(Profile::with);
    let population = Population::of_profiles(&Setting::default(), &profiles, 12);
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    for owner in &population.owners {
        let finding = finding(&deployment, owner, Utc::now() - TimeDelta::hours(7));
        send(&deployment, &deployment.outputs.findings_queue_url, &finding.to_string()).await;
    }

    drain(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    let metrics = deployment.metrics().await.unwrap();
    assert_eq!((metrics.get("FindingsSentBack"), metrics.get("UsersChecked")), (2, 2));
    assert_no_dead_letters(&deployment).await;
}

/// Makes this address the owner's, by the contact tag.
fn reach_at(owner: &mut Owner, address: &str) {
    let tag = owner.user.tags.iter_mut().find(|tag| tag.key == "keynudge:contact").unwrap();
    address.clone_into(&mut tag.value);
    let Expectation::Mailed { to, .. } = &mut owner.expectation else { panic!("{owner:?}") };
    address.clone_into(to);
}

/// Two owners, the first of whom is reached at this address.
fn one_reached_at(address: &str) -> Population {
    let profiles = [Contact::Tag, Contact::DefaultDomain];
    let profiles = profiles.map(|contact| Profile { contact, ..Profile::with(Keys::Stale) });
    let mut population = Population::of_profiles(&Setting::default(), &profiles, 13);
    reach_at(&mut population.owners[0], address);
    population
}

/// An account with these users, and the stack of SES's events in a region of it.
async fn account_with_events(population: &Population, region: &str) -> (Client, SesStack) {
    let shared = shared().await;
    let aws = fresh_account(&shared.emulator);
    shared.iam.set_users(aws.account(), population.users());
    let stack = SesStack::create(&aws.in_region(region)).await;
    (aws, stack.unwrap_or_else(|error| panic!("{error}")))
}

/// SES, with its configuration set and topic, is in another region than everything else.
#[tokio::test]
async fn who_is_not_reached_is_known_from_sess_events_whatever_their_region() {
    let population = one_reached_at("bounce+ada@corp.example");
    let (aws, ses_stack) = account_with_events(&population, SES_REGION).await;
    let SesStack { configuration_set, events_topic_arn } = ses_stack;
    assert!(events_topic_arn.contains(SES_REGION), "{events_topic_arn}");
    let ses = &shared().await.ses;
    ses.publish_to(aws.account(), &configuration_set, &events_topic_arn);
    let identity = [("EmailAddress", &*sender())];
    let _: IgnoredAny = aws.in_region(SES_REGION).query(SES, "VerifyEmailIdentity", &identity).await.unwrap();
    let parameters = Parameters::unpaced()
        .with("SesRegion", SES_REGION)
        .with("ConfigurationSet", configuration_set)
        .with("SesEventsTopicArn", events_topic_arn);
    let deployment = deploy(aws, &parameters).await;

    run_as_of(&deployment, Utc::now()).await;
    // SES publishes its events after its answer: two that mails were sent, and one that the first came back.
    let published = async {
        while ses.sends(deployment.aws.account()).events < 3 {
            time::sleep(POLL_INTERVAL).await;
        }
    };
    time::timeout(DEADLINE, published).await.expect("SES publishes its events");
    drain(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let ledger = Ledger::of(&deployment).await;
    let [bounced, reached] = [0, 1].map(|at| ledger.entry(&deployment, &population.owners[at]));
    assert_eq!(
        (&bounced["not_reached"]["reason"], &reached["not_reached"]),
        (&"bounce".into(), &Value::Null)
    );
    assert_eq!(ledger.item("run#by-hand")["OwnersNotReached"], 1);
    let metrics = deployment.metrics().await.unwrap();
    assert_eq!((metrics.get("SesEvents"), metrics.get("OwnersNotReached")), (3, 1));
}

/// Where an identity notifies a topic itself, SES leaves out what the mail was about: the bounce is counted, and no
/// owner's entry is touched.
#[tokio::test]
async fn a_bounce_that_sess_identity_notifies_of_is_counted() {
    let population = one_reached_at("bounce+ada@simulator.amazonses.com");
    let (aws, SesStack { events_topic_arn, .. }) = account_with_events(&population, SES_REGION).await;
    let parameters = Parameters::unpaced()
        .with("SesRegion", SES_REGION)
        .with("AllowedDomains", "corp.example,simulator.amazonses.com")
        .with("SesEventsTopicArn", &*events_topic_arn);
    let ses = aws.in_region(SES_REGION);
    let sender = sender();
    let _: IgnoredAny = ses.query(SES, "VerifyEmailIdentity", &[("EmailAddress", &*sender)]).await.unwrap();
    let topic = [("Identity", &*sender), ("NotificationType", "Bounce"), ("SnsTopic", &*events_topic_arn)];
    let _: IgnoredAny = ses.query(SES, "SetIdentityNotificationTopic", &topic).await.unwrap();
    let deployment = deploy(aws, &parameters).await;

    run_as_of(&deployment, Utc::now()).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let metrics = deployment.metrics().await.unwrap();
    assert_eq!((metrics.get("SesEvents"), metrics.get("OwnersNotReached")), (1, 1));
    let ledger = Ledger::of(&deployment).await;
    assert!(ledger.entry(&deployment, &population.owners[0])["not_reached"].is_null());
}
