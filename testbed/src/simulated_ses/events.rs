//! What SES publishes about a mail, to the topic of the mail's configuration set.
//!
//! `Send` follows every mail that was taken. What the recipient's server makes of it is in the recipient's address, as
//! with SES's own mailbox simulator, but at any domain: `bounce+x@`, `complaint+x@` and `reject+x@`.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::mail::Mail;
use crate::aws::Account;

/// The events of a mail that was taken as `message_id`, in their order.
pub(super) fn of(mail: &Mail, message_id: &str, account: &Account, at: DateTime<Utc>) -> Vec<Value> {
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let about_mail = about_mail(mail, message_id, account, &at);
    let sent = ("Send", json!({}));
    let outcomes = mail.destination.iter().filter_map(|recipient| outcome(recipient, message_id, &at));
    let events = [sent].into_iter().chain(outcomes);
    events
        .map(|(kind, details)| {
            let mut event = Map::new();
            event.insert("eventType".to_owned(), json!(kind));
            event.insert("mail".to_owned(), about_mail.clone());
            event.insert(kind.to_lowercase(), details);
            Value::Object(event)
        })
        .collect()
}

fn about_mail(mail: &Mail, message_id: &str, account: &Account, at: &str) -> Value {
    let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &mail.tags {
        tags.entry(name).or_default().push(value);
    }
    tags.extend(mail.configuration_set.as_deref().map(|set| ("ses:configuration-set", vec![set])));
    tags.insert("ses:source-ip", vec!["192.0.2.1"]);
    json!({
        "timestamp": at,
        "source": mail.source,
        "sendingAccountId": account.as_str(),
        "messageId": message_id,
        "destination": mail.destination,
        "headersTruncated": false,
        "tags": tags,
    })
}

/// What else happens to a mail to this recipient.
fn outcome(recipient: &str, message_id: &str, at: &str) -> Option<(&'static str, Value)> {
    let feedback_id = format!("{message_id}-feedback");
    match recipient.split_once(['+', '@'])?.0 {
        "bounce" => {
            let bounce = json!({
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [{
                    "emailAddress": recipient,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }],
                "timestamp": at,
                "feedbackId": feedback_id,
                "reportingMTA": "dsn; mta.example.com",
            });
            Some(("Bounce", bounce))
        }
        "complaint" => {
            let complaint = json!({
                "complainedRecipients": [{ "emailAddress": recipient }],
                "timestamp": at,
                "feedbackId": feedback_id,
                "userAgent": "Simulated SES",
                "complaintFeedbackType": "abuse",
                "arrivalDate": at,
            });
            Some(("Complaint", complaint))
        }
        "reject" => Some(("Reject", json!({ "reason": "Bad content" }))),
        _ => None,
    }
}
