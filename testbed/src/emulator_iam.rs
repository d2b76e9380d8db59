//! A population in the emulator's own IAM.
//!
//! It is made over IAM's API, which gives users and keys ids of their own choosing, and makes them all now. So that the
//! same users are there with the same ages, the emulator is stopped then, the dates are changed in the state it leaves,
//! and it is started again from there. It never knows when a key or a password was last used.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::aws::{Client, IAM};
use crate::emulator::IamState;
use crate::population::{Owner, Population};
use crate::simulated_iam::directory::{AccessKey, User};
use crate::{Error, Result};

/// Calls at a time; the emulator does one thing at a time anyway.
const CONCURRENCY: usize = 8;

/// Makes a population's users, and returns the population with the user and key ids that IAM gave. `on_user` hears of each user
/// made.
///
/// # Errors
///
/// Whatever IAM answers.
pub async fn create(aws: &Client, population: Population, on_user: impl Fn() + Copy) -> Result<Population> {
    let owners = stream::iter(population.owners).map(|owner| create_owner(aws, owner));
    let owners = owners.buffered(CONCURRENCY).inspect_ok(|_| on_user());
    Ok(Population { owners: owners.try_collect().await?, ..population })
}

async fn create_owner(aws: &Client, mut owner: Owner) -> Result<Owner> {
    let user = &mut owner.user;
    let named = [("UserName", user.name.as_str()), ("Path", user.path.as_str())];
    let response: CreateUserResponse = aws.query(IAM, "CreateUser", &named).await?;
    user.id = response.result.user.user_id;
    let mut new_ids = HashMap::new();
    for key in &mut user.keys {
        let id = create_key(aws, &user.name, key).await?;
        new_ids.insert(std::mem::replace(&mut key.id, id.clone()), id);
    }
    for tag in &mut user.tags {
        // A key's description is in a tag named by the key.
        if let Some(id) = new_ids.get(&tag.key) {
            tag.key.clone_from(id);
        }
    }
    tag_user(aws, user).await?;
    Ok(owner)
}

async fn create_key(aws: &Client, user_name: &str, key: &AccessKey) -> Result<String> {
    let named = [("UserName", user_name)];
    let response: CreateAccessKeyResponse = aws.query(IAM, "CreateAccessKey", &named).await?;
    let id = response.result.access_key.access_key_id;
    if !key.active {
        let inactive = [("UserName", user_name), ("AccessKeyId", &id), ("Status", "Inactive")];
        let _: IgnoredAny = aws.query(IAM, "UpdateAccessKey", &inactive).await?;
    }
    Ok(id)
}

async fn tag_user(aws: &Client, user: &User) -> Result<()> {
    let mut form = vec![("UserName".to_owned(), user.name.as_str())];
    for (member, tag) in std::iter::zip(1.., &user.tags) {
        form.push((format!("Tags.member.{member}.Key"), &tag.key));
        form.push((format!("Tags.member.{member}.Value"), &tag.value));
    }
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, *value)).collect();
    let _: IgnoredAny = aws.query(IAM, "TagUser", &form).await?;
    Ok(())
}

/// Gives the users and keys in a stopped emulator's state the ages they have in the population.
///
/// # Errors
///
/// [`Error::Unreadable`] if the state is not as this version of the emulator writes it.
pub fn set_ages(state: &mut IamState, population: &Population) -> Result<()> {
    let keys = population.keys().map(|key| (key.id.as_str(), key.created_at));
    set_dates(state, "access_keys", "AccessKeyId", &keys.collect())?;
    let users = population.owners.iter().map(|owner| (owner.user.id.as_str(), owner.user.created_at));
    set_dates(state, "users", "UserId", &users.collect())
}

/// Has what is stored under `kind` made when `created_at` says, by what it has as `id`.
fn set_dates(
    IamState(content): &mut IamState,
    kind: &str,
    id: &str,
    created_at: &HashMap<&str, DateTime<Utc>>,
) -> Result<()> {
    let stored = content.pointer_mut(&format!("/payload/{kind}/data")).and_then(Value::as_object_mut);
    let stored = stored.ok_or_else(|| unreadable(&format!("it has no {kind}")))?;
    let mut dated = 0;
    for entry in stored.values_mut() {
        if let Some(at) = entry[id].as_str().and_then(|id| created_at.get(id)) {
            entry["CreateDate"] = json!(at.to_rfc3339_opts(SecondsFormat::Secs, true));
            dated += 1;
        }
    }
    if dated != created_at.len() {
        return Err(unreadable(&format!("{dated} of {} {kind} are in it", created_at.len())));
    }
    Ok(())
}

fn unreadable(detail: &str) -> Error {
    Error::Unreadable { call: "the emulator's IAM state".to_owned(), detail: detail.to_owned() }
}

#[derive(Deserialize)]
struct CreateUserResponse {
    #[serde(rename = "CreateUserResult")]
    result: CreateUserResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateUserResult {
    user: CreatedUser,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedUser {
    user_id: String,
}

#[derive(Deserialize)]
struct CreateAccessKeyResponse {
    #[serde(rename = "CreateAccessKeyResult")]
    result: CreateAccessKeyResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAccessKeyResult {
    access_key: CreatedKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedKey {
    access_key_id: String,
}
