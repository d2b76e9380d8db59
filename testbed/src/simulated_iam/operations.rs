//! The operations, each from a request's parameters to an answer or a refusal. No HTTP here.

use std::collections::HashMap;
use std::ops::Range;

use super::answers::{
    AccessKeyElement, AccessKeyLastUsed, Answer, Entries, GetAccessKeyLastUsedResult,
    GetAccountSummaryResult, GetUserResult, ListAccessKeysResult, ListAccountAliasesResult,
    ListUserTagsResult, ListUsersResult, Members, Refusal, SummaryEntry, TagElement, UserElement, date,
};
use super::directory::{AccessKey, Directory, Tag, User};
use crate::aws::IAM_VERSION;

const MAX_ITEMS_DEFAULT: usize = 100;
const MAX_ITEMS_LIMIT: usize = 1000;

/// What IAM allows an account; nobody can have it raised. Nothing keeps to it here.
const USERS_QUOTA: usize = 5_000;

/// A request's parameters.
pub(super) type Parameters = HashMap<String, String>;

/// Does what a request asks, for the account it comes from, which may have an alias.
pub(super) fn answer(
    directory: &Directory,
    alias: Option<String>,
    parameters: &Parameters,
) -> Result<Answer, Refusal> {
    match action(parameters) {
        "ListUsers" => list_users(directory, parameters).map(Answer::Users),
        "GetUser" => get_user(directory, parameters).map(Answer::User),
        "ListAccessKeys" => list_access_keys(directory, parameters).map(Answer::AccessKeys),
        "ListUserTags" => list_user_tags(directory, parameters).map(Answer::Tags),
        "GetAccessKeyLastUsed" => last_used(directory, parameters).map(Answer::LastUsed),
        "ListAccountAliases" => Ok(Answer::Aliases(aliases(alias))),
        "GetAccountSummary" => Ok(Answer::Summary(summary(directory, alias.is_some()))),
        other => {
            let version = parameters.get("Version").map_or(IAM_VERSION, String::as_str);
            Err(Refusal::no_such_operation(other, version))
        }
    }
}

/// The operation a request names.
pub(super) fn action(parameters: &Parameters) -> &str {
    parameters.get("Action").map_or("", String::as_str)
}

/// As IAM does, the page is cut first and filtered by path then: a page may hold fewer users than asked for, or none at
/// all, and still not be the last one.
fn list_users(directory: &Directory, parameters: &Parameters) -> Result<ListUsersResult, Refusal> {
    let prefix = parameters.get("PathPrefix").map_or("/", String::as_str);
    if !prefix.starts_with('/') {
        return Err(Refusal::validation(
            "The specified value for pathPrefix is invalid. It must begin with /",
        ));
    }
    let page = Page::of(directory.users.len(), parameters)?;
    let users = directory.users[page.range.clone()].iter();
    let inside = users.filter(|user| user.path.starts_with(prefix));
    let elements = inside.map(|user| user_element(directory, user)).collect();
    Ok(ListUsersResult {
        users: Members { member: elements },
        is_truncated: page.is_truncated(),
        marker: page.marker,
    })
}

fn user_element(directory: &Directory, user: &User) -> UserElement {
    UserElement {
        path: user.path.clone(),
        user_name: user.name.clone(),
        user_id: user.id.clone(),
        arn: directory.arn(user),
        create_date: date(user.created_at),
        password_last_used: user.password_last_used.map(date),
        tags: None,
    }
}

/// Unlike the users of a list, it has its tags.
fn get_user(directory: &Directory, parameters: &Parameters) -> Result<GetUserResult, Refusal> {
    let user = named_user(directory, parameters)?;
    let tags = Members { member: user.tags.iter().map(tag_element).collect() };
    Ok(GetUserResult { user: UserElement { tags: Some(tags), ..user_element(directory, user) } })
}

fn list_access_keys(directory: &Directory, parameters: &Parameters) -> Result<ListAccessKeysResult, Refusal> {
    let user = named_user(directory, parameters)?;
    let page = Page::of(user.keys.len(), parameters)?;
    let keys = user.keys[page.range.clone()].iter();
    Ok(ListAccessKeysResult {
        access_key_metadata: Members { member: keys.map(|key| key_element(user, key)).collect() },
        is_truncated: page.is_truncated(),
        marker: page.marker,
    })
}

fn key_element(user: &User, key: &AccessKey) -> AccessKeyElement {
    AccessKeyElement {
        user_name: user.name.clone(),
        access_key_id: key.id.clone(),
        status: if key.active { "Active" } else { "Inactive" },
        create_date: date(key.created_at),
    }
}

fn list_user_tags(directory: &Directory, parameters: &Parameters) -> Result<ListUserTagsResult, Refusal> {
    let user = named_user(directory, parameters)?;
    let page = Page::of(user.tags.len(), parameters)?;
    let tags = user.tags[page.range.clone()].iter();
    Ok(ListUserTagsResult {
        tags: Members { member: tags.map(tag_element).collect() },
        is_truncated: page.is_truncated(),
        marker: page.marker,
    })
}

fn tag_element(tag: &Tag) -> TagElement {
    TagElement { key: tag.key.clone(), value: tag.value.clone() }
}

/// A key that was never used has no date, and `N/A` for the rest.
fn last_used(directory: &Directory, parameters: &Parameters) -> Result<GetAccessKeyLastUsedResult, Refusal> {
    let id = required(parameters, "AccessKeyId", "accessKeyId")?;
    let (user, key) = directory.key(id).ok_or_else(|| Refusal::no_such_key(id))?;
    let unknown = || "N/A".to_owned();
    let last_used = key.last_used.as_ref();
    Ok(GetAccessKeyLastUsedResult {
        user_name: user.name.clone(),
        access_key_last_used: AccessKeyLastUsed {
            last_used_date: last_used.map(|last| date(last.at)),
            service_name: last_used.map_or_else(unknown, |last| last.service.clone()),
            region: last_used.map_or_else(unknown, |last| last.region.clone()),
        },
    })
}

/// An account has one alias at most.
fn aliases(alias: Option<String>) -> ListAccountAliasesResult {
    ListAccountAliasesResult {
        account_aliases: Members { member: Vec::from_iter(alias) },
        is_truncated: false,
    }
}

/// Some of the entries that IAM's has, of which only the users and the alias are anything to go by here.
fn summary(directory: &Directory, has_alias: bool) -> GetAccountSummaryResult {
    let entry = |key, value| SummaryEntry { key, value };
    let entries = vec![
        entry("Users", directory.users.len()),
        entry("UsersQuota", USERS_QUOTA),
        entry("AccessKeysPerUserQuota", 2),
        entry("AccountAccessKeysPresent", 0),
        entry("AccountAliases", usize::from(has_alias)),
        entry("MFADevices", 0),
    ];
    GetAccountSummaryResult { summary_map: Entries { entry: entries } }
}

fn named_user<'a>(directory: &'a Directory, parameters: &Parameters) -> Result<&'a User, Refusal> {
    let name = required(parameters, "UserName", "userName")?;
    directory.user(name).ok_or_else(|| Refusal::no_such_user(name))
}

/// Messages name a parameter with a small letter.
pub(super) fn required<'a>(
    parameters: &'a Parameters,
    name: &str,
    in_messages: &str,
) -> Result<&'a str, Refusal> {
    let value = parameters.get(name).filter(|value| !value.is_empty());
    value.map(String::as_str).ok_or_else(|| {
        Refusal::validation(format!(
            "1 validation error detected: Value at '{in_messages}' failed to satisfy constraint: \
             Member must not be null"
        ))
    })
}

/// One page of a list.
struct Page {
    range: Range<usize>,
    /// Where the next page begins, if there is one.
    marker: Option<String>,
}

impl Page {
    fn of(length: usize, parameters: &Parameters) -> Result<Self, Refusal> {
        let max_items = max_items(parameters)?;
        let start = match parameters.get("Marker") {
            Some(marker) => position_of(marker, length)?,
            None => 0,
        };
        let end = length.min(start + max_items);
        let marker = (end < length).then(|| marker_at(end));
        Ok(Self { range: start..end, marker })
    }

    fn is_truncated(&self) -> bool {
        self.marker.is_some()
    }
}

fn max_items(parameters: &Parameters) -> Result<usize, Refusal> {
    let Some(text) = parameters.get("MaxItems") else {
        return Ok(MAX_ITEMS_DEFAULT);
    };
    let out_of_range = |constraint: &str| {
        Refusal::validation(format!(
            "1 validation error detected: Value '{text}' at 'maxItems' failed to satisfy \
             constraint: Member must have value {constraint}"
        ))
    };
    match text.parse::<i64>() {
        Ok(..1) => Err(out_of_range("greater than or equal to 1")),
        Ok(value) => match usize::try_from(value) {
            Ok(value @ ..=MAX_ITEMS_LIMIT) => Ok(value),
            _ => Err(out_of_range("less than or equal to 1000")),
        },
        Err(_) => Err(Refusal::validation(format!("{text} is not a valid integer"))),
    }
}

/// Markers are opaque to callers; a prefix makes one that was made up fail.
const MARKER_PREFIX: &str = "page-from-";

fn marker_at(position: usize) -> String {
    format!("{MARKER_PREFIX}{position}")
}

fn position_of(marker: &str, length: usize) -> Result<usize, Refusal> {
    let position = marker.strip_prefix(MARKER_PREFIX).and_then(|text| text.parse().ok());
    position
        .filter(|&position| position <= length)
        .ok_or_else(|| Refusal::validation(format!("Invalid Marker: {marker}")))
}
