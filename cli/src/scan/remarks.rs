//! Remarks about a scan: what its reader has to know beside the owners. stderr and the report in each format
//! contain them.

use keynudge_core::exemption::RefusedExemption;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountId, UserName};
use keynudge_core::keys::StaleKey;
use keynudge_core::ports::UnreadableUser;

use super::report::{Missed, StaleOwner};
use super::scanner::{Found, Stopped};
use super::table::counted;
use crate::aws::iam::iam_failed;
use crate::terminal::grouped;

/// So many users are named in one remark; each format flags them all.
const NAMES_MAX: usize = 5;

/// Why an owner's exemption tag exempts nobody, as the owner's row says it.
pub(super) fn refused_exemption(refused: RefusedExemption) -> &'static str {
    match refused {
        RefusedExemption::NotADate => "exemption tag without a date",
        RefusedExemption::TooFarAhead => "exemption tag with a date too far ahead",
    }
}
/// A user that nobody made, and that should have no access key.
pub(super) const OF_BEDROCK_API_KEY: &str = "made by Bedrock for an API key, with an access key";
/// The same about a key.
pub(super) const LAST_USE_UNREADABLE: &str = "last use not readable";

/// What there is to say, a sentence or two each. `users` is how many the account has, where that is known.
pub(super) fn of(found: &Found, users: Option<usize>, account_id: &AccountId) -> Vec<String> {
    let missed = all_missed(found).into_iter();
    let missed = missed.map(|Missed { user_name, reason }| format!("Not checked: {user_name}: {reason}"));
    let all = [incomplete(found, users), what_to_do(found, account_id)].into_iter().flatten().chain(missed);
    let others =
        [no_report(found), last_use_unreadable(found), refused_exemptions(found), of_bedrock_api_keys(found)];
    all.chain(others.into_iter().flatten()).collect()
}

/// The users who were missed, and what to do about each.
pub(super) fn all_missed(found: &Found) -> Vec<Missed> {
    let unreadable = found.unreadable.iter().map(unreadable);
    found.missed.iter().cloned().map(missed).chain(unreadable).collect()
}

fn missed((user_name, error): (UserName, CallFailed)) -> Missed {
    let reason = format!("{:#}", iam_failed(error, &format!("user {}", user_name.as_str())));
    Missed { user_name: user_name.as_str().to_owned(), reason }
}

/// A user who is not what IAM says its users are.
fn unreadable(UnreadableUser { name, problem, .. }: &UnreadableUser) -> Missed {
    let reason = format!("{problem}, as IAM's documentation has it; please report that to Keynudge");
    Missed { user_name: name.clone(), reason }
}

fn incomplete(found: &Found, users: Option<usize>) -> Option<String> {
    let reason = found.incomplete()?;
    let missing = found.users.not_checked + found.users.unreadable;
    let unlisted = users.unwrap_or_default().saturating_sub(found.users.listed);
    let missing = match (found.is_listed_whole, unlisted) {
        (true, _) => format!("{} missing", counted(missing, "user is", "users are")),
        (false, 0) => {
            format!("{} missing, and those not listed yet", counted(missing, "user is", "users are"))
        }
        (false, unlisted) => format!("{} missing", counted(missing + unlisted, "user is", "users are")),
    };
    Some(format!("Incomplete, {reason}: {missing}."))
}

/// About what kept it from all users. What concerns one user is said with the user's name.
fn what_to_do(found: &Found, account_id: &AccountId) -> Option<String> {
    let error = match &found.stopped {
        Some(Stopped::Failed(error)) => Some(error),
        Some(Stopped::Interrupted) => None,
        None => found.check_failed.as_ref().filter(|_| !found.is_listed_whole),
    };
    error.map(|error| format!("{:#}", iam_failed(error.clone(), &format!("account {account_id}"))))
}

fn no_report(found: &Found) -> Option<String> {
    let reason = found.no_report.as_ref()?;
    Some(format!("Without the credential report, all users were checked: {reason}."))
}

fn last_use_unreadable(found: &Found) -> Option<String> {
    let error = found.last_use_unreadable.as_ref()?;
    let is_unreadable = |key: &&StaleKey| key.last_used.is_none();
    let keys = found.owners.iter().flat_map(|owner| &owner.keys).filter(is_unreadable).count();
    let owners = named(owners_who(found, |owner| owner.keys.iter().any(|key| is_unreadable(&key))));
    Some(format!("The last use of {} is not known: {error}. Owners: {owners}.", counted(keys, "key", "keys")))
}

fn refused_exemptions(found: &Found) -> Option<String> {
    let of = |reason| named(owners_who(found, |owner| owner.refused_exemption == Some(reason)));
    let without_a_date = of(RefusedExemption::NotADate);
    let too_far_ahead = of(RefusedExemption::TooFarAhead);
    let remarks = [
        ("An exemption tag without a date (YYYY-MM-DD) exempts nobody", without_a_date),
        ("An exemption tag with a date too far ahead exempts nobody", too_far_ahead),
    ];
    let remarks = remarks.into_iter().filter(|(_, owners)| !owners.is_empty());
    let remarks: Vec<String> = remarks.map(|(what, owners)| format!("{what}: {owners}.")).collect();
    (!remarks.is_empty()).then(|| remarks.join(" "))
}

fn of_bedrock_api_keys(found: &Found) -> Option<String> {
    let mut users: Vec<&UserName> = found.of_bedrock_api_keys.iter().collect();
    users.sort();
    let users = named(users);
    (!users.is_empty()).then(|| {
        format!(
            "Bedrock made these users for its API keys. Nobody gives them an access key on purpose: {users}."
        )
    })
}

fn owners_who(found: &Found, is_meant: impl Fn(&StaleOwner) -> bool) -> Vec<&UserName> {
    found.owners.iter().filter(|owner| is_meant(owner)).map(|owner| &owner.user_name).collect()
}

/// `jane, joe and 3 more`.
fn named(users: Vec<&UserName>) -> String {
    let names: Vec<&str> = users.into_iter().map(UserName::as_str).collect();
    let first = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => first,
        more => format!("{first} and {} more", grouped(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::report::Telling;

    fn owner(name: &str) -> StaleOwner {
        StaleOwner {
            user_name: name.parse().unwrap(),
            user_id: "AIDA0000000000000001".parse().unwrap(),
            keys: vec![],
            telling: Telling::WithoutContact,
            passed_over: 0,
            refused_exemption: Some(RefusedExemption::NotADate),
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_special() {
        let found = Found { is_listed_whole: true, ..Found::default() };
        assert_eq!(of(&found, Some(0), &"111122223333".parse().unwrap()), [""; 0]);
    }

    #[test]
    fn a_report_that_is_missing_is_said_and_a_remark_names_a_few_users() {
        let owners = ["a", "b", "c", "d", "e", "f", "g"].map(owner).into();
        let no_report = Some("it did not come".to_owned());
        let found = Found { is_listed_whole: true, owners, no_report, ..Found::default() };
        assert_eq!(
            of(&found, None, &"111122223333".parse().unwrap()),
            [
                "Without the credential report, all users were checked: it did not come.",
                "An exemption tag without a date (YYYY-MM-DD) exempts nobody: a, b, c, d, e and 2 more."
            ]
        );
    }
}
