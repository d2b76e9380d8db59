//! Which of an account's users are worth a call: decided by the list of users, and by the credential report where there is one.

use chrono::{DateTime, Utc};

use crate::audience::{Audience, PathPrefix, SkipReason};
use crate::credential_report::CredentialReport;
use crate::keys::StalenessPolicy;
use crate::ports::ListedUser;

/// So many users are asked about one by one, filter or not: a report costs some calls, too, and seconds.
pub const USERS_WITHOUT_A_REPORT_MAX: usize = 20;

/// More pages than an account can have: five full ones hold the 5,000 users that IAM allows, but pages may come short.
pub const PAGES_MAX: usize = 1_000;

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
            .or_else(|| report?.skips(user, staleness, as_of))
    }
}
