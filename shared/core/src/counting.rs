//! What is counted, and under which names: the functions count it, and the operator's tool adds it up.

use crate::audience::SkipReason;

/// Declares the metrics, each with the name it has in CloudWatch.
macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Something that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $($(#[$doc])* $name,)+
        }

        impl Metric {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The metric's name in CloudWatch and in the runs' records.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The metric of this name; none where a newer version counts something else.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

metrics! {
    /// Accounts that a run is to scan.
    ScansEnqueued,
    /// Accounts that do not let us in.
    AccountsDenied,
    /// Accounts whose credential report could not be had or read, so that all their users are checked.
    CredentialReportsUnavailable,
    /// Users who are not checked because their account lets us in no more.
    UsersDenied,
    /// Accounts whose users were all listed and enqueued. Its absence is what the "did not run" alarm waits for.
    ScansCompleted,
    /// Users that `iam:ListUsers` returned.
    UsersListed,
    /// Users among them who are not what IAM says its users are, and cannot be checked.
    UsersUnreadable,
    /// Users put on the users queue.
    UsersEnqueued,
    /// Checks put on the users queue, those of scans that were done again included.
    ChecksSent,
    /// Users skipped because they never signed in to the console.
    UsersSkippedNeverSignedIn,
    /// Users skipped because their path does not start with the prefix.
    UsersSkippedOutsidePath,
    /// Users skipped because they are younger than a stale key.
    UsersSkippedTooYoung,
    /// Users skipped because the credential report shows that they have no console password any more.
    UsersSkippedNoPassword,
    /// Users skipped because the credential report shows no active key of theirs.
    UsersSkippedNoActiveKey,
    /// Users skipped because the credential report shows that their active keys are too young.
    UsersSkippedNoOldKey,
    /// Users with stale keys skipped because they lack the contact tag.
    UsersSkippedNotTagged,
    /// Users who were checked, those who were gone by then included.
    UsersChecked,
    /// Users who were deleted between listing and checking.
    UsersGone,
    /// Users with at least one stale key, those included who were told already, are exempt, without contact or lack the
    /// contact tag. The worker finds out the latter three only of those who were not told or are due.
    StaleOwners,
    /// Stale owners who are exempt for now.
    Exempt,
    /// Exemption tags that exempt nobody: they hold no date, or one too far ahead.
    ExemptionsInvalid,
    /// Stale owners for whom no address was found.
    WithoutContact,
    /// Addresses passed over: not an address, or a domain that is not allowed.
    ContactsPassedOver,
    /// Stale keys whose last use could not be read; their mail says so.
    LastUsedUnreadable,
    /// Stale owners of whom the worker could not read whether they were told; the notifier finds out.
    LedgerUnreadable,
    /// Mails that SES took.
    MailsSent,
    /// Mails that a dry run would have sent.
    MailsNotSentDryRun,
    /// Attempts to send that failed; all but dead letters are tried again.
    MailsFailed,
    /// Owners with stale keys who were told before and are not due again.
    MailsNotDue,
    /// Mails that wait for the account's sending quota, or for the next day: `MailsPerDay`.
    MailsHeldBack,
    /// Mails that were not sent because their account had had its mails of the run: `MaxMailsPerAccount`.
    MailsOverAccountCap,
    /// Mails that wait because too many mails of the day reached nobody.
    MailsStopped,
    /// Mails that SES may have taken: the answer was lost.
    MailsOutcomeUnknown,
    /// Mails that SES took and the ledger could not be told of; SES's event tells it.
    MailsUnmarked,
    /// Mails in the built-in words because the organization's own templates cannot be used.
    TemplatesUnusable,
    /// Entries of the ledger that are dated ahead of the clock, or claimed for longer than a claim lasts. They count as none.
    LedgerImplausible,
    /// Claims whose outcome never became known and that were taken over: each may have been a mail too many.
    ClaimsTakenOver,
    /// Findings too old to be mailed, or not sent by the worker, whose users are checked again.
    FindingsSentBack,
    /// Events of SES.
    SesEvents,
    /// Claims that an event of SES settled before its own function could.
    ClaimsSettledByEvent,
    /// Owners whose mail bounced, was complained about or was rejected.
    OwnersNotReached,
    /// Scans that were delivered before and came to their end now, done or given up: what they counted may be counted twice.
    ScansRedelivered,
    /// The same of checks.
    ChecksRedelivered,
    /// The same of findings.
    FindingsRedelivered,
    /// The same of SES's events.
    EventsRedelivered,
    /// Deliveries, but for the first, of checks that came to their end. In the runs' records alone.
    ChecksRepeated,
    /// Deliveries of checks that ended with their being given back, so that they had to be repeated: the difference are those
    /// that vanished, and that may have counted something. In the runs' records alone.
    ChecksReturned,
    /// As [`Self::ChecksRepeated`], of findings.
    FindingsRepeated,
    /// As [`Self::ChecksReturned`], of findings.
    FindingsReturned,
    /// Checks that were replayed from the dead-letter queue and then done, or given up again. Only the runs'
    /// records have this count.
    ChecksReplayed,
    /// The same of findings.
    FindingsReplayed,
    /// Batches that are missing in the runs' records.
    CountsNotRecorded,
    /// Records that failed and were given back to their queue, to be tried again.
    RecordsGivenBack,
    /// Records that had no turn yet and were given back to their queue.
    RecordsPostponed,
    /// Those of them that were sent more than a day before.
    RecordsOverdue,
    /// Scans put in their dead-letter queue.
    ScansGivenUp,
    /// Checks put in their dead-letter queue.
    ChecksGivenUp,
    /// Findings put in their dead-letter queue.
    FindingsGivenUp,
    /// Events of SES put in their dead-letter queue.
    EventsGivenUp,
}

impl From<SkipReason> for Metric {
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::NeverSignedIn => Self::UsersSkippedNeverSignedIn,
            SkipReason::OutsidePath => Self::UsersSkippedOutsidePath,
            SkipReason::TooYoung => Self::UsersSkippedTooYoung,
            SkipReason::NoPassword => Self::UsersSkippedNoPassword,
            SkipReason::NoActiveKey => Self::UsersSkippedNoActiveKey,
            SkipReason::NoOldKey => Self::UsersSkippedNoOldKey,
            SkipReason::NotTagged => Self::UsersSkippedNotTagged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_name() {
        for &metric in Metric::ALL {
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
        assert_eq!(Metric::named("UsersForgotten"), None);
    }
}
