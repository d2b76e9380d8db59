//! IAM's credential report: one table of all users of an account, by which most of them need no check.
//!
//! It is up to four hours old, and its dates are not those that ages are counted from. So it decides nothing but who is
//! worth a look, and whatever in it is not understood means that the user is looked at. See [`CredentialReport::skips`] for
//! what counts as proven.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hasher;

use chrono::{DateTime, TimeDelta, Utc};
use csv::{ByteRecord, ReaderBuilder};
use fnv::FnvHasher;

use crate::audience::{Audience, SkipReason};
use crate::ids::{UserArn, UserId};
use crate::keys::StalenessPolicy;
use crate::messages::User;
use crate::ports::RawReport;

/// How often users are checked whose active keys the report shows as new.
///
/// It says when a key was created *or last changed*, which includes switching it on (AWS Trusted Advisor, "IAM Access Key
/// Rotation", of the same column). So an old key that was switched off and on again looks new until that date is old, too,
/// and nobody would be told of it for that long. With a run each day, this is what that may take at most, for a thirtieth
/// of a check per user and day. A prime, so that runs every few days come to everybody's day, too.
pub const CHECKED_ANYWAY_EVERY_DAYS: u32 = 31;

/// The columns that are read. There are others, of certificates and last uses.
const USER: &str = "user";
const ARN: &str = "arn";
const USER_CREATED_AT: &str = "user_creation_time";
const KEYS: [(&str, &str); 2] = [
    ("access_key_1_active", "access_key_1_last_rotated"),
    ("access_key_2_active", "access_key_2_last_rotated"),
];

/// Whether a user has a console password. A report without this column still says what there is of keys.
const PASSWORD: &str = "password_enabled";

/// A column that only reports have in which somebody has more than two keys (or certificates), and what it says of the others.
const MORE_KEYS: &str = "additional_credentials_info";
const NOTHING: [&[u8]; 2] = [b"", b"N/A"];

/// What a report proves about the users of an account.
#[derive(Debug, Clone)]
pub struct CredentialReport {
    /// A user whose row is not understood, or who has several, is there without one.
    rows: HashMap<UserArn, Option<Row>>,
    generated_at: Option<DateTime<Utc>>,
}

/// What a row says of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    user_created_at: DateTime<Utc>,
    /// When the active key that was left alone for longest was last changed; `None` without an active key.
    oldest_active_key: Option<DateTime<Utc>>,
    /// `None` if the report has no such column, or another value than true and false.
    has_password: Option<bool>,
}

/// Why a report cannot be used at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// It is no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// What decides is not in it, or more than once.
    #[error("it has not one column called {0}")]
    Column(&'static str),
    /// There may be keys that are not looked at here.
    #[error("it has columns for more than two keys")]
    MoreKeys,
}

impl CredentialReport {
    /// Reads a report as IAM writes it.
    pub fn read(report: &RawReport) -> Result<Self, InvalidReport> {
        let generated_at = report.generated_at;
        let report = str::from_utf8(&report.content).map_err(|_| InvalidReport::NotUtf8)?;
        // A row of another length than the heading is judged below, as one user's row that is not understood.
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(report.as_bytes());
        let columns = Columns::of(reader.byte_headers().unwrap_or(&ByteRecord::new()))?;
        let mut rows = HashMap::new();
        let mut record = ByteRecord::new();
        // Reading from memory cannot fail, and if it could, what is not read would be checked.
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            // Not the root user's, which has no user's ARN.
            let Some(arn) = columns.arn(&record) else { continue };
            match rows.entry(arn) {
                Entry::Vacant(place) => {
                    let row = columns.row(&record, place.key());
                    place.insert(row);
                }
                Entry::Occupied(mut twice) => _ = twice.insert(None),
            }
        }
        Ok(Self { rows, generated_at })
    }

    /// Why `user` needs no check at `as_of`, if the report proves it: they are not in the `audience`, since
    /// they have no password and have not signed in since the report was made; all keys are inactive; or all
    /// active ones were created or changed too late to be stale. The row must be the only one with the user's
    /// ARN, and of a user made in the same second: a user who was deleted and made anew is another one.
    ///
    /// What was changed since the report was made is found by the next run. A user is skipped for keys that look new on all days
    /// but one in [`CHECKED_ANYWAY_EVERY_DAYS`].
    #[must_use]
    pub fn skips(
        &self,
        user: &User,
        audience: Audience,
        staleness: &StalenessPolicy,
        as_of: DateTime<Utc>,
    ) -> Option<SkipReason> {
        let row = self.rows.get(&user.arn).copied().flatten()?;
        if row.user_created_at.timestamp() != user.created_at.timestamp() {
            return None;
        }
        let signed_in_since = || match (user.password_last_used, self.generated_at) {
            (Some(signed_in_at), Some(generated_at)) => signed_in_at >= generated_at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if audience == Audience::SignedInUsers && row.has_password == Some(false) && !signed_in_since() {
            return Some(SkipReason::NoPassword);
        }
        let Some(changed_at) = row.oldest_active_key else {
            return Some(SkipReason::NoActiveKey);
        };
        let looks_new = staleness.is_too_young(changed_at, as_of);
        (looks_new && !is_checked_anyway(&user.id, as_of)).then_some(SkipReason::NoOldKey)
    }
}

/// Whether it is this user's day: one in [`CHECKED_ANYWAY_EVERY_DAYS`], the days of different users spread evenly.
fn is_checked_anyway(user_id: &UserId, as_of: DateTime<Utc>) -> bool {
    let period = i64::from(CHECKED_ANYWAY_EVERY_DAYS);
    let day = as_of.timestamp().div_euclid(TimeDelta::days(1).num_seconds());
    let mut hasher = FnvHasher::default();
    hasher.write(user_id.as_str().as_bytes());
    day.rem_euclid(period).cast_unsigned() == hasher.finish() % period.unsigned_abs()
}

/// Where in a row to find what.
struct Columns {
    width: usize,
    user: usize,
    arn: usize,
    user_created_at: usize,
    keys: [(usize, usize); 2],
    password: Option<usize>,
    more_keys: Option<usize>,
}

impl Columns {
    fn of(heading: &ByteRecord) -> Result<Self, InvalidReport> {
        let is_of_known_key = |name: &[u8]| {
            let numbers: [&[u8]; 2] = [b"1_", b"2_"];
            let number = name.strip_prefix(b"access_key_");
            number.is_none_or(|rest| numbers.iter().any(|number| rest.starts_with(number)))
        };
        if !heading.iter().all(is_of_known_key) {
            return Err(InvalidReport::MoreKeys);
        }
        let [first, second] = KEYS;
        let key = |(active, changed_at)| Ok((only(heading, active)?, only(heading, changed_at)?));
        Ok(Self {
            width: heading.len(),
            user: only(heading, USER)?,
            arn: only(heading, ARN)?,
            user_created_at: only(heading, USER_CREATED_AT)?,
            keys: [key(first)?, key(second)?],
            password: at_most_one(heading, PASSWORD)?,
            more_keys: at_most_one(heading, MORE_KEYS)?,
        })
    }

    fn arn(&self, record: &ByteRecord) -> Option<UserArn> {
        text(record, self.arn)?.parse().ok()
    }

    /// What the record says of the user with this ARN, if all of it is understood. A path may hold quotes and commas, which
    /// IAM may not escape, so that it could pass for the beginning of somebody else's record. A name cannot, and it comes
    /// first.
    fn row(&self, record: &ByteRecord, arn: &UserArn) -> Option<Row> {
        let is_named_so = text(record, self.user)? == arn.as_str().rsplit('/').next()?;
        let has_more_keys = self.more_keys.is_some_and(|at| !record.get(at).is_some_and(is_nothing));
        if record.len() != self.width || has_more_keys || !is_named_so {
            return None;
        }
        let mut oldest_active_key = None;
        for (active, changed_at) in self.keys {
            if boolean(text(record, active)?)? {
                let changed_at = instant(text(record, changed_at)?)?;
                oldest_active_key =
                    Some(oldest_active_key.map_or(changed_at, |oldest| changed_at.min(oldest)));
            }
        }
        Some(Row {
            user_created_at: instant(text(record, self.user_created_at)?)?,
            oldest_active_key,
            has_password: self.password.and_then(|at| boolean(text(record, at)?)),
        })
    }
}

/// Where the heading has `column`.
fn places(heading: &ByteRecord, column: &'static str) -> impl Iterator<Item = usize> {
    let named = heading.iter().enumerate().filter(move |(_, name)| *name == column.as_bytes());
    named.map(|(at, _)| at)
}

/// The same, if it has it once.
fn only(heading: &ByteRecord, column: &'static str) -> Result<usize, InvalidReport> {
    let mut places = places(heading, column);
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        _ => Err(InvalidReport::Column(column)),
    }
}

/// The same, if it has it at all.
fn at_most_one(heading: &ByteRecord, column: &'static str) -> Result<Option<usize>, InvalidReport> {
    places(heading, column).next().map(|_| only(heading, column)).transpose()
}

fn is_nothing(field: &[u8]) -> bool {
    NOTHING.contains(&field)
}

fn text(record: &ByteRecord, at: usize) -> Option<&str> {
    str::from_utf8(record.get(at)?).ok()
}

/// IAM writes them in small letters, and documents them in capital ones.
fn boolean(field: &str) -> Option<bool> {
    let is = |word: &str| field.eq_ignore_ascii_case(word);
    is("true").then_some(true).or_else(|| is("false").then_some(false))
}

fn instant(field: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(field).ok()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADING: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
        password_last_changed,password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,\
        access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
        access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,\
        access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
    const ROOT: &str = "<root_account>,arn:aws:iam::123456789012:root,2020-01-01T00:00:00+00:00,not_supported,\
        2020-01-02T00:00:00+00:00,not_supported,not_supported,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,\
        N/A,false,N/A";
    const CREATED: &str = "2024-01-02T03:04:05+00:00";
    const OLD: &str = "2025-11-01T06:00:00+00:00";
    const NEW: &str = "2026-02-01T06:00:00+00:00";
    const NONE: (&str, &str) = ("false", "N/A");

    fn as_of() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn staleness() -> StalenessPolicy {
        StalenessPolicy::without_stages(90.try_into().unwrap())
    }

    fn user(name: &str) -> User {
        User {
            name: name.parse().unwrap(),
            id: format!("AIDA{:A>16}", name.replace(',', "_")).parse().unwrap(),
            arn: arn(name).parse().unwrap(),
            created_at: CREATED.parse().unwrap(),
            password_last_used: None,
        }
    }

    /// The report of this text.
    fn read(report: &[u8]) -> Result<CredentialReport, InvalidReport> {
        let generated_at = Some(as_of() - TimeDelta::hours(1));
        CredentialReport::read(&RawReport { content: report.to_owned(), generated_at })
    }

    /// Why the report skips this user, in an audience that asks for no password.
    fn skipped(report: &CredentialReport, name: &str, as_of: DateTime<Utc>) -> Option<SkipReason> {
        report.skips(&user(name), Audience::All, &staleness(), as_of)
    }

    fn arn(name: &str) -> String {
        format!("arn:aws:iam::123456789012:user/{name}")
    }

    fn row(name: &str, created_at: &str, [first, second]: [(&str, &str); 2]) -> String {
        let key = |(active, changed_at)| format!("{active},{changed_at},N/A,N/A,N/A");
        let (first, second, arn) = (key(first), key(second), arn(name));
        format!("{name},{arn},{created_at},false,N/A,N/A,N/A,false,{first},{second},false,N/A,false,N/A")
    }

    fn report(rows: &[String]) -> CredentialReport {
        let lines = [&[HEADING.to_owned(), ROOT.to_owned()][..], rows].concat();
        read(lines.join("\n").as_bytes()).unwrap()
    }

    /// What comes of jane with these keys, on a day that is not hers.
    fn verdict(keys: [(&str, &str); 2]) -> Option<SkipReason> {
        verdict_on(&report(&[row("jane", CREATED, keys)]))
    }

    fn verdict_on(report: &CredentialReport) -> Option<SkipReason> {
        assert!(!is_checked_anyway(&user("jane").id, as_of()));
        skipped(report, "jane", as_of())
    }

    #[test]
    fn users_without_an_active_key_are_skipped_and_those_whose_active_keys_are_all_new() {
        for (keys, expected) in [
            ([NONE, NONE], Some(SkipReason::NoActiveKey)),
            ([("false", OLD), NONE], Some(SkipReason::NoActiveKey)),
            ([("false", OLD), ("FALSE", "anything")], Some(SkipReason::NoActiveKey)),
            ([("true", NEW), NONE], Some(SkipReason::NoOldKey)),
            ([("TRUE", "2026-02-01T06:00:00Z"), ("true", NEW)], Some(SkipReason::NoOldKey)),
            ([("false", OLD), ("true", NEW)], Some(SkipReason::NoOldKey)),
            ([("true", OLD), NONE], None),
            ([("true", NEW), ("true", OLD)], None),
            ([("true", OLD), ("true", NEW)], None),
        ] {
            assert_eq!(verdict(keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn the_report_judges_by_the_same_age_as_the_worker() {
        assert_eq!(verdict([("true", "2025-12-01T06:00:00Z"), NONE]), None, "90 days");
        assert_eq!(verdict([("true", "2025-12-01T06:00:01Z"), NONE]), Some(SkipReason::NoOldKey));
        assert_eq!(verdict([("true", "2027-01-01T00:00:00Z"), NONE]), Some(SkipReason::NoOldKey));
    }

    #[test]
    fn what_is_not_understood_about_a_user_means_a_check() {
        for keys in [
            [("true", "N/A"), NONE],
            [("true", ""), NONE],
            [("true", "2026-02-01"), NONE],
            [("true", "2026-02-31T00:00:00Z"), NONE],
            [("true", NEW), ("true", "N/A")],
            [("", "N/A"), NONE],
            [NONE, ("N/A", "N/A")],
            [("yes", NEW), NONE],
            [(" false", "N/A"), NONE],
            [("true", NEW), ("not_supported", "N/A")],
        ] {
            assert_eq!(verdict(keys), None, "{keys:?}");
        }
        for created_at in ["", "N/A", "2024-01-02T03:04:06+00:00"] {
            let report = report(&[row("jane", created_at, [NONE, NONE])]);
            assert_eq!(verdict_on(&report), None, "{created_at}");
        }
    }

    #[test]
    fn a_user_is_made_at_the_same_second_however_it_is_written() {
        for created_at in ["2024-01-02T03:04:05Z", "2024-01-02T04:04:05+01:00", "2024-01-02T03:04:05.678Z"] {
            let report = report(&[row("jane", created_at, [NONE, NONE])]);
            assert_eq!(verdict_on(&report), Some(SkipReason::NoActiveKey), "{created_at}");
        }
    }

    #[test]
    fn a_user_who_is_not_in_the_report_or_there_twice_is_checked() {
        let jane = row("jane", CREATED, [NONE, NONE]);
        assert_eq!(verdict_on(&report(&[])), None);
        assert_eq!(verdict_on(&report(&[row("Jane", CREATED, [NONE, NONE])])), None);
        assert_eq!(verdict_on(&report(&[row("team/jane", CREATED, [NONE, NONE])])), None);
        let old = row("jane", CREATED, [("true", OLD), NONE]);
        let unreadable = row("jane", CREATED, [("?", OLD), NONE]);
        for other in [&jane, &old, &unreadable] {
            assert_eq!(verdict_on(&report(&[jane.clone(), other.clone()])), None);
            assert_eq!(verdict_on(&report(&[other.clone(), jane.clone()])), None);
            assert_eq!(verdict_on(&report(&[jane.clone(), other.clone(), jane.clone()])), None);
        }
    }

    #[test]
    fn a_row_that_is_too_short_or_too_long_concerns_its_user_alone() {
        let jane = row("jane", CREATED, [NONE, NONE]);
        let joe = row("joe", CREATED, [NONE, NONE]);
        let (short, _) = joe.rsplit_once(',').unwrap();
        // IAM allows commas in names.
        for odd in [short.to_owned(), format!("{joe},N/A"), joe.replace("joe", "doe,joe"), "\"".to_owned()] {
            let report = report(&[jane.clone(), odd.clone()]);
            assert_eq!(verdict_on(&report), Some(SkipReason::NoActiveKey), "{odd}");
            assert_eq!(skipped(&report, "joe", as_of()), None, "{odd}");
        }
        let comma = row("doe,jane", CREATED, [NONE, NONE]);
        let fields = ["doe,jane", &arn("doe,jane")].map(quoted).join(",");
        let comma = comma.replace(&format!("doe,jane,{}", arn("doe,jane")), &fields);
        let verdict = skipped(&report(&[comma]), "doe,jane", as_of());
        assert_eq!(verdict, Some(SkipReason::NoActiveKey), "in quotes, a comma is part of the name");
    }

    /// What IAM would write of a user with this path if it escaped nothing.
    #[test]
    fn no_path_passes_for_another_users_row() {
        let jane = row("jane", CREATED, [("true", OLD), NONE]);
        let rest = row("aaa", CREATED, [NONE, NONE]).split_once(CREATED).unwrap().1.to_owned();
        for end in ["", "\""] {
            let path = format!("jane,{CREATED},,,,,,false,,,,,false,,,,,,,,{end}/");
            let forged = format!("aaa,{}{path}aaa,{CREATED}{rest}", arn(""));
            for rows in [[forged.clone(), jane.clone()], [jane.clone(), forged.clone()]] {
                assert_eq!(verdict_on(&report(&rows)), None, "{rows:?}");
            }
        }
    }

    #[test]
    fn a_user_with_more_keys_than_two_is_checked() {
        let rows = |info: &str| {
            let jane = row("jane", CREATED, [NONE, NONE]);
            let report = format!("{HEADING},additional_credentials_info\n{jane},{info}\n");
            verdict_on(&read(report.as_bytes()).unwrap())
        };
        assert_eq!(rows("N/A"), Some(SkipReason::NoActiveKey));
        assert_eq!(rows(""), Some(SkipReason::NoActiveKey));
        assert_eq!(rows("1 additional access key"), None);
    }

    #[test]
    fn a_report_that_is_none_is_refused() {
        assert_eq!(read(b"user,\xff").map(drop), Err(InvalidReport::NotUtf8));
        let read = |text: &str| read(text.as_bytes()).map(drop);
        for text in ["", "<html>", "{}", "\n\n"] {
            assert!(matches!(read(text), Err(InvalidReport::Column(_))), "{text}");
        }
        for column in [USER, ARN, USER_CREATED_AT, KEYS[0].0, KEYS[0].1, KEYS[1].0, KEYS[1].1] {
            let without = format!(",{HEADING}").replacen(&format!(",{column}"), ",something", 1);
            assert_eq!(read(&without), Err(InvalidReport::Column(column)));
            assert_eq!(read(&format!("{HEADING},{column}")), Err(InvalidReport::Column(column)));
        }
        for column in [MORE_KEYS, PASSWORD] {
            let twice = format!("{HEADING},{MORE_KEYS},{column}");
            assert_eq!(read(&twice), Err(InvalidReport::Column(column)));
        }
        assert_eq!(read(&format!("{HEADING},access_key_3_active")), Err(InvalidReport::MoreKeys));
        assert_eq!(read(HEADING), Ok(()));
    }

    /// Whether the report skips jane, who has an old key. She signed in this many minutes after the report
    /// was made (negative: before it), and the report has this value for her password.
    fn verdict_on_password(audience: Audience, enabled: &str, signed_in_after: i64) -> Option<SkipReason> {
        let row = row("jane", CREATED, [("true", OLD), NONE]);
        let report = report(&[row.replacen("false", enabled, 1)]);
        let signed_in_at = report.generated_at.unwrap() + TimeDelta::minutes(signed_in_after);
        let jane = User { password_last_used: Some(signed_in_at), ..user("jane") };
        report.skips(&jane, audience, &staleness(), as_of())
    }

    #[test]
    fn who_has_no_password_today_is_no_person_unless_they_signed_in_since_the_report() {
        let years_ago = -1_000_000;
        let people = Audience::SignedInUsers;
        for (enabled, signed_in_after, expected) in [
            ("false", years_ago, Some(SkipReason::NoPassword)),
            ("FALSE", -1, Some(SkipReason::NoPassword)),
            ("false", 0, None),
            ("false", 30, None),
            ("true", years_ago, None),
            ("not_supported", years_ago, None),
            ("", years_ago, None),
        ] {
            let verdict = verdict_on_password(people, enabled, signed_in_after);
            assert_eq!(verdict, expected, "{enabled} {signed_in_after}");
        }
        for audience in [Audience::All, Audience::Tagged] {
            assert_eq!(verdict_on_password(audience, "false", years_ago), None, "{audience:?}");
        }
    }

    #[test]
    fn a_report_that_does_not_tell_of_passwords_or_of_its_time_skips_nobody_for_them() {
        let jane = User { password_last_used: Some(CREATED.parse().unwrap()), ..user("jane") };
        let text = format!("{HEADING}\n{}", row("jane", CREATED, [("true", OLD), NONE]));
        let skips = |text: String, generated_at| {
            let report = CredentialReport::read(&RawReport { content: text.into(), generated_at }).unwrap();
            report.skips(&jane, Audience::SignedInUsers, &staleness(), as_of())
        };
        assert_eq!(skips(text.clone(), Some(as_of())), Some(SkipReason::NoPassword));
        assert_eq!(skips(text.clone(), None), None);
        assert_eq!(skips(text.replace(PASSWORD, "something"), Some(as_of())), None);
    }

    #[test]
    fn keys_that_look_new_are_looked_at_once_a_month_and_inactive_ones_never() {
        let report = report(&[
            row("jane", CREATED, [("true", "2026-03-01T06:00:00Z"), NONE]),
            row("joe", CREATED, [NONE, NONE]),
        ]);
        let days = (0..62).map(|day| as_of() + TimeDelta::days(day));
        let checked = |name: &str| {
            let checked = |as_of| skipped(&report, name, as_of).is_none();
            days.clone().filter(|as_of| checked(*as_of)).count()
        };
        assert_eq!((checked("jane"), checked("joe")), (2, 0));
    }

    #[test]
    fn each_day_has_its_share_of_the_users() {
        let ids: Vec<UserId> = (0..9_300_u64)
            .map(|n| format!("AIDA{:016X}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse().unwrap())
            .collect();
        for day in 0..31 {
            let as_of = as_of() + TimeDelta::days(day);
            let users = ids.iter().filter(|id| is_checked_anyway(id, as_of)).count();
            assert!((230..370).contains(&users), "{users} on day {day}");
        }
    }

    /// What fields may hold, and more.
    fn field() -> impl Strategy<Value = String> {
        let words = ["true", "false", "TRUE", "N/A", "", OLD, NEW, CREATED, "2026-02-01", "no_information"];
        prop_oneof![
            8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
            1 => "[ -~\n]{0,12}",
        ]
    }

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn runs_every_few_days_come_to_everybodys_day(id in "[A-Z0-9_]{16,40}", every in 1_i64..31) {
            let id: UserId = id.parse().unwrap();
            let days = (0..31).filter(|run| is_checked_anyway(&id, as_of() + TimeDelta::days(run * every)));
            prop_assert_eq!(days.count(), 1);
        }

        #[test]
        fn every_user_has_one_day_in_any_month(id in "[A-Z0-9_]{16,40}", seconds in -100_000_000_i64..5_000_000_000) {
            let id: UserId = id.parse().unwrap();
            let first = DateTime::from_timestamp(seconds, 0).unwrap();
            let days = (0..31).filter(|day| is_checked_anyway(&id, first + TimeDelta::days(*day)));
            prop_assert_eq!(days.count(), 1);
        }

        /// Whoever is skipped has one row, and it says so in words that mean nothing else.
        #[test]
        fn who_is_skipped_is_proven_to_have_no_old_key(
            rows in prop::collection::vec((any::<bool>(), [field(), field(), field(), field(), field()]), 0..3),
        ) {
            let line = |(is_jane, [created, active_1, changed_1, active_2, changed_2]): &(bool, [String; 5])| {
                let name = if *is_jane { "jane" } else { "joe" };
                let [created, active_1, changed_1] = [created, active_1, changed_1].map(|field| quoted(field));
                let [active_2, changed_2] = [active_2, changed_2].map(|field| quoted(field));
                row(name, &created, [(&active_1, &changed_1), (&active_2, &changed_2)])
            };
            let verdict = verdict_on(&report(&rows.iter().map(line).collect::<Vec<_>>()));
            let of_jane: Vec<_> = rows.iter().filter(|(is_jane, _)| *is_jane).map(|(_, fields)| fields).collect();
            let harmless = |active: &str, changed_at: &str| match active {
                "false" => true,
                "true" | "TRUE" => changed_at == NEW,
                _ => false,
            };
            let proven = match of_jane[..] {
                [[created_at, active_1, changed_1, active_2, changed_2]] => {
                    created_at == CREATED && harmless(active_1, changed_1) && harmless(active_2, changed_2)
                }
                _ => false,
            };
            prop_assert_eq!(verdict.is_some(), proven);
        }

        #[test]
        fn nothing_around_the_row_of_an_old_key_has_its_user_skipped(
            before in prop::collection::vec(any::<u8>(), 0..200),
            after in "[ -~\n]{0,200}",
        ) {
            let jane = row("jane", CREATED, [("true", OLD), NONE]);
            let head = [HEADING.as_bytes(), b"\n", &before, b"\n"].concat();
            let report = [&head, jane.as_bytes(), after.as_bytes()].concat();
            if let Ok(report) = read(&report) {
                prop_assert_eq!(verdict_on(&report), None);
            }
        }

        #[test]
        fn any_bytes_are_a_report_or_none(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            drop(read(&bytes));
        }
    }
}
