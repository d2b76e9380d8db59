//! What has to be true of every body that arrives on a queue, whatever it is. `fuzz/` tries it for as long as one likes,
//! and the tests below a little each time.
//!
//! What is accepted is read as the same when it is written again. What is refused is refused in words of our own, which
//! say where the body is wrong and quote nothing of it: they go into logs and dead letters. And nothing panics.

use std::fmt::Debug;

use keynudge_core::feedback::Feedback;
use keynudge_core::ledger::{NotReachedReason, SesEvent};
use keynudge_core::messages::{AsOfLimit, InvalidMessage, Message};
use serde_json::{Value, json};

use crate::now;

/// All that may stand in the place of a field's name: fields and variants of messages and events, and what stands for a
/// body as a whole. An error made of these alone holds nothing of the body, even where the body holds the same.
const WORDS: [&str; 43] = [
    "Message",
    "Type",
    "account_id",
    "account_name",
    "age_days",
    "arn",
    "as_of",
    "at",
    "bounce",
    "bounceSubType",
    "bounceType",
    "bouncedRecipients",
    "checked_at",
    "claim_id",
    "complaint",
    "complaintFeedbackType",
    "created_at",
    "description",
    "detail",
    "eventType",
    "found_at",
    "found_by",
    "id",
    "keys",
    "last_used",
    "ledger",
    "mail",
    "messageId",
    "mode",
    "name",
    "notificationType",
    "recipient",
    "region",
    "run_id",
    "service",
    "stage",
    "status",
    "tags",
    "the message",
    "to",
    "user",
    "user_id",
    "v",
];

/// All that a field may be said to want. Nothing else is said of what is wrong with one.
const WANTED: [&str; 20] = [
    "\"never\", or an object with the field `at` alone",
    "1",
    "a line of at most 256 characters, none of them a control character",
    "a list",
    "a list of at least one key",
    "a mail address",
    "a run id (1 to 64 letters, digits, - or :)",
    "a string",
    "a whole number from 0 to 4294967295",
    "an AWS account id (12 digits)",
    "an IAM unique id (16 to 128 letters, digits or _)",
    "an IAM user name (1 to 64 letters, digits or _+=,.@-)",
    "an access key id (16 to 128 letters, digits or _)",
    "an account's name (1 to 63 characters, none of them a control character)",
    "an instant such as 2026-03-01T06:00:00Z, in the years 1970 to 9999",
    "an object",
    "live or dry_run",
    "tag, user_name, default_domain or fallback",
    "the ARN of an IAM user",
    "there once",
];

/// Tries `body` as a message of type `M`. Returns why it was refused, if it was.
#[must_use]
pub fn try_message<M: Message + PartialEq + Debug>(body: &str) -> Option<InvalidMessage> {
    let refused = try_with::<M>(body, AsOfLimit::None);
    try_with::<M>(body, AsOfLimit::From(now()));
    refused
}

fn try_with<M: Message + PartialEq + Debug>(body: &str, limit: AsOfLimit) -> Option<InvalidMessage> {
    match M::read(body, limit) {
        Ok(message) => {
            let written = serde_json::to_string(&message).expect("a message can be written");
            assert_eq!(M::read(&written, limit).as_ref(), Ok(&message));
            None
        }
        Err(error) => Some(checked(error)),
    }
}

/// Tries `body` as an event of SES. Returns why it was refused, if it was.
#[must_use]
pub fn try_event(body: &str) -> Option<InvalidMessage> {
    match Feedback::read(body) {
        Ok(feedback) => {
            let written = as_ses_would(&feedback).to_string();
            let enveloped = json!({"Type": "Notification", "Message": written}).to_string();
            for written in [written, enveloped] {
                assert_eq!(Feedback::read(&written).as_ref(), Ok(&feedback));
            }
            None
        }
        Err(error) => Some(checked(error)),
    }
}

/// An event that tells what `feedback` says.
fn as_ses_would(feedback: &Feedback) -> Value {
    let bounced = SesEvent::NotReached(NotReachedReason::Bounce);
    let (event, message_id, tags) = match feedback {
        Feedback::Reminder { owner, claim_id, event } => {
            let tags = json!({
                "account_id": [owner.account_id], "user_id": [owner.user_id], "claim_id": [claim_id],
                "ledger": [owner.book.as_str()],
            });
            (*event, "any", tags)
        }
        Feedback::UntaggedNotReached { message_id } => (bounced, message_id.as_str(), json!({})),
        Feedback::Nothing => (SesEvent::Send, "any", json!({})),
    };
    let kind = match event {
        SesEvent::Send => "Send",
        SesEvent::NotReached(NotReachedReason::Bounce) => "Bounce",
        SesEvent::NotReached(NotReachedReason::Complaint) => "Complaint",
        SesEvent::NotReached(NotReachedReason::Reject) => "Reject",
    };
    json!({
        "eventType": kind, "bounce": {"bounceType": "Permanent"}, "complaint": {},
        "mail": {"messageId": message_id, "tags": tags},
    })
}

/// Passes `error` on if it quotes nothing of the body.
fn checked(error: InvalidMessage) -> InvalidMessage {
    let is_known = |word: &str| WORDS.contains(&word) || word.parse::<usize>().is_ok();
    let is_path = |path: &str| path.split(['.', '[', ']']).filter(|word| !word.is_empty()).all(is_known);
    let is_clean = match &error {
        InvalidMessage::NotJson
        | InvalidMessage::TooLarge
        | InvalidMessage::AsOfAhead
        | InvalidMessage::SubscriptionUnconfirmed => true,
        InvalidMessage::Missing(path) | InvalidMessage::Invalid(path) => is_path(path),
        InvalidMessage::Unlike { field, wanted } => is_path(field) && WANTED.contains(&wanted.as_str()),
    };
    assert!(is_clean, "{error} may quote the body");
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::panic::catch_unwind;

    use keynudge_core::messages::{CheckUser, ScanAccount, StaleKeys};

    type Try = fn(&str) -> Option<InvalidMessage>;

    /// Each kind of body, with one that is accepted. `fuzz/` starts from the same.
    const BODIES: [(Try, &str); 5] = [
        (try_message::<ScanAccount>, include_str!("../bodies/scan_account.json")),
        (try_message::<CheckUser>, include_str!("../bodies/check_user.json")),
        (try_message::<StaleKeys>, include_str!("../bodies/stale_keys.json")),
        (try_event, include_str!("../bodies/ses_event.json")),
        (try_event, include_str!("../bodies/ses_notification.json")),
    ];

    /// What may be put in the place of anything between two quotation marks: a name, a text, or what is between texts.
    const HOSTILE: [&str; 16] = [
        "",
        "2",
        "-1e999",
        ":1,",
        ":null,",
        ":[[[",
        ":{\"jane@example.com\":1},",
        ":{\"at\":{}},",
        "\\ud800",
        "\\u0000",
        "\\r\\nBcc: all@example.com",
        "<script>",
        "{{ 7*7 }}",
        "jane@example.com",
        "9999-12-31T23:59:60Z",
        "\u{2028}",
    ];

    #[test]
    fn a_body_that_is_hostile_in_one_place_is_read_or_refused_without_a_word_of_it() {
        let (mut bodies, mut refusals) = (0, Vec::new());
        for (try_it, body) in BODIES {
            assert_eq!(try_it(body), None, "{body}");
            let parts: Vec<&str> = body.split('"').collect();
            for place in 0..parts.len() {
                for hostile in HOSTILE {
                    let mut parts = parts.clone();
                    parts[place] = hostile;
                    bodies += 1;
                    refusals.extend(try_it(&parts.join("\"")));
                }
            }
        }
        let kinds: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
        assert!(bodies - refusals.len() > 250, "{bodies} bodies, {} refused", refusals.len());
        assert!(kinds.len() > 50, "{kinds:?}");
    }

    #[test]
    fn a_body_nested_deeper_than_any_stack_is_refused() {
        for (try_it, body) in BODIES {
            for nested in ["[".repeat(30_000), "{\"keys\":".repeat(8_000)] {
                assert!(try_it(&nested).is_some());
                let inside = body.replacen(':', &format!(":{nested}"), 1);
                assert!(try_it(&inside).is_some());
            }
        }
    }

    #[test]
    fn a_word_of_the_body_in_an_error_is_noticed() {
        for (path, clean) in [
            ("user.name", true),
            ("keys[0].last_used.at.at", true),
            ("mail.tags.jane@example.com", false),
            ("jane", false),
        ] {
            let check = || checked(InvalidMessage::Invalid(path.to_owned()));
            assert_eq!(catch_unwind(check).is_ok(), clean, "{path}");
        }
    }
}
