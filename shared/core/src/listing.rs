//! Which of an account's users are worth a call: decided by the list of users, and by the credential report where there is one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::audience::{Audience, PathPrefix, SkipReason};
use crate::credential_report::CredentialReport;
use crate::ids::UserId;
use crate::keys::StalenessPolicy;
use crate::messages::User;
use crate::ports::{ListedUser, UserPage};

/// So many users are asked about one by one, filter or not: a report costs some calls, too, and seconds.
pub const USERS_WITHOUT_A_REPORT_MAX: usize = 20;

/// More pages than an account can have: five full ones hold the 5,000 users that IAM allows, but pages may come short.
pub const PAGES_MAX: usize = 1_000;

/// What an account's credential report is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportUse {
    /// It saves calls: it shows which of many users have no old key.
    SavesCalls,
    /// The account has few users, so it saves none. It shows which of them may still sign in.
    ShowsPasswords,
}

/// The settings that decide whose keys are asked for.
#[derive(Debug, Clone)]
pub struct ListingRules {
    /// Whose keys are looked at.
    pub audience: Audience,
    /// Where those users are.
    pub path_prefix: PathPrefix,
    /// Stages are for those who find stale keys.
    pub staleness: StalenessPolicy,
}

impl ListingRules {
    /// Why a user's keys are not asked for at `as_of`, if they are not. What is known without the report counts first.
    #[must_use]
    pub fn skips(
        &self,
        ListedUser { user, path }: &ListedUser,
        as_of: DateTime<Utc>,
        report: Option<&CredentialReport>,
    ) -> Option<SkipReason> {
        let Self { audience, path_prefix, staleness } = self;
        audience
            .skips_listed(path_prefix, path, user.password_last_used)
            .or_else(|| staleness.is_too_young(user.created_at, as_of).then_some(SkipReason::TooYoung))
            .or_else(|| report?.skips(user, *audience, staleness, as_of))
    }

    /// What the credential report, where it is wanted at all, is good for in an account with this first page
    /// of users; `None` if it is not worth its calls.
    #[must_use]
    pub fn report_use(&self, first: &UserPage, as_of: DateTime<Utc>) -> Option<ReportUse> {
        let is_kept = |listed| self.skips(listed, as_of, None).is_none();
        if first.next.is_some() || first.users.len() > USERS_WITHOUT_A_REPORT_MAX {
            Some(ReportUse::SavesCalls)
        } else if self.audience == Audience::SignedInUsers && first.users.iter().any(is_kept) {
            Some(ReportUse::ShowsPasswords)
        } else {
            None
        }
    }
}

/// The users on the pages of an account's list that were read so far. A user who is made or renamed meanwhile
/// may be on two pages, but is one owner. The first page counts. If its name is outdated, the next run finds
/// the user by the new one.
#[derive(Debug, Default)]
pub struct Shown(HashSet<UserId>);

/// How many users to remember: twice as many as an account can have. An endless list must not fill the
/// memory.
const SHOWN_MAX: usize = 10_000;

impl Shown {
    /// Removes the users from `page` that were on a page before it, and remembers the others.
    pub fn remove_from(&mut self, page: &mut UserPage) {
        page.users.retain(|listed| self.is_first(&listed.user));
    }

    fn is_first(&mut self, user: &User) -> bool {
        if self.0.len() < SHOWN_MAX { self.0.insert(user.id.clone()) } else { !self.0.contains(&user.id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: usize, signed_in: bool) -> ListedUser {
        let created_at: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
        let name = format!("user-{number}");
        let user = User {
            id: format!("AIDA{number:016}").parse().unwrap(),
            arn: format!("arn:aws:iam::123456789012:user/{name}").parse().unwrap(),
            name: name.parse().unwrap(),
            created_at,
            password_last_used: signed_in.then_some(created_at),
        };
        ListedUser { user, path: "/".to_owned() }
    }

    #[test]
    fn a_report_is_asked_for_where_it_saves_calls_or_tells_who_may_sign_in() {
        use ReportUse::{SavesCalls, ShowsPasswords};
        let page = |signed_in: usize, others: usize, next: Option<&str>| UserPage {
            users: (0..signed_in + others).map(|number| listed(number, number < signed_in)).collect(),
            next: next.map(str::to_owned),
            ..UserPage::default()
        };
        let people = Audience::SignedInUsers;
        for (audience, first, expected) in [
            (people, page(0, 0, None), None),
            (people, page(0, 20, None), None),
            (people, page(1, 19, None), Some(ShowsPasswords)),
            (people, page(20, 0, None), Some(ShowsPasswords)),
            (people, page(0, 21, None), Some(SavesCalls)),
            (people, page(21, 0, None), Some(SavesCalls)),
            (people, page(0, 1, Some("more")), Some(SavesCalls)),
            (people, page(1, 0, Some("more")), Some(SavesCalls)),
            (Audience::All, page(20, 0, None), None),
            (Audience::All, page(10, 11, None), Some(SavesCalls)),
            (Audience::Tagged, page(20, 0, None), None),
        ] {
            let staleness = StalenessPolicy::without_stages(90.try_into().unwrap());
            let rules = ListingRules { audience, path_prefix: PathPrefix::default(), staleness };
            let as_of = "2026-03-01T06:00:00Z".parse().unwrap();
            let users = first.users.len();
            assert_eq!(rules.report_use(&first, as_of), expected, "{audience:?} {users}");
        }
    }

    #[test]
    fn a_user_on_two_pages_is_shown_once() {
        let mut shown = Shown::default();
        let mut page = |users: &[usize]| {
            let users = users.iter().map(|number| listed(*number, true)).collect();
            let mut page = UserPage { users, ..UserPage::default() };
            shown.remove_from(&mut page);
            page.users.len()
        };
        assert_eq!([page(&[1, 2]), page(&[2, 3, 3]), page(&[1, 2, 3])], [2, 1, 0]);
    }

    #[test]
    fn a_list_without_an_end_does_not_fill_the_memory() {
        let mut shown = Shown::default();
        for number in 0..SHOWN_MAX + 5 {
            assert!(shown.is_first(&listed(number, true).user));
        }
        assert!(!shown.is_first(&listed(SHOWN_MAX - 1, true).user));
        assert_eq!(shown.0.len(), SHOWN_MAX);
    }
}
