//! A dead letter: why it is one, and what it asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::ids::{AccountId, AccountName, RunId, UserId, UserName};
use keynudge_core::messages::{AsOfLimit, CheckUser, Message, Mode, ScanAccount, StaleKeys};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The reason of a letter that SQS moved by itself: whoever took it never came to say why.
pub(crate) const CRASHED: &str = "crashed";

/// What EventBridge Scheduler replaces by the scheduled time.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// A message as a queue gives it. Its text may be anything.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: MessageId,
    pub(crate) receipt: Receipt,
    pub(crate) body: String,
    pub(crate) sent_at: DateTime<Utc>,
    pub(crate) group: Option<String>,
    /// Those the sender wrote, as far as they are text.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// SQS's name for a message in one queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct MessageId(pub(crate) String);

/// What deletes a message, or makes it visible again; another one each time it is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt(pub(crate) String);

/// A dead letter, read. This is also how it is written as JSON, on the terminal and in files.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Letter {
    /// The queue, as the user names it.
    pub(crate) queue: String,
    pub(crate) message_id: MessageId,
    pub(crate) sent_at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) failure: Failure,
    #[serde(flatten)]
    pub(crate) content: Content,
    pub(crate) message_group_id: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Why it is dead, by whoever gave it up. Every text may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) attempts: Option<String>,
    pub(crate) failed_at: Option<String>,
}

/// What it asks for, and whom it is about: as much of it as can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) run_id: Option<RunId>,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) account_name: Option<AccountName>,
    pub(crate) user_id: Option<UserId>,
    pub(crate) user_name: Option<UserName>,
    /// The run to start, if that is what it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
}

/// The kinds of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An owner to mail.
    Finding,
    /// A user to check.
    Check,
    /// An account to scan.
    Scan,
    /// A run to start.
    Start,
    /// What SES says of a mail.
    MailEvent,
    /// Nothing that Keynudge knows.
    Unreadable,
}

/// What starts a run, as the producer takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireStart")]
pub(crate) struct Start {
    /// The instant to judge keys at; the producer takes the time it gets this, where there is none or where it still
    /// is the schedule's placeholder.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    mode: Mode,
    /// The id of a run that an operator started; the producer derives any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
}

/// Strict, unlike the producer: a message of a run has these fields, too, and what is not known here would not be
/// replayed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireStart {
    as_of: Option<String>,
    mode: Mode,
    run_id: Option<RunId>,
}

impl TryFrom<WireStart> for Start {
    type Error = chrono::ParseError;

    fn try_from(WireStart { as_of, mode, run_id }: WireStart) -> Result<Self, chrono::ParseError> {
        if let Some(as_of) = as_of.as_deref().filter(|as_of| *as_of != SCHEDULED_TIME) {
            as_of.parse::<DateTime<Utc>>()?;
        }
        Ok(Self { as_of, mode, run_id })
    }
}

/// What Lambda sends to a destination when it gives an asynchronous invocation up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedInvocation {
    timestamp: String,
    request_context: RequestContext,
    #[serde(default)]
    request_payload: Value,
    #[serde(default)]
    response_payload: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    condition: String,
    #[serde(default)]
    function_arn: String,
    approximate_invoke_count: Option<u64>,
}

impl Letter {
    /// Reads what a queue gave. Never fails: whatever cannot be read is left out.
    pub(crate) fn read(queue: &str, received: Received) -> Self {
        let invocation: Option<FailedInvocation> = serde_json::from_str(&received.body).ok();
        Self {
            queue: queue.to_owned(),
            failure: Failure::of(&received, invocation.as_ref()),
            content: Content::of(&received, invocation),
            message_id: received.id,
            sent_at: received.sent_at,
            message_group_id: received.group,
            attributes: received.attributes,
            body: received.body,
        }
    }

    /// How long ago it was sent to the queue it died in. SQS keeps the original time for those it moves by itself.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> TimeDelta {
        now - self.sent_at
    }
}

impl Failure {
    /// By whom it says it was given up: one of our functions, Lambda, Scheduler; or by SQS, which says nothing.
    fn of(received: &Received, invocation: Option<&FailedInvocation>) -> Self {
        let attribute = |name: &str| received.attributes.get(name).cloned();
        if let Some(reason) = attribute("reason") {
            let [detail, function, attempts, failed_at] =
                ["detail", "function", "attempts", "failed_at"].map(attribute);
            return Self { reason, detail, function, attempts, failed_at };
        }
        if let Some(invocation) = invocation {
            return invocation.failure();
        }
        if let Some(code) = attribute("ERROR_CODE") {
            let retries: Option<u64> = attribute("RETRY_ATTEMPTS").and_then(|retries| retries.parse().ok());
            return Self {
                reason: code,
                detail: attribute("ERROR_MESSAGE"),
                function: Some("schedule".to_owned()),
                attempts: retries.map(|retries| retries.saturating_add(1).to_string()),
                failed_at: None,
            };
        }
        Self { reason: CRASHED.to_owned(), detail: None, function: None, attempts: None, failed_at: None }
    }
}

impl FailedInvocation {
    fn failure(&self) -> Failure {
        let said = |name: &str| self.response_payload.get(name).and_then(Value::as_str);
        let said: Vec<&str> = ["errorType", "errorMessage"].into_iter().filter_map(said).collect();
        // arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
        let function = self.request_context.function_arn.split(':').nth(6);
        Failure {
            reason: self.request_context.condition.clone(),
            detail: (!said.is_empty()).then(|| said.join(": ")),
            function: function.map(str::to_owned),
            attempts: self.request_context.approximate_invoke_count.map(|count| count.to_string()),
            failed_at: Some(self.timestamp.clone()),
        }
    }
}

impl Content {
    fn of(received: &Received, invocation: Option<FailedInvocation>) -> Self {
        let body = received.body.as_str();
        // The more exacting first: a finding can be read as a check, and a check as a scan.
        if let Ok(finding) = StaleKeys::read(body, AsOfLimit::None) {
            return Self::of_message(Kind::Finding, &finding, finding.account_name.as_ref());
        }
        if let Ok(check) = CheckUser::read(body, AsOfLimit::None) {
            return Self::of_message(Kind::Check, &check, check.account_name.as_ref());
        }
        if let Ok(scan) = ScanAccount::read(body, AsOfLimit::None) {
            return Self::of_message(Kind::Scan, &scan, scan.account_name.as_ref());
        }
        let body: Value = match invocation {
            Some(invocation) => invocation.request_payload,
            None => serde_json::from_str(body).unwrap_or_default(),
        };
        if let Some(start) = Start::of(&body, &received.attributes) {
            return Self { run_id: start.run_id.clone(), start: Some(start), ..Self::unknown(Kind::Start) };
        }
        mail_event(&body).unwrap_or_else(|| Self {
            run_id: identifier(&body, "/run_id"),
            account_id: identifier(&body, "/account_id"),
            account_name: identifier(&body, "/account_name"),
            user_id: identifier(&body, "/user/id"),
            user_name: identifier(&body, "/user/name"),
            ..Self::unknown(Kind::Unreadable)
        })
    }

    fn of_message(kind: Kind, message: &impl Message, account_name: Option<&AccountName>) -> Self {
        let user = message.user();
        Self {
            run_id: Some(message.run().run_id.clone()),
            account_id: Some(message.account_id().clone()),
            account_name: account_name.cloned(),
            user_id: user.map(|user| user.id.clone()),
            user_name: user.map(|user| user.name.clone()),
            ..Self::unknown(kind)
        }
    }

    fn unknown(kind: Kind) -> Self {
        Self {
            kind,
            run_id: None,
            account_id: None,
            account_name: None,
            user_id: None,
            user_name: None,
            start: None,
        }
    }
}

impl Start {
    /// The start that `body` asks for. Scheduler tells the scheduled time beside it, too, so that a placeholder that
    /// was not filled in can be.
    fn of(body: &Value, attributes: &BTreeMap<String, String>) -> Option<Self> {
        let start: Self = serde_json::from_value(body.clone()).ok()?;
        let is_placeholder = start.as_of.as_deref() == Some(SCHEDULED_TIME);
        let scheduled = attributes.get("SCHEDULED_TIME").filter(|time| time.parse::<DateTime<Utc>>().is_ok());
        match scheduled {
            Some(time) if is_placeholder => Some(Self { as_of: Some(time.clone()), ..start }),
            _ => Some(start),
        }
    }
}

/// An event of SES, by itself or as SNS wraps it, by the tags that the notifier puts on every mail.
fn mail_event(body: &Value) -> Option<Content> {
    let wrapped = body.get("Message").and_then(Value::as_str);
    let unwrapped: Option<Value> = wrapped.and_then(|event| serde_json::from_str(event).ok());
    let event = unwrapped.as_ref().unwrap_or(body);
    let _what_happened = event.get("eventType").or(event.get("notificationType"))?;
    Some(Content {
        account_id: identifier(event, "/mail/tags/account_id/0"),
        user_id: identifier(event, "/mail/tags/user_id/0"),
        ..Content::unknown(Kind::MailEvent)
    })
}

/// The identifier at `pointer`, if it is a valid one.
fn identifier<T: FromStr>(body: &Value, pointer: &str) -> Option<T> {
    body.pointer(pointer)?.as_str()?.parse().ok()
}

impl Kind {
    /// As a sentence has it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Finding => "a finding",
            Self::Check => "a check",
            Self::Scan => "a scan",
            Self::Start => "the start of a run",
            Self::MailEvent => "SES's event of a mail",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Start {
    /// Whether the run would mail owners.
    pub(crate) fn is_live(&self) -> bool {
        self.mode == Mode::Live
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Live => "live",
            Mode::DryRun => "dry run",
        };
        match self.as_of.as_deref() {
            None | Some(SCHEDULED_TIME) => write!(f, "{mode}, as of when it is replayed"),
            Some(as_of) => write!(f, "{mode}, as of {as_of}"),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    /// A letter of `minutes` ago.
    pub(crate) fn received(id: &str, minutes: i64, body: &Value, attributes: &[(&str, &str)]) -> Received {
        Received {
            id: MessageId(id.to_owned()),
            receipt: Receipt(format!("receipt of {id}")),
            body: body.as_str().map_or_else(|| body.to_string(), str::to_owned),
            sent_at: now() - TimeDelta::minutes(minutes),
            group: Some("123456789012".to_owned()),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    pub(crate) fn check(user: &str) -> Value {
        json!({
            "v": 1, "run_id": "2026-03-01T06:00:00Z", "as_of": "2026-03-01T06:00:00Z", "mode": "live",
            "account_id": "123456789012",
            "user": {
                "name": user, "id": "AIDAAAAAAAAAAAAAAAAAA", "created_at": "2024-01-01T00:00:00Z",
                "arn": format!("arn:aws:iam::123456789012:user/{user}")
            }
        })
    }

    pub(crate) fn finding() -> Value {
        let mut finding = check("jane");
        finding["recipient"] = json!({"to": "jane@example.com", "found_by": "tag"});
        finding["keys"] = json!([{
            "id": "AKIAAAAAAAAAAAAAAAAA", "created_at": "2025-01-01T00:00:00Z", "age_days": 424,
            "last_used": {"at": {"at": "2026-02-01T00:00:00Z", "service": "s3", "region": "eu-west-1"}}
        }]);
        finding["stage"] = json!(1);
        finding["checked_at"] = json!("2026-03-01T06:00:10Z");
        finding
    }

    pub(crate) fn failed_invocation(payload: &Value) -> Value {
        json!({
            "version": "1.0", "timestamp": "2026-03-01T06:03:05.123Z",
            "requestContext": {
                "requestId": "7b1b3b0e-0000-4000-8000-000000000000",
                "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:keynudge-producer:$LATEST",
                "condition": "RetriesExhausted", "approximateInvokeCount": 3
            },
            "requestPayload": payload,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorType": "CallFailed", "errorMessage": "sqs:SendMessage failed: AccessDenied"}
        })
    }

    pub(crate) fn letter(body: &Value, attributes: &[(&str, &str)]) -> Letter {
        Letter::read("users", received("m-1", 5, body, attributes))
    }

    fn start(as_of: Option<&str>) -> Start {
        Start { as_of: as_of.map(str::to_owned), mode: Mode::Live, run_id: None }
    }

    #[test]
    fn a_start_that_failed_keeps_the_id_that_its_operator_knows() {
        let payload =
            json!({"as_of": "2026-03-01T06:00:00Z", "mode": "live", "run_id": "2026-03-01T06:00:00Z-3f9c"});
        let Content { start, run_id, .. } = letter(&failed_invocation(&payload), &[]).content;
        assert_eq!(run_id.unwrap().as_str(), "2026-03-01T06:00:00Z-3f9c");
        assert_eq!(serde_json::to_value(start.unwrap()).unwrap(), payload);
    }

    #[test]
    fn a_letter_of_ours_says_why_it_is_dead() {
        let attributes = [
            ("reason", "call_failed"),
            ("detail", "iam:ListAccessKeys failed: AccessDenied"),
            ("function", "worker"),
            ("attempts", "7"),
            ("failed_at", "2026-03-01T11:00:00+00:00"),
        ];
        let Failure { reason, detail, function, attempts, failed_at } =
            letter(&check("jane"), &attributes).failure;
        let told = [Some(reason), detail, function, attempts, failed_at];
        assert_eq!(told, attributes.map(|(_, value)| Some(value.to_owned())));
    }

    #[test]
    fn a_letter_that_sqs_moved_has_crashed_somebody() {
        assert_eq!(letter(&check("jane"), &[]).failure.reason, "crashed");
        assert_eq!(letter(&json!("anything"), &[]).failure.reason, "crashed");
    }

    #[test]
    fn each_kind_is_told_and_whom_it_is_about() {
        let mut scan = check("jane");
        scan.as_object_mut().unwrap().remove("user");
        for (body, kind, user) in [
            (finding(), Kind::Finding, Some("jane")),
            (check("jane"), Kind::Check, Some("jane")),
            (scan, Kind::Scan, None),
        ] {
            let content = letter(&body, &[]).content;
            assert_eq!(content.kind, kind);
            assert_eq!(content.account_id.unwrap().as_str(), "123456789012");
            assert_eq!(content.user_name.as_ref().map(UserName::as_str), user);
            assert_eq!(content.run_id.unwrap().as_str(), "2026-03-01T06:00:00Z");
        }
    }

    #[test]
    fn of_an_unreadable_letter_as_much_is_told_as_is_valid() {
        let mut body = check("jane");
        body["v"] = json!(2);
        body["user"]["name"] = json!("\u{1b}[2J");
        let content = letter(&body, &[]).content;
        assert_eq!(content.kind, Kind::Unreadable);
        assert_eq!(content.account_id.unwrap().as_str(), "123456789012");
        assert_eq!(content.user_id.unwrap().as_str(), "AIDAAAAAAAAAAAAAAAAAA");
        assert_eq!(content.user_name, None);

        let deep = json!("[".repeat(200_000));
        for body in [json!(""), json!("{"), json!([1]), json!(null), deep] {
            assert_eq!(letter(&body, &[]).content, Content::unknown(Kind::Unreadable));
        }
    }

    #[test]
    fn a_failed_invocation_is_the_start_it_asked_for() {
        let payload = json!({"as_of": "2026-03-01T06:00:00Z", "mode": "live"});
        let letter = letter(&failed_invocation(&payload), &[]);
        assert_eq!(letter.content.kind, Kind::Start);
        assert_eq!(letter.content.start, Some(start(Some("2026-03-01T06:00:00Z"))));
        let Failure { reason, detail, function, attempts, failed_at } = letter.failure;
        assert_eq!(reason, "RetriesExhausted");
        assert_eq!(detail.unwrap(), "CallFailed: sqs:SendMessage failed: AccessDenied");
        assert_eq!(function.unwrap(), "keynudge-producer");
        assert_eq!(attempts.unwrap(), "3");
        assert_eq!(failed_at.unwrap(), "2026-03-01T06:03:05.123Z");
    }

    #[test]
    fn an_invocation_that_ended_by_a_time_limit_has_no_more_to_say() {
        let mut body = failed_invocation(&json!({"mode": "live"}));
        body["requestContext"]["condition"] = json!("EventAgeExceeded");
        body.as_object_mut().unwrap().remove("responsePayload");
        let letter = letter(&body, &[]);
        assert_eq!((letter.failure.reason.as_str(), letter.failure.detail), ("EventAgeExceeded", None));
        assert_eq!(letter.content.start, Some(start(None)));
    }

    #[test]
    fn what_the_schedule_could_not_hand_over_is_the_start_it_asked_for() {
        let body = json!({"as_of": "2026-03-01T06:00:00Z", "mode": "live"});
        let attributes = [
            ("ERROR_CODE", "AccessDeniedException"),
            ("ERROR_MESSAGE", "no"),
            ("EXECUTION_ID", "d32c5ea4"),
            ("RETRY_ATTEMPTS", "20"),
        ];
        let letter = letter(&body, &attributes);
        assert_eq!(letter.content.start, Some(start(Some("2026-03-01T06:00:00Z"))));
        assert_eq!(letter.failure.reason, "AccessDeniedException");
        assert_eq!(letter.failure.detail.unwrap(), "no");
        assert_eq!(letter.failure.attempts.unwrap(), "21");
    }

    #[test]
    fn a_placeholder_is_filled_in_only_by_a_scheduled_time() {
        let body = json!({"as_of": SCHEDULED_TIME, "mode": "live"});
        let start_at = |time| letter(&body, &[("SCHEDULED_TIME", time)]).content.start;
        assert_eq!(start_at("2026-03-01T06:00:00Z"), Some(start(Some("2026-03-01T06:00:00Z"))));
        assert_eq!(start_at("soon"), Some(start(Some(SCHEDULED_TIME))));
        assert_eq!(letter(&body, &[]).content.start, Some(start(Some(SCHEDULED_TIME))));
    }

    #[test]
    fn what_the_producer_would_not_take_starts_nothing() {
        for payload in
            [json!({"as_of": "soon", "mode": "live"}), json!({"Records": []}), json!({"mode": "loud"})]
        {
            assert_eq!(letter(&failed_invocation(&payload), &[]).content.start, None, "{payload}");
        }
    }

    #[test]
    fn an_event_of_a_mail_is_about_its_owner() {
        let event = json!({
            "eventType": "Bounce",
            "mail": {"tags": {"account_id": ["123456789012"], "user_id": ["AIDAAAAAAAAAAAAAAAAAA"]}}
        });
        for body in [json!({"Type": "Notification", "Message": event.to_string()}), event] {
            let content = letter(&body, &[]).content;
            assert_eq!(content.kind, Kind::MailEvent);
            assert_eq!(content.account_id.unwrap().as_str(), "123456789012");
            assert_eq!(content.user_id.unwrap().as_str(), "AIDAAAAAAAAAAAAAAAAAA");
        }
    }

    proptest! {
        #[test]
        fn no_letter_whatever_brings_the_reader_down(body in any::<String>(), reason in any::<String>()) {
            let letter = letter(&json!(body), &[("reason", &reason)]);
            prop_assert_eq!(letter.body, body);
            prop_assert_eq!(letter.failure.reason, reason);
        }
    }
}
