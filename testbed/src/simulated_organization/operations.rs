//! The operations, each from a request to an answer or a refusal. No HTTP here.

use serde_json::{Value, json};

use super::{Member, Organization, PAGE_MAX, State, Unit};
use crate::aws::Account;

/// What the names of the operations begin with on the wire.
pub(crate) const TARGET: &str = "AWSOrganizationsV20161128.";

/// Any id will do.
const ORGANIZATION_ID: &str = "o-simulated00";

/// When the accounts joined, in seconds since 1970.
const JOINED_AT: f64 = 1_735_689_600.25;

/// Does what a request asks for a caller, and its organization, if it belongs to one.
pub(crate) fn answer(
    organization: Option<&Organization>,
    caller: &Account,
    operation: &str,
    request: &Value,
) -> Result<Value, Value> {
    let organization = organization.ok_or_else(|| {
        refusal("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    })?;
    if !organization.may_be_seen_by(caller) {
        let message = "You don't have permissions to access this resource.";
        return Err(refusal("AccessDeniedException", message));
    }
    match operation {
        "ListAccounts" => list_accounts(organization, request),
        "ListAccountsForParent" => list_accounts_for_parent(organization, request),
        "ListOrganizationalUnitsForParent" => list_units_for_parent(organization, request),
        other => Err(refusal("UnknownOperationException", &format!("there is no {other} here"))),
    }
}

fn list_accounts(organization: &Organization, request: &Value) -> Result<Value, Value> {
    let accounts = organization.members.iter().map(|member| account(organization, member));
    page(organization, "Accounts", accounts.collect(), request)
}

fn list_accounts_for_parent(organization: &Organization, request: &Value) -> Result<Value, Value> {
    let parent = parent(organization, request)?;
    let inside = organization.members.iter().filter(|member| member.unit == parent);
    page(organization, "Accounts", inside.map(|member| account(organization, member)).collect(), request)
}

fn list_units_for_parent(organization: &Organization, request: &Value) -> Result<Value, Value> {
    let parent = parent(organization, request)?;
    let inside = organization.units.iter().filter(|unit| unit.parent == parent);
    let units = inside.map(|inside| unit(organization, inside));
    page(organization, "OrganizationalUnits", units.collect(), request)
}

fn parent<'a>(organization: &Organization, request: &'a Value) -> Result<&'a str, Value> {
    let parent = request["ParentId"].as_str();
    let parent = parent.ok_or_else(|| invalid("You must provide a value for ParentId.", "INPUT_REQUIRED"))?;
    if organization.has_unit(parent) {
        return Ok(parent);
    }
    Err(refusal("ParentNotFoundException", "You specified parent that doesn't exist."))
}

fn account(organization: &Organization, member: &Member) -> Value {
    let Member { account, name, state, .. } = member;
    let (state, status) = match state {
        State::Active => ("ACTIVE", "ACTIVE"),
        State::Suspended => ("SUSPENDED", "SUSPENDED"),
        State::PendingClosure => ("PENDING_CLOSURE", "PENDING_CLOSURE"),
        // There was no such status before there were states.
        State::Closed => ("CLOSED", "SUSPENDED"),
    };
    let is_management = *account == organization.management;
    json!({
        "Id": account.as_str(),
        "Arn": format!(
            "arn:aws:organizations::{}:account/{ORGANIZATION_ID}/{account}",
            organization.management
        ),
        "Email": format!("aws+{account}@corp.example"),
        "Name": name,
        "Status": status,
        "State": state,
        "JoinedMethod": if is_management { "INVITED" } else { "CREATED" },
        "JoinedTimestamp": JOINED_AT,
    })
}

fn unit(organization: &Organization, Unit { id, name, .. }: &Unit) -> Value {
    let arn = format!("arn:aws:organizations::{}:ou/{ORGANIZATION_ID}/{id}", organization.management);
    json!({ "Id": id, "Arn": arn, "Name": name })
}

/// One page of a list, as long as asked for at most.
fn page(
    organization: &Organization,
    name: &str,
    mut entries: Vec<Value>,
    request: &Value,
) -> Result<Value, Value> {
    let asked = match &request["MaxResults"] {
        Value::Null => PAGE_MAX,
        number => number
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=PAGE_MAX).contains(number))
            .ok_or_else(|| {
                invalid("You provided a value for MaxResults out of range.", "MAX_VALUE_EXCEEDED")
            })?,
    };
    let start = match &request["NextToken"] {
        Value::Null if organization.begins_empty => {
            return Ok(json!({ name: [], "NextToken": token(0) }));
        }
        Value::Null => 0,
        token => position(token)
            .filter(|position| *position <= entries.len())
            .ok_or_else(|| invalid("You provided an invalid NextToken.", "INVALID_NEXT_TOKEN"))?,
    };
    let end = entries.len().min(start + asked.min(organization.page_max));
    let next = (end < entries.len()).then(|| token(end));
    entries.truncate(end);
    let mut answer = json!({ name: entries.split_off(start) });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

/// Tokens are opaque to callers; a prefix makes one that was made up fail.
const TOKEN_PREFIX: &str = "entries-from-";

fn token(position: usize) -> String {
    format!("{TOKEN_PREFIX}{position}")
}

fn position(token: &Value) -> Option<usize> {
    token.as_str()?.strip_prefix(TOKEN_PREFIX)?.parse().ok()
}

fn invalid(message: &str, reason: &str) -> Value {
    let mut refusal = refusal("InvalidInputException", message);
    refusal["Reason"] = json!(reason);
    refusal
}

fn refusal(code: &str, message: &str) -> Value {
    json!({ "__type": code, "Message": message })
}
