//! How much mail may be sent, and when: SES drops what exceeds the account's rate or its quota for 24 hours.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ports::{SendQuota, SendQuotas};
use keynudge_lambda::pace::Pace;
use tokio::time::Instant;

/// Why a mail waits while the account's quota for 24 hours is used up.
pub(crate) const QUOTA_USED_UP: &str = "quota used up";

/// This instance's share of what the account may send. It asks SES once when it is new, and again only when
/// its share of the daily quota is used up.
///
/// The shares of instances that ask at the same time add up to no more than what is left of the quota. Shares
/// that are taken at different times may exceed it, because an instance does not know how much of their
/// shares the others have yet to use. SES refuses each mail over the quota. An instance that hears so sends
/// nothing for `ask_again_after`, so each of them tries at most one mail too many in that time. That mail
/// goes out later. An instance that Lambda replaces counts as another.
pub(crate) struct Allowance {
    instances: NonZeroU32,
    per_second: Option<NonZeroU32>,
    ask_again_after: Duration,
    per_day: Cell<Option<u64>>,
    pace: RefCell<Option<Rc<Pace>>>,
    left: Cell<Left>,
}

/// What is left of the share of the daily quota.
#[derive(Clone, Copy)]
enum Left {
    /// SES was not asked yet.
    NotAsked,
    /// There is no limit.
    Unlimited,
    /// So many mails; with none left, SES is asked again from then on.
    Mails(u64, Instant),
}

impl Allowance {
    /// The share that one of `instances` has of `per_second`, or of half of SES's rate: other systems of the account send mail,
    /// too. While the whole quota is used up, SES is asked every `ask_again_after`.
    pub(crate) fn new(
        instances: NonZeroU32,
        per_second: Option<NonZeroU32>,
        ask_again_after: Duration,
    ) -> Self {
        Self {
            instances,
            per_second,
            ask_again_after,
            per_day: Cell::default(),
            pace: RefCell::default(),
            left: Cell::new(Left::NotAsked),
        }
    }

    /// How many mails SES lets its account send a day; `None` without a limit, and before the first turn.
    pub(crate) fn ses_per_day(&self) -> Option<u64> {
        self.per_day.get()
    }

    /// Waits for the turn to send one mail. Fails for an operator while the account's quota is used up.
    pub(crate) async fn turn(&self, quotas: &impl SendQuotas) -> Result<(), CallFailed> {
        if self.must_ask() {
            self.keep(quotas.send_quota().await?);
        }
        if let Left::Mails(0, _) = self.left.get() {
            let code = QUOTA_USED_UP.to_owned();
            return Err(CallFailed {
                call: "ses:SendEmail",
                class: FailureClass::Operator,
                code,
                source: None,
            });
        }
        let pace = self.pace.borrow().clone();
        if let Some(pace) = pace {
            pace.turn().await;
        }
        if let Left::Mails(left, ask_again_at) = self.left.get() {
            self.left.set(Left::Mails(left.saturating_sub(1), ask_again_at));
        }
        Ok(())
    }

    /// Hears what came of a mail: SES's own word counts, should the account's mail come from elsewhere, too.
    pub(crate) fn heed(&self, result: &Result<(), CallFailed>) {
        if let Some(pace) = &*self.pace.borrow() {
            pace.heed(result);
        }
        let is_quota = |error: &CallFailed| {
            error.class == FailureClass::Operator && error.code.starts_with("Throttling")
        };
        if result.as_ref().is_err_and(is_quota) {
            self.left.set(Left::Mails(0, Instant::now() + self.ask_again_after));
        }
    }

    /// Mails a second, of all instances; `None` without a limit.
    fn rate(&self, of_ses: Option<f64>) -> Option<f64> {
        let set = self.per_second.map(|mails| f64::from(mails.get()));
        match (set, of_ses) {
            (Some(set), Some(of_ses)) => Some(set.min(of_ses)),
            (None, Some(of_ses)) => Some(of_ses / 2.0),
            (set, None) => set,
        }
    }

    fn must_ask(&self) -> bool {
        match self.left.get() {
            Left::NotAsked => true,
            Left::Unlimited => false,
            Left::Mails(left, ask_again_at) => left == 0 && ask_again_at <= Instant::now(),
        }
    }

    fn keep(&self, quota: SendQuota) {
        let instances = self.instances.get();
        self.per_day.set(quota.per_day);
        self.left.set(match quota.left_today {
            None => Left::Unlimited,
            Some(left) => match left / u64::from(instances) {
                // Fewer than there are instances, and no instance knows which of them it is.
                0 => Left::Mails(0, Instant::now() + self.ask_again_after),
                // The other instances may not need theirs. So an instance that has used up its share takes a
                // share of what is left then.
                share => Left::Mails(share, Instant::now()),
            },
        });
        let mut pace = self.pace.borrow_mut();
        if pace.is_none() {
            // SES counts by the second: nothing is made up for.
            let share = |rate| Pace::share(rate, instances, NonZeroU32::MIN);
            *pace = self.rate(quota.per_second).and_then(share).map(Rc::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_testing::MemoryMailer;
    use tokio::time::advance;

    fn ses(per_second: Option<f64>, left_today: Option<u64>) -> MemoryMailer {
        let mailer = MemoryMailer::default();
        mailer.quota.set(Ok(SendQuota { per_second, per_day: left_today, left_today }));
        mailer
    }

    /// SES's answer to a mail over the daily quota.
    fn over_quota() -> CallFailed {
        let code = "Throttling".to_owned();
        CallFailed { call: "ses:SendEmail", class: FailureClass::Operator, code, source: None }
    }

    fn allowance(instances: u32) -> Allowance {
        Allowance::new(instances.try_into().unwrap(), None, Duration::from_hours(1))
    }

    #[test]
    fn the_rate_is_the_one_that_is_set_as_far_as_ses_allows_it_or_half_of_sess() {
        for (set, of_ses, expected) in [
            (Some(3), Some(14.0), Some(3.0)),
            (Some(20), Some(14.0), Some(14.0)),
            (None, Some(14.0), Some(7.0)),
            (None, Some(1.0), Some(0.5)),
            (Some(3), None, Some(3.0)),
            (None, None, None),
        ] {
            let per_second = set.map(|mails: u32| mails.try_into().unwrap());
            let allowance = Allowance::new(NonZeroU32::MIN, per_second, Duration::from_hours(1));
            assert_eq!(allowance.rate(of_ses), expected, "{set:?} of {of_ses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn mails_keep_to_this_instances_share_of_the_rate_and_ses_is_asked_once() {
        let (ses, allowance) = (ses(Some(28.0), None), allowance(2));
        let started = Instant::now();
        for _ in 0..71 {
            allowance.turn(&ses).await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((9.9..10.5).contains(&seconds), "70 mails after the first, at 7 a second: {seconds} s");
        assert_eq!(ses.quota_calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_without_limits_waits_for_nothing() {
        let (ses, allowance) = (ses(None, None), allowance(2));
        let started = Instant::now();
        for _ in 0..1_000 {
            allowance.turn(&ses).await.unwrap();
        }
        assert_eq!((started.elapsed(), ses.quota_calls.get()), (Duration::ZERO, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_daily_quota_that_is_used_up_is_shared_again() {
        let (ses, allowance) = (ses(None, Some(10)), allowance(2));
        for _ in 0..5 {
            allowance.turn(&ses).await.unwrap();
        }
        assert_eq!(ses.quota_calls.get(), 1);
        ses.quota.set(Ok(SendQuota { per_second: None, per_day: None, left_today: Some(2) }));
        allowance.turn(&ses).await.unwrap();
        ses.quota.set(Ok(SendQuota { per_second: None, per_day: None, left_today: Some(0) }));
        let error = allowance.turn(&ses).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Operator, QUOTA_USED_UP));
        assert_eq!(ses.quota_calls.get(), 3);
    }

    /// How many mails a fleet may send that asks SES all at once, while SES allows `left` of them.
    async fn mails_of_fleet(instances: u32, left: u64) -> u64 {
        let ses = ses(None, Some(left));
        let mut mails = 0;
        for _ in 0..instances {
            let allowance = allowance(instances);
            ses.quota_calls.set(0);
            // Up to where the instance would ask for another share.
            while allowance.turn(&ses).await.is_ok() && ses.quota_calls.get() == 1 {
                mails += 1;
            }
        }
        mails
    }

    #[tokio::test(start_paused = true)]
    async fn the_shares_of_all_instances_add_up_to_no_more_than_what_is_left() {
        for instances in [1, 2, 3, 7] {
            for left in 0..50 {
                let shares = mails_of_fleet(instances, left).await;
                let unused = left.checked_sub(shares).expect("a mail over the quota");
                assert!(unused < instances.into(), "{instances} instances leave {unused} of {left}");
            }
        }
    }

    /// The order in which instances have mails to send: in turn; one after the other; or one after the other
    /// when all have taken their first shares.
    fn orders(instances: usize) -> [Vec<usize>; 3] {
        const MAILS: usize = 100;
        let in_turn = || (0..instances * MAILS).map(|turn| turn % instances);
        let one_by_one = || (0..instances * MAILS).map(|turn| turn / MAILS);
        let shares_first = in_turn().take(instances).chain(one_by_one());
        [in_turn().collect(), one_by_one().collect(), shares_first.collect()]
    }

    #[tokio::test(start_paused = true)]
    async fn shares_taken_at_different_times_cost_each_instance_at_most_one_mail_over_the_quota() {
        for instances in [1, 2, 3, 7] {
            for quota in 0..50 {
                for order in orders(instances) {
                    let fleet: Vec<_> =
                        (0..instances).map(|_| allowance(instances.try_into().unwrap())).collect();
                    let (mut left, mut refused) = (quota, vec![0; instances]);
                    for instance in order {
                        let ses = ses(None, Some(left));
                        if fleet[instance].turn(&ses).await.is_err() {
                            continue;
                        }
                        let is_taken = left > 0;
                        fleet[instance].heed(&if is_taken { Ok(()) } else { Err(over_quota()) });
                        left = left.saturating_sub(1);
                        refused[instance] += u32::from(!is_taken);
                    }
                    assert!(refused.iter().all(|refused| *refused <= 1), "{instances}, {quota}: {refused:?}");
                    let unused = usize::try_from(left).unwrap();
                    assert!(unused < instances, "{instances} instances leave {unused} of {quota}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_two_instances_could_both_take_is_left_for_later() {
        let (ses, allowances) = (ses(None, Some(1)), [allowance(2), allowance(2)]);
        for allowance in &allowances {
            let error = allowance.turn(&ses).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (FailureClass::Operator, QUOTA_USED_UP));
        }
        ses.quota.set(Ok(SendQuota { per_second: None, per_day: None, left_today: Some(2) }));
        advance(Duration::from_hours(1)).await;
        for allowance in &allowances {
            allowance.turn(&ses).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_quota_is_used_up_ses_is_left_alone_for_an_hour() {
        let (ses, allowance) = (ses(None, Some(0)), allowance(1));
        for _ in 0..5 {
            allowance.turn(&ses).await.unwrap_err();
        }
        ses.quota.set(Ok(SendQuota { per_second: None, per_day: None, left_today: Some(200) }));
        advance(Duration::from_mins(59)).await;
        allowance.turn(&ses).await.unwrap_err();
        assert_eq!(ses.quota_calls.get(), 1);
        advance(Duration::from_mins(1)).await;
        allowance.turn(&ses).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn sess_own_word_that_the_quota_is_used_up_counts() {
        let (ses, allowance) = (ses(None, Some(100)), allowance(1));
        allowance.turn(&ses).await.unwrap();
        allowance.heed(&Err(over_quota()));
        allowance.turn(&ses).await.unwrap_err();
        assert_eq!(ses.quota_calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_refusal_says_that_the_quota_is_used_up() {
        let (ses, allowance) = (ses(None, Some(100)), allowance(1));
        allowance.turn(&ses).await.unwrap();
        for (class, code) in
            [(FailureClass::Retry, "Throttling"), (FailureClass::Operator, "MessageRejected")]
        {
            let code = code.to_owned();
            allowance.heed(&Err(CallFailed { call: "ses:SendEmail", class, code, source: None }));
            assert_eq!(allowance.turn(&ses).await.map_err(|error| error.code), Ok(()), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_cannot_be_read_is_asked_for_again() {
        let (ses, allowance) = (ses(None, None), allowance(1));
        ses.quota.set(Err(FailureClass::Retry));
        allowance.turn(&ses).await.unwrap_err();
        ses.quota.set(Ok(SendQuota { per_second: None, per_day: None, left_today: None }));
        allowance.turn(&ses).await.unwrap();
    }
}
