//! The scan itself, over the domain's ports: pages of users, and as many checks at once as IAM allows.
//!
//! Users are forgotten once they are checked, but for those with stale keys, and a page is asked for when the one before has
//! been given out. So an account of any size fits into the same memory.

use std::cell::RefCell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use keynudge_aws::credential_report::{self, NoReport};
use keynudge_core::audience::{SkipReason, UserFilter};
use keynudge_core::check::{self, OwnerOfStaleKeys, UserKeys, Verdict};
use keynudge_core::credential_report::CredentialReport;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::UserName;
use keynudge_core::keys::{AccessKey, KeyStatus, StaleKey, age_days};
use keynudge_core::listing::{ListingRules, PAGES_MAX, Shown};
use keynudge_core::messages::User;
use keynudge_core::ports::{CredentialReports, KeyStore, UnreadableUser, UserDirectory, UserPage};
use keynudge_pages::ages::{AgeCounts, KeyState};

use super::budget::{Budget, Patient, is_about_credentials};
use super::permissions::{Permissions, REFUSALS_MAX};
use super::report::{MISSED_MAX, StaleOwner, Telling, Users};
use super::table::counted;
use crate::interrupt::Interrupt;
use crate::rules::Rules;

/// How long the credential report is waited for: IAM takes seconds, and for large accounts some more.
const REPORT_PATIENCE: Duration = Duration::from_mins(2);

/// What to scan, and how.
pub(super) struct Scanner<'a, I> {
    pub(super) iam: &'a I,
    pub(super) rules: &'a Rules,
    pub(super) user_filter: UserFilter,
    pub(super) as_of: DateTime<Utc>,
    pub(super) concurrency: usize,
    pub(super) progress: &'a ProgressBar,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) users: Users,
    pub(super) ages: AgeCounts,
    /// In no order.
    pub(super) owners: Vec<StaleOwner>,
    /// Whether the list of users was read to its end.
    pub(super) is_listed_whole: bool,
    pub(super) stopped: Option<Stopped>,
    /// Why a user could not be checked, the first of them.
    pub(super) check_failed: Option<CallFailed>,
    /// Users who could not be checked, the first [`MISSED_MAX`] of them.
    pub(super) missed: Vec<(UserName, CallFailed)>,
    /// Users of Bedrock's API keys who have an active access key, skipped ones included; in no order.
    pub(super) of_bedrock_api_keys: Vec<UserName>,
    /// Users of the list who cannot be read, the first [`MISSED_MAX`] of them.
    pub(super) unreadable: Vec<UnreadableUser>,
    /// Why the last use of a key could not be read, the first of them.
    pub(super) last_use_unreadable: Option<CallFailed>,
    /// Why there is no credential report, although it was wanted.
    pub(super) no_report: Option<String>,
}

impl Found {
    /// Why this is not about all users, if it is not.
    pub(super) fn incomplete(&self) -> Option<String> {
        match &self.stopped {
            Some(Stopped::Interrupted) => Some("interrupted".to_owned()),
            Some(Stopped::Failed(error)) => Some(error.to_string()),
            None => {
                self.check_failed.as_ref().map(ToString::to_string).or_else(|| self.has_unreadable_users())
            }
        }
    }

    fn has_unreadable_users(&self) -> Option<String> {
        let users = self.users.unreadable;
        (users > 0).then(|| format!("{} not readable", counted(users, "user is", "users are")))
    }

    /// Takes note of a user who could not be checked, or of a list that ends too soon.
    fn miss(&mut self, user: Option<UserName>, error: CallFailed) {
        if let Some(user) = user.filter(|_| self.missed.len() < MISSED_MAX) {
            self.missed.push((user, error.clone()));
        }
        self.check_failed.get_or_insert(error);
    }
}

/// Why a scan ended before its time.
#[derive(Debug)]
pub(super) enum Stopped {
    Interrupted,
    /// IAM answered nothing any more, or the credentials are over.
    Failed(CallFailed),
}

impl<I: UserDirectory + KeyStore + CredentialReports> Scanner<'_, I> {
    /// Scans until all is done, it is interrupted, or nothing is answered any more. What IAM lets us do for nobody is an
    /// error: nothing would come of going on.
    pub(super) async fn scan(&self, interrupt: &Interrupt) -> Result<Found, CallFailed> {
        let budget = Budget::new(self.concurrency);
        let permissions = Permissions::default();
        let iam = Patient { iam: self.iam, budget: &budget, permissions: &permissions };
        let found = RefCell::new(Found::default());
        let stopped = {
            let users = self.users(&iam, &found);
            let checks = users.map(|user| async {
                let (user, skipped) = user.map_err(|error| (None, error))?;
                if skipped.is_some() {
                    self.look_for_access_keys(&iam, &user, &found).await;
                    return Ok(());
                }
                self.check(&iam, &user, &found).await.map_err(|error| (Some(user.name), error))
            });
            let mut checks = Box::pin(checks.buffer_unordered(self.concurrency));
            loop {
                let checked = tokio::select! {
                    biased;
                    () = interrupt.asked() => break Some(Stopped::Interrupted),
                    checked = checks.next() => checked,
                };
                match checked {
                    None => break None,
                    Some(Ok(())) => {}
                    Some(Err((_, error))) if is_about_credentials(&error) || budget.is_given_up() => {
                        break Some(Stopped::Failed(error));
                    }
                    Some(Err((user, error))) => {
                        if let Some(missing) = permissions.missing_after(REFUSALS_MAX) {
                            return Err(missing);
                        }
                        found.borrow_mut().miss(user, error);
                    }
                }
            }
        };
        if let (None, Some(missing)) = (&stopped, permissions.missing_after(1)) {
            return Err(missing);
        }
        let mut found = found.into_inner();
        found.stopped = stopped;
        found.users.not_checked = found.users.listed - found.users.done();
        Ok(found)
    }

    /// The users who are worth a call, page by page; with the reason, if they are skipped all the same.
    /// Everybody else is only counted.
    fn users<'a>(
        &'a self,
        iam: &'a Patient<'a, I>,
        found: &'a RefCell<Found>,
    ) -> impl Stream<Item = Result<(User, Option<SkipReason>), CallFailed>> + 'a {
        struct Pages {
            next: Option<String>,
            read: usize,
            report: Option<CredentialReport>,
            shown: Shown,
        }
        let first = Pages { next: None, read: 0, report: None, shown: Shown::default() };
        let pages = stream::try_unfold(Some(first), async move |pages| {
            let Some(mut pages) = pages else { return Ok(None) };
            let mut page = iam.users_page(pages.next.as_deref()).await?;
            if pages.read == 0 && self.listing_rules().report_use(&page, self.as_of).is_some() {
                pages.report = self.credential_report(iam, found).await?;
            }
            pages.read += 1;
            if page.next.is_some() && pages.read == PAGES_MAX {
                return Err(endless_list());
            }
            pages.shown.remove_from(&mut page);
            let next = page.next.clone();
            let users = self.sift(page, pages.report.as_ref(), &mut found.borrow_mut());
            let pages = next.map(|next| Pages { next: Some(next), ..pages });
            found.borrow_mut().is_listed_whole = pages.is_none();
            Ok(Some((stream::iter(users).map(Ok), pages)))
        });
        pages.try_flatten()
    }

    /// Those of a page who are worth a call; the others are counted.
    fn sift(
        &self,
        page: UserPage,
        report: Option<&CredentialReport>,
        found: &mut Found,
    ) -> Vec<(User, Option<SkipReason>)> {
        let rules = self.listing_rules();
        let users = &mut found.users;
        users.listed += page.users.len() + page.unreadable.len();
        users.unreadable += page.unreadable.len();
        let named = MISSED_MAX.saturating_sub(found.unreadable.len());
        found.unreadable.extend(page.unreadable.into_iter().take(named));
        let mut worth_a_call = Vec::new();
        for listed in page.users {
            let skipped = rules.skips(&listed, self.as_of, report);
            if let Some(reason) = skipped {
                *users.skipped.entry(reason).or_default() += 1;
            }
            if skipped.is_none() || listed.user.name.is_of_bedrock_api_key() {
                worth_a_call.push((listed.user, skipped));
            }
        }
        self.progress.set_position(users.done() as u64);
        worth_a_call
    }

    fn listing_rules(&self) -> ListingRules {
        let Rules { staleness, path_prefix, owner } = self.rules.clone();
        ListingRules { audience: owner.audience, path_prefix, staleness }
    }

    /// The account's credential report, where it is wanted and can be had. Without, all users are checked.
    async fn credential_report(
        &self,
        iam: &Patient<'_, I>,
        found: &RefCell<Found>,
    ) -> Result<Option<CredentialReport>, CallFailed> {
        if self.user_filter == UserFilter::None {
            return Ok(None);
        }
        match credential_report::fetch(iam, REPORT_PATIENCE).await {
            Ok(report) => Ok(Some(report)),
            Err(NoReport::Call(error)) if is_about_credentials(&error) => Err(error),
            Err(NoReport::Call(error)) if error.class == FailureClass::Operator => {
                let refused = Err(error);
                iam.permissions.note("iam:GenerateCredentialReport", &refused);
                refused
            }
            Err(error) => {
                found.borrow_mut().no_report = Some(error.to_string());
                Ok(None)
            }
        }
    }

    /// Reads the access keys of a skipped user of a Bedrock API key. A failure leaves the user out of the
    /// remark, and the report complete.
    async fn look_for_access_keys(&self, iam: &Patient<'_, I>, user: &User, found: &RefCell<Found>) {
        if let Ok(Some(keys)) = iam.access_keys(&user.name).await {
            point_out(user, &keys, &mut found.borrow_mut());
        }
    }

    /// Looks at one user, as the worker does. Counts them only once all is known.
    async fn check(
        &self,
        iam: &Patient<'_, I>,
        user: &User,
        found: &RefCell<Found>,
    ) -> Result<(), CallFailed> {
        let Rules { staleness, owner: rules, .. } = self.rules;
        let Some(UserKeys { all, stale }) = check::keys_of(iam, &user.name, staleness, self.as_of).await?
        else {
            self.count(&[], found);
            return Ok(());
        };
        if stale.is_empty() {
            self.count(&all, found);
            point_out(user, &all, &mut found.borrow_mut());
            return Ok(());
        }
        let owner = check::owner_of(iam, &user.name, rules, self.as_of).await?;
        let Some(owner) = owner else {
            self.count(&[], found);
            return Ok(());
        };
        let mut keys = stale;
        // Also of those who would not be told: whoever reads the report wants to know which keys are in use.
        let unreadable = owner.fill_in(iam, &mut keys).await;
        self.count(&all, found);
        point_out(user, &all, &mut found.borrow_mut());
        keep(user, &owner, keys, unreadable, &mut found.borrow_mut());
        Ok(())
    }

    /// Counts a user who was checked, and their keys.
    fn count(&self, keys: &[AccessKey], found: &RefCell<Found>) {
        let mut found = found.borrow_mut();
        found.users.checked += 1;
        for key in keys {
            let state = match key.status {
                KeyStatus::Inactive => KeyState::Inactive,
                KeyStatus::Active if self.rules.staleness.is_too_young(key.created_at, self.as_of) => {
                    KeyState::Fresh
                }
                KeyStatus::Active => KeyState::Stale,
            };
            found.ages.add(age_days(key.created_at, self.as_of), state);
        }
        self.progress.set_position(found.users.done() as u64);
    }
}

/// Notes a user of a Bedrock API key who has an active access key, too.
fn point_out(user: &User, keys: &[AccessKey], found: &mut Found) {
    if user.name.is_of_bedrock_api_key() && keys.iter().any(|key| key.status == KeyStatus::Active) {
        found.of_bedrock_api_keys.push(user.name.clone());
    }
}

/// Keeps somebody with stale keys.
fn keep(
    user: &User,
    owner: &OwnerOfStaleKeys,
    keys: Vec<StaleKey>,
    unreadable: Vec<CallFailed>,
    found: &mut Found,
) {
    if let Some(error) = unreadable.into_iter().next() {
        found.last_use_unreadable.get_or_insert(error);
    }
    found.owners.push(StaleOwner {
        user_name: user.name.clone(),
        user_id: user.id.clone(),
        keys,
        passed_over: owner.passed_over(),
        refused_exemption: owner.refused_exemption,
        telling: match owner.verdict() {
            Verdict::Tell(recipient) => Telling::Mail(recipient),
            Verdict::WithoutContact => Telling::WithoutContact,
            Verdict::ExemptUntil(day) => Telling::ExemptUntil(day),
            Verdict::NotTagged => Telling::NotTagged,
        },
    });
}

fn endless_list() -> CallFailed {
    let code = "the list has more pages than there can be".to_owned();
    CallFailed { call: "iam:ListUsers", class: FailureClass::Never, code, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    use keynudge_core::ports::{ListedUser, ReportState};
    use keynudge_testing::{MemoryIam, MemoryReport, key, now, user};
    use tokio::time::sleep;

    use crate::aws::Parameters;
    use crate::rules::RulesArgs;

    /// Pages of 100 users, the first of each with a key that is 100 days old.
    fn iam(pages: usize) -> MemoryIam {
        let name = |page: usize, number: usize| format!("user-{page}-{number}@corp.example");
        let listed = |page, number| ListedUser { user: user(&name(page, number)), path: "/".to_owned() };
        let keys = |page, number| {
            let age_days = if number == 0 { 100 } else { 10 };
            (name(page, number), vec![key(&format!("{page}{number}"), KeyStatus::Active, age_days)])
        };
        MemoryIam {
            pages: (0..pages).map(|page| Ok((0..100).map(|number| listed(page, number)).collect())).collect(),
            keys: (0..pages).flat_map(|page| (0..100).map(move |number| keys(page, number))).collect(),
            latency: Duration::from_millis(50),
            ..MemoryIam::default()
        }
    }

    async fn scan_with(
        iam: &MemoryIam,
        user_filter: UserFilter,
        interrupt: &Interrupt,
    ) -> Result<Found, CallFailed> {
        let rules = RulesArgs::default().resolve(&Parameters::default()).unwrap();
        let progress = ProgressBar::hidden();
        let as_of = now();
        let scanner = Scanner { iam, rules: &rules, user_filter, as_of, concurrency: 8, progress: &progress };
        scanner.scan(interrupt).await
    }

    async fn scan(iam: &MemoryIam) -> Result<Found, CallFailed> {
        let interrupt = Interrupt::never();
        scan_with(iam, UserFilter::None, &interrupt).await
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_checked_and_a_page_is_read_when_the_one_before_has_been_given_out() {
        let iam = iam(5);
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.listed, found.users.checked, found.users.not_checked), (500, 500, 0));
        assert_eq!((found.owners.len(), found.is_listed_whole), (5, true));
        let calls = iam.calls.borrow();
        let pages: Vec<usize> = calls
            .iter()
            .enumerate()
            .filter(|(_, call)| *call == "page")
            .map(|(at, _)| calls[..at].iter().filter(|call| call.starts_with("keys")).count())
            .collect();
        let after_enough = pages.iter().enumerate().all(|(page, checked)| checked + 8 >= 100 * page);
        assert!(after_enough, "checked before each page: {pages:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_cannot_be_checked_is_counted_and_costs_nobody_else() {
        let mut iam = iam(1);
        let broken = [
            ("keys user-0-7@corp.example", FailureClass::Retry),
            ("tags user-0-0@corp.example", FailureClass::Never),
        ];
        iam.failing = BTreeMap::from(broken);
        // The calls of the others come between its own.
        let others = iam.pages[0].clone().unwrap();
        iam.pages.extend((0..100).map(|page| {
            let mut others = others[10..].to_vec();
            for (number, other) in others.iter_mut().enumerate() {
                other.user.id = format!("AIDA{page:08}{number:08}").parse().unwrap();
            }
            Ok(others)
        }));
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.listed, found.users.not_checked, found.owners.len()), (9_100, 2, 0));
        assert!(found.check_failed.is_some() && found.stopped.is_none() && found.is_listed_whole);
        let missed: BTreeSet<&str> = found.missed.iter().map(|(user, _)| user.as_str()).collect();
        assert_eq!(missed, ["user-0-0@corp.example", "user-0-7@corp.example"].into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_cannot_be_read_to_its_end_is_no_complete_scan() {
        let mut iam = iam(3);
        iam.pages[2] = Err(FailureClass::Never);
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.checked, found.owners.len(), found.is_listed_whole), (200, 2, false));
        assert!(found.check_failed.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_answers_nothing_ends_it() {
        let mut iam = iam(3);
        let code = "Throttling".to_owned();
        let class = FailureClass::Retry;
        iam.refusal = Some(CallFailed { call: "iam:ListUsers", class, code, source: None });
        let began = tokio::time::Instant::now();
        let found = scan(&iam).await.unwrap();
        assert!(matches!(found.stopped, Some(Stopped::Failed(_))));
        assert_eq!((found.users.listed, began.elapsed().as_secs() / 60), (0, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn one_whom_nobody_may_look_at_costs_nobody_else_wherever_they_are_on_the_list() {
        for denied in
            ["keys user-0-0@corp.example", "keys user-0-7@corp.example", "keys user-1-99@corp.example"]
        {
            let mut iam = iam(2);
            iam.failing = BTreeMap::from([(denied, FailureClass::Operator)]);
            let found = scan(&iam).await.unwrap();
            assert_eq!((found.users.listed, found.users.checked, found.users.not_checked), (200, 199, 1));
            assert!(found.check_failed.is_some() && found.stopped.is_none(), "{denied}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rights_that_are_withdrawn_midway_keep_what_there_is() {
        let mut iam = iam(3);
        iam.pages[2] = Err(FailureClass::Operator);
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.checked, found.owners.len(), found.is_listed_whole), (200, 2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_denied_for_everybody_ends_it() {
        let mut iam = iam(1);
        let code = "AccessDenied".to_owned();
        let class = FailureClass::Operator;
        iam.refusal = Some(CallFailed { call: "iam:ListUsers", class, code, source: None });
        assert_eq!(scan(&iam).await.unwrap_err().class, FailureClass::Operator);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_were_withdrawn_stop_it() {
        let mut iam = iam(1);
        let code = "InvalidClientTokenId".to_owned();
        let class = FailureClass::Operator;
        iam.refusal = Some(CallFailed { call: "iam:ListUsers", class, code, source: None });
        assert!(matches!(scan(&iam).await.unwrap().stopped, Some(Stopped::Failed(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_keeps_what_there_is_and_the_numbers_add_up() {
        let iam = iam(5);
        let interrupt = Interrupt::never();
        let interrupting = async {
            sleep(Duration::from_secs(1)).await;
            interrupt.ask();
        };
        let (found, ()) = futures::join!(scan_with(&iam, UserFilter::None, &interrupt), interrupting);
        let found = found.unwrap();
        assert!(matches!(found.stopped, Some(Stopped::Interrupted)));
        let Users { listed, checked, not_checked, .. } = found.users;
        assert!(checked > 100 && not_checked > 0 && listed < 500, "{listed} {checked} {not_checked}");
        assert_eq!(listed, checked + not_checked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_never_comes_is_done_without() {
        let mut iam = iam(1);
        iam.report = MemoryReport::default();
        iam.report.states.replace(vec![Ok(ReportState::InProgress); 1_000].into());
        let interrupt = Interrupt::never();
        let found = scan_with(&iam, UserFilter::CredentialReport, &interrupt).await.unwrap();
        assert_eq!((found.users.checked, found.no_report.is_some()), (100, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_on_two_pages_is_one_owner() {
        let mut iam = iam(2);
        let Ok(first) = iam.pages[0].clone() else { unreachable!() };
        iam.pages[1].as_mut().unwrap().push(first[0].clone());
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.listed, found.users.checked, found.owners.len()), (200, 200, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_is_gone_by_then_is_checked_and_has_no_keys() {
        let mut iam = iam(1);
        iam.keys.remove("user-0-0@corp.example");
        let found = scan(&iam).await.unwrap();
        assert_eq!((found.users.checked, found.owners.len()), (100, 0));
    }
}
