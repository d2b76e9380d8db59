//! The simulated SES over HTTP, as the notifier sees it, in front of an emulator that takes every mail.

use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{Options, Sends, SimulatedSes, TokenBucket};
use crate::aws::{Account, Client, SES};
use crate::simulated_clock::SimulatedClock;
use crate::{Error, query_server};

const DEADLINE: Duration = Duration::from_mins(1);

/// A call as the emulator got it.
struct Seen {
    authorization: String,
    form: super::mail::Parameters,
}

struct Testbed {
    ses: SimulatedSes,
    client: Client,
    /// What the emulator was called with, in its order.
    calls: Receiver<Seen>,
}

impl Testbed {
    fn with(options: &Options) -> Self {
        let (sender, calls) = channel();
        let emulator = Router::new().fallback(take).with_state(sender);
        let emulator = query_server::serve("emulator", emulator).unwrap();
        let ses = SimulatedSes::start(options).unwrap();
        ses.pass_on_to(&format!("http://{emulator}"));
        let client = Client::new(ses.endpoint(), Account::nth(1));
        Self { ses, client, calls }
    }

    async fn send(&self, to: &str) -> crate::Result<()> {
        let parameters = [
            ("Source", "keynudge@corp.example"),
            ("Destination.ToAddresses.member.1", to),
            ("Message.Subject.Data", "Rotate"),
            ("Tags.member.1.Name", "account_id"),
            ("Tags.member.1.Value", "100000000001"),
            ("Tags.member.2.Name", "claim_id"),
            ("Tags.member.2.Value", "c-1"),
            ("ConfigurationSetName", "keynudge"),
        ];
        let _: IgnoredAny = self.client.query(SES, "SendEmail", &parameters).await?;
        Ok(())
    }

    fn sends(&self) -> Sends {
        self.ses.sends(self.client.account())
    }

    /// The next event the emulator was given to publish.
    fn next_event(&self) -> Value {
        let mut calls = std::iter::from_fn(|| self.calls.recv_timeout(DEADLINE).ok());
        let published = calls.find(|call| call.form["Action"] == "Publish").expect("an event, in time");
        assert_eq!(published.form["TopicArn"], TOPIC);
        serde_json::from_str(&published.form["Message"]).unwrap()
    }
}

const TOPIC: &str = "arn:aws:sns:eu-west-1:100000000001:keynudge-events";

async fn take(State(calls): State<Sender<Seen>>, headers: HeaderMap, body: String) -> String {
    let authorization = headers["authorization"].to_str().unwrap().to_owned();
    let form = super::server::form(body.as_bytes());
    let answer = "<SendEmailResponse><SendEmailResult><MessageId>m-1</MessageId></SendEmailResult></SendEmailResponse>";
    calls.send(Seen { authorization, form }).unwrap();
    answer.to_owned()
}

fn refusal(result: crate::Result<()>) -> (String, String) {
    match result {
        Err(Error::Refused { code, message, .. }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

/// One mail a second, so many at once, by a clock that stands still.
fn one_a_second(burst: u32) -> Options {
    let bucket = TokenBucket { rate: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() };
    Options { rate: Some(bucket), clock: SimulatedClock::standing(), ..Options::default() }
}

#[tokio::test]
async fn a_mail_is_passed_on_as_it_came() {
    let testbed = Testbed::with(&Options::default());
    testbed.send("ada@corp.example").await.unwrap();
    let Seen { authorization, form } = testbed.calls.recv_timeout(DEADLINE).unwrap();
    assert!(authorization.contains("Credential=100000000001/"), "{authorization}");
    assert_eq!(form["Destination.ToAddresses.member.1"], "ada@corp.example");
    assert_eq!(testbed.sends(), Sends { taken: 1, ..Sends::default() });
}

#[tokio::test]
async fn who_sends_too_fast_is_throttled_until_the_clock_moves_on() {
    let testbed = Testbed::with(&one_a_second(2));
    testbed.send("ada@corp.example").await.unwrap();
    testbed.send("ada@corp.example").await.unwrap();
    let refused = refusal(testbed.send("ada@corp.example").await);
    assert_eq!(refused, ("Throttling".to_owned(), "Maximum sending rate exceeded.".to_owned()));

    testbed.ses.advance(Duration::from_secs(1));

    testbed.send("ada@corp.example").await.unwrap();
    assert_eq!(testbed.sends(), Sends { taken: 3, throttled: 1, ..Sends::default() });
}

/// Two senders that share a mail a second: each may send one at once, and then every other second.
#[tokio::test]
async fn senders_that_keep_to_their_share_are_never_ahead_of_the_rate_and_late_mails_are_no_fault_of_theirs()
{
    let testbed = Testbed::with(&one_a_second(2));
    let account = testbed.client.account();
    for _ in 0..2 {
        let _: IgnoredAny = testbed.client.query(SES, "GetSendQuota", &[]).await.unwrap();
    }
    // One sender's mails come in time, the other's are late by two seconds.
    testbed.send("ada@corp.example").await.unwrap();
    testbed.ses.advance(Duration::from_secs(2));
    testbed.send("ada@corp.example").await.unwrap();
    testbed.send("bob@corp.example").await.unwrap();
    refusal(testbed.send("bob@corp.example").await);
    assert_eq!(testbed.ses.mails_ahead_of_rate(account), 0);

    refusal(testbed.send("bob@corp.example").await);
    assert_eq!(testbed.ses.mails_ahead_of_rate(account), 1);
}

#[tokio::test]
async fn a_sender_that_does_not_ask_for_the_rate_is_ahead_of_it() {
    let testbed = Testbed::with(&one_a_second(2));
    testbed.send("ada@corp.example").await.unwrap();
    assert_eq!(testbed.ses.mails_ahead_of_rate(testbed.client.account()), 1);
}

#[tokio::test]
async fn the_daily_quota_is_one_of_any_24_hours() {
    let testbed = Testbed::with(&Options { per_day: Some(2), ..Options::default() });
    testbed.send("ada@corp.example").await.unwrap();
    testbed.ses.advance(Duration::from_hours(20));
    testbed.send("ada@corp.example").await.unwrap();
    let refused = refusal(testbed.send("ada@corp.example").await);
    assert_eq!(refused, ("Throttling".to_owned(), "Daily message quota exceeded.".to_owned()));

    testbed.ses.advance(Duration::from_hours(4));

    testbed.send("ada@corp.example").await.unwrap();
    refusal(testbed.send("ada@corp.example").await);
    assert_eq!(testbed.sends(), Sends { taken: 3, over_quota: 2, ..Sends::default() });
}

#[tokio::test]
async fn each_account_has_its_own_limits() {
    let testbed = Testbed::with(&Options { per_day: Some(1), ..one_a_second(1) });
    testbed.send("ada@corp.example").await.unwrap();
    let other = Testbed { client: Client::new(testbed.ses.endpoint(), Account::nth(2)), ..testbed };
    other.send("ada@corp.example").await.unwrap();
}

#[tokio::test]
async fn the_quota_says_what_the_limits_are_and_what_was_sent() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase")]
    struct Quota {
        max24_hour_send: f64,
        max_send_rate: f64,
        sent_last24_hours: f64,
    }
    #[derive(Deserialize)]
    struct Response {
        #[serde(rename = "GetSendQuotaResult")]
        quota: Quota,
    }
    let testbed = Testbed::with(&Options { per_day: Some(200), ..one_a_second(1) });
    testbed.send("ada@corp.example").await.unwrap();
    let Response { quota } = testbed.client.query(SES, "GetSendQuota", &[]).await.unwrap();
    let expected = Quota { max24_hour_send: 200.0, max_send_rate: 1.0, sent_last24_hours: 1.0 };
    assert_eq!(quota, expected);
}

#[tokio::test]
async fn an_unverified_sender_is_refused_until_it_is_verified() {
    let testbed = Testbed::with(&Options::default());
    testbed.ses.set_unverified(true);
    let (code, message) = refusal(testbed.send("ada@corp.example").await);
    assert_eq!(code, "MessageRejected");
    assert_eq!(
        message,
        "Email address is not verified. The following identities failed the check in region US-EAST-1: \
         keynudge@corp.example"
    );

    testbed.ses.set_unverified(false);

    testbed.send("ada@corp.example").await.unwrap();
    assert_eq!(testbed.sends(), Sends { taken: 1, failed: 1, ..Sends::default() });
}

#[tokio::test]
async fn a_taken_mail_is_published_with_its_tags_to_the_topic_of_its_configuration_set() {
    let testbed = Testbed::with(&Options::default());
    testbed.ses.publish_to(testbed.client.account(), "keynudge", TOPIC);
    testbed.send("ada@corp.example").await.unwrap();
    let mut event = testbed.next_event();
    let timestamp = event["mail"]["timestamp"].take();
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
    let expected = json!({
        "eventType": "Send",
        "mail": {
            "timestamp": null,
            "source": "keynudge@corp.example",
            "sendingAccountId": "100000000001",
            "messageId": "m-1",
            "destination": ["ada@corp.example"],
            "headersTruncated": false,
            "tags": {
                "account_id": ["100000000001"],
                "claim_id": ["c-1"],
                "ses:configuration-set": ["keynudge"],
                "ses:source-ip": ["192.0.2.1"],
            },
        },
        "send": {},
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn the_address_says_what_follows_the_mail() {
    let testbed = Testbed::with(&Options::default());
    testbed.ses.publish_to(testbed.client.account(), "keynudge", TOPIC);
    for (local_part, kind, member) in [
        ("bounce+1", "Bounce", "bounce"),
        ("complaint+1", "Complaint", "complaint"),
        ("reject+1", "Reject", "reject"),
    ] {
        testbed.send(&format!("{local_part}@corp.example")).await.unwrap();
        let (sent, outcome) = (testbed.next_event(), testbed.next_event());
        assert_eq!((&sent["eventType"], &outcome["eventType"]), (&json!("Send"), &json!(kind)));
        assert_eq!(sent["mail"], outcome["mail"]);
        assert!(outcome[member].is_object(), "{outcome}");
    }
}

#[tokio::test]
async fn nothing_is_published_about_a_refused_mail_or_where_events_are_off() {
    let testbed = Testbed::with(&Options { events: false, ..Options::default() });
    testbed.ses.publish_to(testbed.client.account(), "keynudge", TOPIC);
    testbed.send("ada@corp.example").await.unwrap();
    testbed.ses.set_unverified(true);
    refusal(testbed.send("ada@corp.example").await);
    let Testbed { ses, client, calls } = testbed;
    assert_eq!(ses.sends(client.account()).events, 0);
    let actions: Vec<String> = calls.try_iter().map(|call| call.form["Action"].clone()).collect();
    assert_eq!(actions, ["SendEmail"]);
}
