//! Which letters a command is for.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use keynudge_core::ids::{AccountId, UserId, UserName};

use crate::dlq::letter::Letter;

/// Only these letters; all that is given must hold.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Only letters")]
pub(crate) struct Filter {
    /// Given up for this reason; may be repeated
    #[arg(long = "reason", value_name = "REASON")]
    reasons: Vec<String>,
    /// About this account
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: Option<AccountId>,
    /// About this user, by name or by id (AIDA…)
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// At least this old, such as 90s, 30m, 2h or 3d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<TimeDelta>,
    /// At most this old
    #[arg(long, value_name = "AGE", value_parser = age)]
    newer_than: Option<TimeDelta>,
}

impl Filter {
    /// Whether the letter is one of them, at `now`.
    pub(crate) fn takes(&self, letter: &Letter, now: DateTime<Utc>) -> bool {
        let content = &letter.content;
        let age = letter.age(now);
        (self.reasons.is_empty() || self.reasons.contains(&letter.failure.reason))
            && self.account.as_ref().is_none_or(|account| content.account_id.as_ref() == Some(account))
            && self.user.as_ref().is_none_or(|user| {
                content.user_name.as_ref().map(UserName::as_str) == Some(user)
                    || content.user_id.as_ref().map(UserId::as_str) == Some(user)
            })
            && self.older_than.is_none_or(|older_than| age >= older_than)
            && self.newer_than.is_none_or(|newer_than| age <= newer_than)
    }
}

/// A whole number and its unit.
pub(crate) fn age(text: &str) -> Result<TimeDelta, &'static str> {
    const EXPECTED: &str = "not a whole number with s, m, h, d or w, such as 2h";
    let (unit_at, unit) = text.char_indices().next_back().ok_or(EXPECTED)?;
    let number: u32 = text[..unit_at].parse().map_err(|_| EXPECTED)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(EXPECTED),
    };
    Ok(TimeDelta::seconds(i64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::letter::tests::{check, now, received};
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        filter: Filter,
    }

    /// Whether these arguments take a letter about user jane in account 123456789012, given up two hours ago for
    /// `call_failed`.
    fn takes(arguments: &[&str]) -> bool {
        let Command { filter } = Command::parse_from([&["keynudge"], arguments].concat());
        let attributes = [("reason", "call_failed")];
        filter.takes(&Letter::read("users", received("m-1", 120, &check("jane"), &attributes)), now())
    }

    #[test]
    fn no_filter_takes_everything() {
        assert!(takes(&[]));
        let hostile = Letter::read("users", received("m-1", -5, &json!("{"), &[]));
        assert!(Filter::default().takes(&hostile, now()));
    }

    #[test]
    fn each_filter_takes_its_own() {
        for (wanted, other) in [
            (["--reason", "call_failed"], ["--reason", "crashed"]),
            (["--account", "123456789012"], ["--account", "123456789013"]),
            (["--user", "jane"], ["--user", "jan"]),
            (["--user", "AIDAAAAAAAAAAAAAAAAAA"], ["--user", "AIDAAAAAAAAAAAAAAAAAB"]),
            (["--older-than", "2h"], ["--older-than", "121m"]),
            (["--newer-than", "2h"], ["--newer-than", "119m"]),
        ] {
            assert!(takes(&wanted), "{wanted:?}");
            assert!(!takes(&other), "{other:?}");
        }
    }

    #[test]
    fn all_filters_must_hold_and_any_of_the_reasons() {
        assert!(takes(&["--reason", "crashed", "--reason", "call_failed", "--user", "jane"]));
        assert!(!takes(&["--reason", "call_failed", "--user", "joe"]));
    }

    #[test]
    fn an_age_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("3d", 259_200), ("1w", 604_800)]
        {
            assert_eq!(age(text), Ok(TimeDelta::seconds(seconds)));
        }
        assert!(age("4294967295w").is_ok());
        for text in ["", "h", "2", "-2h", "2.5h", "2 h", "2y", "2é", "4294967296s"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
