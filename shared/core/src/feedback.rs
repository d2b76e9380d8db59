//! What SES tells about mails, as it arrives: the events of a configuration set or the notifications of an
//! identity, raw, in SNS's envelope or in EventBridge's (SES developer guide, "Contents of event data that
//! Amazon SES publishes to Amazon SNS" and "… to Amazon EventBridge").
//!
//! Nobody is believed to be SES because of where a message came from: whoever may publish to the topic can send one. What
//! it says is only of consequence with a claim's id, which is random, and known to the mail and the ledger alone.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{AccountId, ClaimId, SesMessageId, UserId};
use crate::ledger::{NotReachedReason, SesEvent};
use crate::messages::{InvalidMessage, parse};
use crate::ports::{Book, Enqueued, Owner};

/// What SES publishes once, as it is, when an event destination is made or changed.
const TOPIC_VALIDATED: &str = "Successfully validated SNS topic for Amazon SES event publishing.";

/// Bounces that SES counts as passing, and that the next reminder will meet again: a mail server refuses the mail for
/// what it is, and not for what its mailbox is like today.
const REFUSED_FOR_WHAT_IT_IS: [&str; 3] = ["ContentRejected", "AttachmentRejected", "MessageTooLarge"];

/// Enhanced status codes (RFC 3463) that end a delivery: class 5 is a permanent failure, and `4.4.7` says
/// that the delivery time expired, after which SES tries no more.
const PERMANENT_CLASS: &str = "5.";
const EXPIRED: &str = "4.4.7";

/// What SES tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feedback {
    /// What became of a reminder.
    Reminder {
        /// Whom it is about.
        owner: Owner,
        /// The claim it was sent under.
        claim_id: ClaimId,
        /// What became of it.
        event: SesEvent,
    },
    /// A mail without Keynudge's tags reached nobody. SES leaves the tags out of an identity's notifications; or it is
    /// somebody else's mail.
    UntaggedNotReached {
        /// The mail.
        message_id: SesMessageId,
    },
    /// Nothing of interest: an untagged mail that was taken, another kind of event, or a word about the topic itself.
    Nothing,
}

impl Feedback {
    /// Reads the body of a message.
    pub fn read(body: &str) -> Result<Self, InvalidMessage> {
        if body == TOPIC_VALIDATED {
            return Ok(Self::Nothing);
        }
        match parse::<Outermost>(body)?.sns_type.as_deref() {
            None => Self::read_event(body),
            Some("Notification") => match parse::<SnsNotification>(body)?.message {
                message if message == TOPIC_VALIDATED => Ok(Self::Nothing),
                message => Self::read_event(&message),
            },
            // An operator has to confirm it: Keynudge opens no link that a message brings.
            Some("SubscriptionConfirmation") => Err(InvalidMessage::SubscriptionUnconfirmed),
            Some(_) => Err(InvalidMessage::Invalid("Type".to_owned())),
        }
    }

    /// Reads an event as SES publishes it, or as EventBridge hands it on: as its `detail`.
    fn read_event(text: &str) -> Result<Self, InvalidMessage> {
        match parse::<EventBridge>(text)?.detail {
            Some(detail) => Self::read_ses_event(&detail.to_string()),
            None => Self::read_ses_event(text),
        }
    }

    fn read_ses_event(text: &str) -> Result<Self, InvalidMessage> {
        let event = match parse::<Kind>(text)?.event_type.as_str() {
            "Send" => SesEvent::Send,
            "Bounce" => parse::<BounceEvent>(text)?.bounce.meaning(),
            "Complaint" => parse::<ComplaintEvent>(text)?.complaint.meaning(),
            // A virus was found, and the mail is not delivered.
            "Reject" => SesEvent::NotReached(NotReachedReason::Reject),
            // `Delivery`, `DeliveryDelay`, `Open`, `Click`, …: of other event destinations on the same topic.
            _ => return Ok(Self::Nothing),
        };
        let mail = parse::<AnyEvent>(text)?.mail;
        Ok(match (mail.tags.owner_and_claim()?, event) {
            (Some((owner, claim_id)), event) => Self::Reminder { owner, claim_id, event },
            (None, SesEvent::NotReached(_)) => {
                let message_id = mail.message_id.parse();
                let invalid = |_| InvalidMessage::Invalid("mail.messageId".to_owned());
                Self::UntaggedNotReached { message_id: message_id.map_err(invalid)? }
            }
            (None, SesEvent::Send) => Self::Nothing,
        })
    }
}

/// What the notifier says for SES when SES took a mail and the ledger could not be told: the event that SES would send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Value")]
pub struct MailTaken {
    owner: Owner,
    claim_id: ClaimId,
}

impl MailTaken {
    /// SES took the mail about `owner` that was sent under `claim_id`.
    #[must_use]
    pub fn new(owner: Owner, claim_id: ClaimId) -> Self {
        Self { owner, claim_id }
    }

    /// Whom the mail is about.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.owner.user_id
    }
}

impl Enqueued for MailTaken {
    fn group(&self) -> &AccountId {
        &self.owner.account_id
    }
}

impl From<MailTaken> for Value {
    fn from(MailTaken { owner, claim_id }: MailTaken) -> Self {
        json!({
            "eventType": "Send",
            "mail": {
                "tags": {
                    "account_id": [owner.account_id],
                    "user_id": [owner.user_id],
                    "claim_id": [claim_id],
                    "ledger": [owner.book.as_str()],
                },
            },
        })
    }
}

#[derive(Deserialize)]
struct Outermost {
    #[serde(rename = "Type")]
    sns_type: Option<String>,
}

#[derive(Deserialize)]
struct SnsNotification {
    #[serde(rename = "Message")]
    message: String,
}

#[derive(Deserialize)]
struct EventBridge {
    detail: Option<Value>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "eventType", alias = "notificationType")]
    event_type: String,
}

#[derive(Deserialize)]
struct BounceEvent {
    bounce: Bounce,
}

#[derive(Deserialize)]
struct Bounce {
    #[serde(rename = "bounceType")]
    kind: String,
    #[serde(rename = "bounceSubType", default)]
    sub_kind: String,
    #[serde(rename = "bouncedRecipients", default)]
    recipients: Vec<BouncedRecipient>,
}

#[derive(Deserialize)]
struct BouncedRecipient {
    /// What the recipient's mail server answered; SES leaves it out where the server sent none.
    status: Option<String>,
}

impl BouncedRecipient {
    /// Whether the delivery failed for good, whatever SES calls the bounce.
    fn failed_for_good(&self) -> bool {
        self.status.as_deref().map(str::trim).is_some_and(|status| {
            status.starts_with(PERMANENT_CLASS) || status.split_whitespace().next() == Some(EXPIRED)
        })
    }
}

impl Bounce {
    /// Any bounce proves that SES took the mail. Whether operators have something to do depends:
    ///
    /// * `Permanent`: yes. There is no such mailbox (`General`, `NoEmail`), or SES no longer tries (`Suppressed`,
    ///   `OnAccountSuppressionList`, `UnsubscribedRecipient`).
    /// * `Transient`: no. The mailbox is full (`MailboxFull`), or it answered by itself: an absence
    ///   (`General`). The next reminder finds it better. Yes for the three that refuse the mail itself, and
    ///   where a recipient's `status` says that the delivery failed for good: a full mailbox is `4.2.2`, or
    ///   `5.2.2` if its server does not want the mail again. SES calls a domain without a mail server
    ///   `Transient`, too.
    /// * `Undetermined`, and whatever SES may invent: yes, look at it. It changes nothing but what operators see, and
    ///   ends with the next reminder.
    fn meaning(&self) -> SesEvent {
        let passes = self.kind == "Transient"
            && !REFUSED_FOR_WHAT_IT_IS.contains(&self.sub_kind.as_str())
            && !self.recipients.iter().any(BouncedRecipient::failed_for_good);
        if passes { SesEvent::Send } else { SesEvent::NotReached(NotReachedReason::Bounce) }
    }
}

#[derive(Deserialize)]
struct ComplaintEvent {
    complaint: Complaint,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complaint_feedback_type: Option<String>,
}

impl Complaint {
    /// `not-spam` takes a complaint back: the owner moved the mail out of the spam folder.
    fn meaning(&self) -> SesEvent {
        match self.complaint_feedback_type.as_deref() {
            Some("not-spam") => SesEvent::Send,
            _ => SesEvent::NotReached(NotReachedReason::Complaint),
        }
    }
}

#[derive(Deserialize)]
struct AnyEvent {
    mail: Mail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    /// Of use only where there are no tags.
    #[serde(default)]
    message_id: String,
    #[serde(default)]
    tags: Tags,
}

/// SES gives each tag a list of values; those of Keynudge have one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    account_id: Vec<String>,
    user_id: Vec<String>,
    claim_id: Vec<String>,
    ledger: Vec<String>,
}

impl Tags {
    /// The claim's id tells Keynudge's mails from others, which may well have a `user_id` of another kind.
    fn owner_and_claim(&self) -> Result<Option<(Owner, ClaimId)>, InvalidMessage> {
        if self.claim_id.is_empty() {
            return Ok(None);
        }
        let book = [Book::Live, Book::Pilot].into_iter().find(|book| self.ledger == [book.as_str()]);
        let owner = Owner {
            account_id: only("mail.tags.account_id", &self.account_id)?,
            user_id: only("mail.tags.user_id", &self.user_id)?,
            book: book.ok_or_else(|| InvalidMessage::Invalid("mail.tags.ledger".to_owned()))?,
        };
        Ok(Some((owner, only("mail.tags.claim_id", &self.claim_id)?)))
    }
}

/// The only value of the tag called `name`.
fn only<T: FromStr>(name: &str, values: &[String]) -> Result<T, InvalidMessage> {
    match values {
        [value] => value.parse().map_err(|_| InvalidMessage::Invalid(name.to_owned())),
        _ => Err(InvalidMessage::Invalid(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bounce as a configuration set publishes it.
    fn bounce() -> Value {
        json!({
            "eventType": "Bounce",
            "bounce": {
                "feedbackId": "0100-feedback", "bounceType": "Permanent", "bounceSubType": "NoEmail",
                "bouncedRecipients": [{"emailAddress": "jane@example.com", "status": "5.1.1"}],
                "timestamp": "2026-03-01T06:00:04.000Z"
            },
            "mail": {
                "timestamp": "2026-03-01T06:00:03.123Z", "messageId": "0100017a-5d1c-0000",
                "source": "keys@example.com", "sendingAccountId": "123456789012",
                "destination": ["jane@example.com"], "headersTruncated": false,
                "tags": {
                    "ses:configuration-set": ["keynudge"], "account_id": ["123456789012"],
                    "user_id": ["AIDAAAAAAAAAAAAAAAAA"], "claim_id": ["0123456789abcdef"], "ledger": ["live"]
                }
            }
        })
    }

    fn reminder(event: SesEvent) -> Feedback {
        Feedback::Reminder {
            owner: Owner {
                account_id: "123456789012".parse().unwrap(),
                user_id: "AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
                book: Book::Live,
            },
            claim_id: "0123456789abcdef".parse().unwrap(),
            event,
        }
    }

    fn not_reached(reason: NotReachedReason) -> SesEvent {
        SesEvent::NotReached(reason)
    }

    fn read(event: &Value) -> Result<Feedback, String> {
        Feedback::read(&event.to_string()).map_err(|error| error.to_string())
    }

    /// What is read when `changes` are made at these places.
    fn read_with(changes: &[(&str, Value)]) -> Result<Feedback, String> {
        let mut event = bounce();
        for (pointer, value) in changes {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        read(&event)
    }

    fn read_without(parent: &str, field: &str) -> Result<Feedback, String> {
        let mut event = bounce();
        event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
        read(&event)
    }

    /// The same event as an identity's notification, which has no tags.
    fn untagged(event: &Value) -> Value {
        let mut event = event.clone();
        event["notificationType"] = event["eventType"].take();
        event.as_object_mut().unwrap().remove("eventType");
        event["mail"].as_object_mut().unwrap().remove("tags");
        event
    }

    fn enveloped(message: &str) -> Value {
        json!({
            "Type": "Notification", "MessageId": "a", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:events",
            "Message": message, "Timestamp": "2026-03-01T06:00:05.000Z", "SignatureVersion": "1"
        })
    }

    #[test]
    fn each_kind_of_event_tells_what_became_of_a_reminder() {
        for (kind, details, event) in [
            ("Send", ("send", json!({})), SesEvent::Send),
            ("Bounce", ("bounce", bounce()["bounce"].clone()), not_reached(NotReachedReason::Bounce)),
            (
                "Complaint",
                ("complaint", json!({"complainedRecipients": [], "complaintFeedbackType": "abuse"})),
                not_reached(NotReachedReason::Complaint),
            ),
            (
                "Complaint",
                ("complaint", json!({"complaintSubType": "OnAccountSuppressionList"})),
                not_reached(NotReachedReason::Complaint),
            ),
            ("Complaint", ("complaint", json!({"complaintFeedbackType": "not-spam"})), SesEvent::Send),
            ("Reject", ("reject", json!({"reason": "Bad content"})), not_reached(NotReachedReason::Reject)),
        ] {
            let mut with = bounce();
            with.as_object_mut().unwrap().remove("bounce");
            with["eventType"] = json!(kind);
            with[details.0] = details.1;
            assert_eq!(read(&with), Ok(reminder(event)), "{with}");
        }
    }

    /// What SES published for real mails, with the tags of a mail of Keynudge's.
    fn seen(name: &str) -> Value {
        let file = format!("{}/src/feedback/cases/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    #[test]
    fn a_mail_that_its_recipient_s_server_refused_for_good_reached_nobody_whatever_ses_calls_the_bounce() {
        for case in ["transient-general-5.4.4", "transient-general-5.3.0", "transient-general-4.4.7"] {
            let bounced = Ok(reminder(not_reached(NotReachedReason::Bounce)));
            assert_eq!(read(&seen(case)), bounced, "{case}");
            assert_eq!(read(&enveloped(&seen(case).to_string())), bounced, "{case}");
        }
    }

    #[test]
    fn a_transient_bounce_without_a_failing_status_only_proves_that_ses_took_the_mail() {
        for status in [json!(null), json!(""), json!("4.2.2"), json!("4.4.70"), json!("2.0.0"), json!("50")] {
            let mut absent = seen("transient-general-5.4.4");
            absent["bounce"]["bouncedRecipients"][0]["status"] = status;
            assert_eq!(read(&absent), Ok(reminder(SesEvent::Send)), "{absent}");
        }
        let mut without = seen("transient-general-5.4.4");
        without["bounce"].as_object_mut().unwrap().remove("bouncedRecipients");
        assert_eq!(read(&without), Ok(reminder(SesEvent::Send)));
    }

    /// RFC 3463, section 3.3: `X.2.2` is a full mailbox, and its class says whether to try again.
    #[test]
    fn a_full_mailbox_is_not_reached_where_its_server_does_not_want_the_mail_again() {
        let bounced = not_reached(NotReachedReason::Bounce);
        for (sub_type, status, event) in [
            ("MailboxFull", json!(null), SesEvent::Send),
            ("MailboxFull", json!("4.2.2"), SesEvent::Send),
            ("MailboxFull", json!("5.2.2"), bounced),
            ("General", json!("4.2.2"), SesEvent::Send),
            ("General", json!("5.2.2"), bounced),
        ] {
            let recipients = json!([{"emailAddress": "jane@example.com", "status": status}]);
            let changes = [
                ("/bounce/bounceType", json!("Transient")),
                ("/bounce/bounceSubType", json!(sub_type)),
                ("/bounce/bouncedRecipients", recipients),
            ];
            assert_eq!(read_with(&changes), Ok(reminder(event)), "{sub_type} {status}");
        }
    }

    #[test]
    fn one_recipient_of_several_whose_server_refused_is_not_reached() {
        let recipients = json!([{"emailAddress": "a@example.com"}, {"status": " 5.1.1 (no such user)"}]);
        let changes = [("/bounce/bounceType", json!("Transient")), ("/bounce/bouncedRecipients", recipients)];
        assert_eq!(read_with(&changes), Ok(reminder(not_reached(NotReachedReason::Bounce))));
    }

    #[test]
    fn an_event_that_eventbridge_hands_on_is_read_from_its_detail() {
        let event = seen("eventbridge-envelope-bounce");
        assert_eq!(read(&event), Ok(reminder(not_reached(NotReachedReason::Bounce))));
        assert_eq!(read(&enveloped(&event.to_string())), read(&event), "through a topic");
        let mut unknown = event.clone();
        unknown["detail"] = json!({"state": "running"});
        assert_eq!(read(&unknown).unwrap_err(), "missing field `eventType`");
        unknown["detail"] = json!(7);
        assert!(read(&unknown).is_err());
    }

    #[test]
    fn a_subscription_that_waits_to_be_confirmed_is_said_to() {
        assert_eq!(
            read(&seen("sns-subscription-confirmation")).unwrap_err(),
            "an SNS topic asks to send to this queue: its subscription waits to be confirmed"
        );
    }

    #[test]
    fn a_bounce_that_passes_by_itself_only_proves_that_ses_took_the_mail() {
        let bounced = not_reached(NotReachedReason::Bounce);
        for (bounce_type, sub_type, event) in [
            ("Permanent", "General", bounced),
            ("Permanent", "NoEmail", bounced),
            ("Permanent", "Suppressed", bounced),
            ("Permanent", "OnAccountSuppressionList", bounced),
            ("Permanent", "UnsubscribedRecipient", bounced),
            ("Transient", "General", SesEvent::Send),
            ("Transient", "MailboxFull", SesEvent::Send),
            ("Transient", "CustomTimeoutExceeded", SesEvent::Send),
            ("Transient", "ContentRejected", bounced),
            ("Transient", "AttachmentRejected", bounced),
            ("Transient", "MessageTooLarge", bounced),
            ("Undetermined", "Undetermined", bounced),
            ("SomethingNew", "General", bounced),
        ] {
            let changes = [
                ("/bounce/bounceType", json!(bounce_type)),
                ("/bounce/bounceSubType", json!(sub_type)),
                ("/bounce/bouncedRecipients", json!([{"emailAddress": "jane@example.com"}])),
            ];
            assert_eq!(read_with(&changes), Ok(reminder(event)), "{bounce_type}/{sub_type}");
        }
    }

    #[test]
    fn an_event_says_the_same_raw_and_in_sns_s_envelope() {
        assert_eq!(read(&enveloped(&bounce().to_string())), read(&bounce()));
        assert_eq!(read(&enveloped("{}")).unwrap_err(), "missing field `eventType`");
        assert_eq!(read(&enveloped("hello")).unwrap_err(), "not JSON");
    }

    #[test]
    fn a_pilot_s_mail_is_of_the_pilot_s_ledger() {
        let pilot = read_with(&[("/mail/tags/ledger", json!(["pilot"]))]).unwrap();
        assert!(matches!(pilot, Feedback::Reminder { owner: Owner { book: Book::Pilot, .. }, .. }));
    }

    #[test]
    fn a_mail_without_a_claim_s_tag_is_known_by_its_message_id_alone() {
        let expected = Feedback::UntaggedNotReached { message_id: "0100017a-5d1c-0000".parse().unwrap() };
        assert_eq!(read(&untagged(&bounce())), Ok(expected.clone()));
        assert_eq!(read(&enveloped(&untagged(&bounce()).to_string())), Ok(expected.clone()));
        let somebody_elses = [("/mail/tags", json!({"user_id": ["42"], "campaign": ["spring"]}))];
        assert_eq!(read_with(&somebody_elses), Ok(expected));
        let passing = [
            ("/mail/tags", json!({})),
            ("/bounce/bounceType", json!("Transient")),
            ("/bounce/bounceSubType", json!("MailboxFull")),
            ("/bounce/bouncedRecipients", json!([])),
        ];
        assert_eq!(read_with(&passing), Ok(Feedback::Nothing));
        assert_eq!(
            read_with(&[("/mail/tags", json!({})), ("/eventType", json!("Send"))]),
            Ok(Feedback::Nothing)
        );
    }

    #[test]
    fn what_is_not_about_the_fate_of_a_mail_is_of_no_interest() {
        for kind in ["Delivery", "DeliveryDelay", "Open", "Click", "Rendering Failure", "Subscription"] {
            assert_eq!(read_with(&[("/eventType", json!(kind))]), Ok(Feedback::Nothing), "{kind}");
        }
        let subscribed =
            json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have …"});
        assert_eq!(read(&subscribed), Ok(Feedback::Nothing));
        assert_eq!(Feedback::read(TOPIC_VALIDATED), Ok(Feedback::Nothing));
        assert_eq!(read(&enveloped(TOPIC_VALIDATED)), Ok(Feedback::Nothing));
    }

    #[test]
    fn a_tag_that_is_no_id_is_named_and_its_value_is_not_shown() {
        for tag in ["account_id", "user_id", "claim_id", "ledger"] {
            let invalid = Err(format!("mail.tags.{tag} is invalid"));
            for value in [json!(["jane@example.com"]), json!(["live", "live"]), json!([""])] {
                assert_eq!(read_with(&[(&format!("/mail/tags/{tag}"), value)]), invalid, "{tag}");
            }
            if tag != "claim_id" {
                assert_eq!(read_without("/mail/tags", tag), invalid);
            }
        }
    }

    #[test]
    fn a_mails_own_id_is_of_use_only_where_it_has_no_tags() {
        let odd_id = ("/mail/messageId", json!("jane@example.com"));
        assert!(read_with(std::slice::from_ref(&odd_id)).is_ok());
        let untagged = ("/mail/tags", json!({}));
        assert_eq!(read_with(&[odd_id, untagged]).unwrap_err(), "mail.messageId is invalid");
    }

    #[test]
    fn what_is_no_event_is_refused_by_name() {
        for (changes, error) in [
            (("/eventType", json!(1)), "eventType is not a string"),
            (("/mail", json!("x")), "mail is not an object"),
            (("/mail/tags", json!("x")), "mail.tags is not an object"),
            (("/mail/tags/user_id", json!("AIDAAAAAAAAAAAAAAAAA")), "mail.tags.user_id is not a list"),
            (("/mail/tags/claim_id", json!([{}])), "mail.tags.claim_id[0] is not a string"),
            (("/bounce/bounceType", json!({})), "bounce.bounceType is not a string"),
            (("/Type", json!("UnsubscribeConfirmation")), "Type is invalid"),
            (("/bounce/bouncedRecipients", json!("x")), "bounce.bouncedRecipients is not a list"),
            (("/Type", json!("Notification")), "missing field `Message`"),
        ] {
            assert_eq!(read_with(std::slice::from_ref(&changes)).unwrap_err(), error, "{changes:?}");
        }
        for (parent, field) in [("", "eventType"), ("", "mail"), ("", "bounce"), ("/bounce", "bounceType")] {
            let path = format!("{parent}/{field}").trim_start_matches('/').replace('/', ".");
            assert_eq!(read_without(parent, field).unwrap_err(), format!("missing field `{path}`"));
        }
        for body in ["", "hello", "{", "[]", "null", "1", "\"Send\"", &"[".repeat(100_000)] {
            assert!(Feedback::read(body).is_err(), "{body:.20}");
        }
    }

    #[test]
    fn what_the_notifier_says_for_ses_is_read_like_sess_own_word() {
        let owner = Owner {
            account_id: "123456789012".parse().unwrap(),
            user_id: "AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
            book: Book::Pilot,
        };
        let claim_id = ClaimId::from_bits(7);
        let said = serde_json::to_string(&MailTaken::new(owner.clone(), claim_id.clone())).unwrap();
        let event = SesEvent::Send;
        assert_eq!(Feedback::read(&said), Ok(Feedback::Reminder { owner, claim_id, event }));
    }
}
