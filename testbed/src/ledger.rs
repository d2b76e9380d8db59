//! What the ledger says, read from its table as an operator could.

use serde_json::{Value, json};

use crate::aws::{Client, DYNAMODB};
use crate::{Error, Result};

/// How many outcomes were unknown: claims whose end nobody had written down, so that another took them over.
///
/// # Errors
///
/// Whatever the calls to `DynamoDB` answer.
pub async fn takeovers(aws: &Client, table: &str) -> Result<u64> {
    // An item without that attribute has never been taken over, or is not about an owner.
    Ok(items(aws, table).await?.iter().filter_map(|item| item["takeovers"].as_u64()).sum())
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
    fn a_value_of_another_kind_is_an_error() {
        assert!(plain(&json!({ "M": { "pk": { "B": "AA==" } } })).is_err());
    }
}
