//! Messages nobody meant to send: broken, wrong, huge, deep, and with something smuggled into every text.
//!
//! Each is made from a good message by one change after which it is no good any more, whatever the change hits: none of
//! them may be acted upon, and each must end as a dead letter. The same seed makes the same messages.

use fastrand::Rng;
use serde_json::{Value, json};

/// The most that Keynudge takes for a message.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The most that SQS takes for a message.
const SQS_BYTES_MAX: usize = 1024 * 1024;
/// One message in so many is huge, and one in so many of those is as large as SQS allows: more would be a test of the
/// emulator's memory.
const HUGE_ONE_IN: usize = 100;
const LARGEST_ONE_IN: usize = 20;

/// Characters that mean something to JSON, and some that mean nothing to anybody.
const STRAY: [char; 8] = ['{', '}', '"', '\\', ',', '€', '\u{fffd}', '0'];

/// Markup and a header of its own, in one text. The line break is allowed in no text of any message.
const SMUGGLED: [&str; 6] = [
    "x\r\nBcc: eve@partner.example",
    "x\nSubject: You won\n\n<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>\r\n.\r\n",
    "{{ 7 * 7 }}\n{% include '/etc/passwd' %}",
    "\"}\r\n],\"__proto__\":{\"admin\":true}",
    "x\u{2028}<a href=\"https://partner.example\">rotate here</a>",
];

/// `count` hostile messages, each made from `good`.
#[must_use]
pub fn messages(good: &Value, count: usize, seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|number| message(good, number, &mut rng)).collect()
}

fn message(good: &Value, number: usize, rng: &mut Rng) -> String {
    if number.is_multiple_of(HUGE_ONE_IN) {
        return huge(good, (number / HUGE_ONE_IN) % LARGEST_ONE_IN);
    }
    match rng.u8(0..8) {
        0 => truncated(&good.to_string(), rng),
        1 => garbled(&good.to_string(), rng),
        2 => with_wrong_type(good, rng),
        3 => without_a_member(good, rng),
        4 => with_wrong_version(good, rng),
        5 => deep(good, rng),
        6 => of_another_account(good, rng),
        _ => with_something_smuggled_in(good, rng),
    }
}

/// A part of a JSON object is no JSON. SQS takes no empty message.
fn truncated(text: &str, rng: &mut Rng) -> String {
    text.chars().take(rng.usize(1..text.chars().count())).collect()
}

/// Characters swapped, doubled and replaced until it is no JSON any more.
fn garbled(text: &str, rng: &mut Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    loop {
        let (one, other) = (rng.usize(..characters.len()), rng.usize(..characters.len()));
        match rng.u8(0..3) {
            0 => characters.swap(one, other),
            1 => characters.insert(one, characters[other]),
            _ => characters[one] = *rng.choice(&STRAY).unwrap_or(&STRAY[0]),
        }
        let garbled: String = characters.iter().collect();
        if serde_json::from_str::<Value>(&garbled).is_err() {
            return garbled;
        }
    }
}

fn with_wrong_type(good: &Value, rng: &mut Rng) -> String {
    let mut message = good.clone();
    let path = one_of_its_members(good, rng);
    // No member of any message is a boolean, or an object like this.
    let wrong = [json!(true), json!({ "$ref": "#" }), json!([[]]), json!(-1.5), json!(1e308)];
    set(&mut message, &path, rng.choice(&wrong).cloned().unwrap_or_default());
    message.to_string()
}

fn without_a_member(good: &Value, rng: &mut Rng) -> String {
    let mut message = good.clone();
    let required = ["v", "run_id", "as_of", "mode", "account_id"];
    if let (Some(members), Some(name)) = (message.as_object_mut(), rng.choice(&required)) {
        members.remove(*name);
    }
    message.to_string()
}

fn with_wrong_version(good: &Value, rng: &mut Rng) -> String {
    let wrong =
        [json!(0), json!(2), json!(-1), json!("1"), json!(1.5), json!(u64::MAX), json!([1]), Value::Null];
    let mut message = good.clone();
    message["v"] = rng.choice(&wrong).cloned().unwrap_or_default();
    message.to_string()
}

/// Nested deeper than any parser should follow, in the place of a member.
fn deep(good: &Value, rng: &mut Rng) -> String {
    const MARK: &str = "deep";
    let depth = rng.usize(130..4_000);
    let (open, close) = *rng.choice(&[("[", "]"), (r#"{"a":"#, "}")]).unwrap_or(&("[", "]"));
    let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let mut message = good.clone();
    let path = one_of_its_members(good, rng);
    set(&mut message, &path, json!(MARK));
    message.to_string().replacen(&format!("\"{MARK}\""), &nested, 1)
}

/// Well-formed in every respect, and none of this deployment's business.
fn of_another_account(good: &Value, rng: &mut Rng) -> String {
    let mut message = good.clone();
    message["account_id"] = json!(format!("9{:011}", rng.u64(..100_000_000_000)));
    message.to_string()
}

fn with_something_smuggled_in(good: &Value, rng: &mut Rng) -> String {
    let mut texts = paths(good);
    texts.retain(|path| good.pointer(path).is_some_and(Value::is_string));
    let mut message = good.clone();
    if let (Some(path), Some(smuggled)) = (rng.choice(&texts), rng.choice(&SMUGGLED)) {
        set(&mut message, path, json!(smuggled));
    }
    message.to_string()
}

/// Just below Keynudge's limit and wrong, just above it and right, or near SQS's limit and right.
fn huge(good: &Value, number: usize) -> String {
    let mut message = good.clone();
    let bytes = match number {
        0 => SQS_BYTES_MAX - 1,
        odd if odd % 2 == 1 => MESSAGE_BYTES_MAX + 1,
        _ => {
            message["v"] = json!(2);
            MESSAGE_BYTES_MAX - 1
        }
    };
    message["padding"] = json!("");
    let length = message.to_string().len();
    message["padding"] = json!("x".repeat(bytes.saturating_sub(length)));
    message.to_string()
}

fn one_of_its_members(message: &Value, rng: &mut Rng) -> String {
    rng.choice(&paths(message)).cloned().unwrap_or_default()
}

/// Where a message's members are, at whatever depth.
fn paths(value: &Value) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(position, element)| (position.to_string(), element)).collect()
        }
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (name, member) in members {
        all.extend(paths(member).into_iter().map(|path| format!("/{name}{path}")));
        all.push(format!("/{name}"));
    }
    all
}

fn set(message: &mut Value, path: &str, value: Value) {
    if let Some(member) = message.pointer_mut(path) {
        *member = value;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn good() -> Value {
        json!({
            "v": 1,
            "run_id": "by-hand",
            "as_of": "2026-03-01T12:00:00Z",
            "mode": "live",
            "account_id": "100000000001",
            "user": { "name": "ada", "id": "AIDAAAAAAAAAAAAAAAAAA" },
            "keys": [{ "id": "AKIAAAAAAAAAAAAAAAAA", "age_days": 100 }],
        })
    }

    #[test]
    fn the_same_seed_makes_the_same_messages_and_another_makes_others() {
        assert_eq!(messages(&good(), 300, 1), messages(&good(), 300, 1));
        assert_ne!(messages(&good(), 300, 1), messages(&good(), 300, 2));
    }

    #[test]
    fn none_is_the_good_message_or_empty_or_more_than_sqs_takes() {
        for message in messages(&good(), 3_000, 3) {
            assert_ne!(message, good().to_string());
            assert!((1..=SQS_BYTES_MAX).contains(&message.len()), "{}", message.len());
        }
    }

    #[test]
    fn sizes_just_below_and_above_the_limits_are_among_them() {
        let sizes: BTreeSet<usize> = messages(&good(), 3_000, 3).iter().map(String::len).collect();
        for size in [MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX + 1, SQS_BYTES_MAX - 1] {
            assert!(sizes.contains(&size), "{size}");
        }
    }

    #[test]
    fn every_text_of_a_message_has_something_smuggled_in_at_least_once() {
        let messages = messages(&good(), 3_000, 3);
        let parsed: Vec<Value> = messages.iter().filter_map(|one| serde_json::from_str(one).ok()).collect();
        for path in paths(&good()).iter().filter(|path| good().pointer(path).unwrap().is_string()) {
            let smuggled = |message: &Value| {
                let text = message.pointer(path).and_then(Value::as_str);
                text.is_some_and(|text| SMUGGLED.contains(&text))
            };
            assert!(parsed.iter().any(smuggled), "{path}");
        }
    }
}
