//! What the ledger says, read from its table as an operator could.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::aws::{Client, DYNAMODB};
use crate::{Error, Result};

/// How many of an owner's mails had an unknown outcome, by user id: a claim expired unmarked, and another
/// claim took it over. Owners without such a mail are left out.
///
/// # Errors
///
/// Whatever the calls to `DynamoDB` answer.
pub async fn takeovers(aws: &Client, table: &str) -> Result<BTreeMap<String, u64>> {
    Ok(takeovers_in(&items(aws, table).await?))
}

fn takeovers_in(items: &[Value]) -> BTreeMap<String, u64> {
    let mut by_user_id = BTreeMap::new();
    for item in items {
        // The key ends with the user's id; items of runs have no `takeovers`.
        let user_id = item["pk"].as_str().and_then(|key| key.rsplit('#').next());
        if let (Some(user_id), Some(takeovers @ 1..)) = (user_id, item["takeovers"].as_u64()) {
            *by_user_id.entry(user_id.to_owned()).or_default() += takeovers;
        }
    }
    by_user_id
}

/// Every item of the table, as plain JSON.
///
/// # Errors
///
/// Whatever the calls to `DynamoDB` answer, and [`Error::Unreadable`] for a kind of value the ledger does not have.
pub async fn items(aws: &Client, table: &str) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut request = json!({ "TableName": table, "ConsistentRead": true });
    loop {
        let mut page = aws.json(DYNAMODB, "Scan", &request).await?;
        for item in page["Items"].as_array().into_iter().flatten() {
            items.push(plain(&json!({ "M": item }))?);
        }
        match page["LastEvaluatedKey"].take() {
            Value::Null => return Ok(items),
            key => request["ExclusiveStartKey"] = key,
        }
    }
}

/// A value without `DynamoDB`'s note of its type.
fn plain(value: &Value) -> Result<Value> {
    let unreadable = || Error::Unreadable { call: "dynamodb:Scan".to_owned(), detail: value.to_string() };
    let (kind, value) = value.as_object().and_then(|typed| typed.iter().next()).ok_or_else(unreadable)?;
    match (&**kind, value) {
        ("S", text) => Ok(text.clone()),
        ("N", Value::String(number)) => serde_json::from_str(number).map_err(|_| unreadable()),
        ("L", Value::Array(list)) => list.iter().map(plain).collect(),
        ("M", Value::Object(map)) => {
            map.iter().map(|(name, value)| Ok((name.clone(), plain(value)?))).collect()
        }
        _ => Err(unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_plain_json() {
        let item = json!({ "M": { "pk": { "S": "owner#1" }, "takeovers": { "N": "2" }, "history": { "L": [{ "M": {} }] } } });
        assert_eq!(plain(&item).unwrap(), json!({ "pk": "owner#1", "takeovers": 2, "history": [{}] }));
    }

    #[test]
    fn takeovers_are_counted_for_the_owner_whose_mail_it_was() {
        let items = [
            json!({ "pk": "owner#1#AIDAJANE", "sk": "ledger", "takeovers": 2 }),
            json!({ "pk": "pilot#owner#1#AIDAJANE", "sk": "ledger", "takeovers": 1 }),
            json!({ "pk": "owner#2#AIDAJOHN", "sk": "ledger", "takeovers": 0 }),
            json!({ "pk": "run#a", "sk": "1" }),
        ];
        assert_eq!(takeovers_in(&items), BTreeMap::from([("AIDAJANE".to_owned(), 3)]));
    }

    #[test]
    fn a_value_of_another_kind_is_an_error() {
        assert!(plain(&json!({ "M": { "pk": { "B": "AA==" } } })).is_err());
    }
}
