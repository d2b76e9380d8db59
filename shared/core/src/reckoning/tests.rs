//! Sums of counts as functions make them: by hand, and by a pipeline in which everything goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn record(account: u64, counts: &[(Metric, u64)]) -> AccountRecord {
    let account_id = format!("{account:012}").parse().unwrap();
    AccountRecord { account_id, counts: counts.iter().copied().collect() }
}

/// A scan of 1,000 users of whom 860 are checked.
const SCANNED: [(Metric, u64); 7] = [
    (Metric::ScansCompleted, 1),
    (Metric::UsersListed, 1_000),
    (Metric::UsersSkippedNeverSignedIn, 80),
    (Metric::UsersSkippedNoPassword, 10),
    (Metric::UsersSkippedTooYoung, 50),
    (Metric::UsersEnqueued, 860),
    (Metric::ChecksSent, 860),
];

fn scanned_and(more: &[(Metric, u64)]) -> AccountRecord {
    record(1, &[&SCANNED[..], more].concat())
}

fn summary(record: &AccountRecord) -> Summary {
    Summary::of(Some(1), std::slice::from_ref(record), Some(Queued::default()))
}

#[test]
fn a_run_that_went_well_adds_up_and_is_done() {
    let summary = summary(&scanned_and(&[
        (Metric::UsersChecked, 860),
        (Metric::StaleOwners, 100),
        (Metric::MailsSent, 70),
        (Metric::MailsNotDue, 20),
        (Metric::Exempt, 6),
        (Metric::WithoutContact, 4),
    ]));
    assert_eq!(summary.state, State::Done);
    assert_eq!(
        summary.users,
        Users {
            listed: 1_000,
            never_signed_in: 80,
            no_password: 10,
            too_young: 50,
            enqueued: 860,
            ..Users::default()
        }
    );
    assert_eq!(summary.checks, Checks { enqueued: 860, checked: 860, ..Checks::default() });
    let owners =
        Owners { stale: 100, mailed: 70, not_due: 20, exempt: 6, without_contact: 4, ..Owners::default() };
    assert_eq!(summary.owners, owners);
}

#[test]
fn what_becomes_of_checks_and_owners_adds_up_over_accounts() {
    let more = |times: u64| {
        let counts = [
            (Metric::ScansCompleted, 1),
            (Metric::UsersEnqueued, 100),
            (Metric::ChecksSent, 107),
            (Metric::UsersChecked, 70),
            (Metric::UsersDenied, 11),
            (Metric::ChecksGivenUp, 4),
            (Metric::StaleOwners, 60),
            (Metric::MailsNotSentDryRun, 13),
            (Metric::UsersSkippedNotTagged, 5),
            (Metric::FindingsSentBack, 3),
            (Metric::MailsNotDue, 2),
            (Metric::MailsOutcomeUnknown, 1),
        ];
        record(times, &counts.map(|(metric, n)| (metric, n * times)))
    };
    let summary = Summary::of(Some(2), &[more(1), more(2)], None);
    let Checks { enqueued, again, sent_back, checked, denied, dead, waiting, excess, .. } = summary.checks;
    assert_eq!((enqueued, again, sent_back), (300, 21, 9));
    assert_eq!((checked, denied, dead, waiting, excess), (210, 33, 12, 75, 0));
    assert_eq!(summary.checks.to_do(), 330);
    let Owners { would_be_mailed, not_tagged, sent_back, not_due, waiting, outcome_unknown, .. } =
        summary.owners;
    assert_eq!((would_be_mailed, not_tagged, sent_back, not_due), (39, 15, 9, 6));
    assert_eq!((waiting, outcome_unknown), (111, 3));

    // Before the scan is complete, what was checked, denied or given up, and is no finding's, is ahead of it.
    let ahead = record(
        1,
        &[
            (Metric::UsersChecked, 40),
            (Metric::UsersDenied, 20),
            (Metric::ChecksGivenUp, 6),
            (Metric::UsersEnqueued, 7),
            (Metric::FindingsSentBack, 3),
        ],
    );
    let checks = Summary::of(Some(1), &[ahead], None).checks;
    assert_eq!((checks.ahead, checks.to_do(), checks.waiting), (56, 66, 0));
}

/// A scan that died between sending its checks and counting them.
#[test]
fn checks_of_nobody_knows_how_many_scans_are_a_margin() {
    let ended = [
        (Metric::ScansRedelivered, 1),
        (Metric::UsersChecked, 850),
        (Metric::UsersDenied, 5),
        (Metric::ChecksGivenUp, 15),
    ];
    assert_eq!(summary(&scanned_and(&ended)).checks.margin, 10);
}

#[test]
fn what_is_missing_waits_unless_it_is_dead() {
    let record = scanned_and(&[
        (Metric::UsersChecked, 850),
        (Metric::UsersDenied, 5),
        (Metric::ChecksGivenUp, 2),
        (Metric::StaleOwners, 10),
        (Metric::MailsSent, 6),
        (Metric::FindingsGivenUp, 1),
    ]);
    let queued = Queued { users: 3, findings: 3, accounts: 0 };
    let summary = Summary::of(Some(1), &[record], Some(queued));
    let Checks { checked, denied, dead, waiting, .. } = summary.checks;
    assert_eq!((checked, denied, dead, waiting), (850, 5, 2, 3));
    assert_eq!((summary.owners.failed, summary.owners.waiting), (1, 3));
    assert_eq!((summary.state, summary.failed(), summary.waiting()), (State::UnderWay, 3, 6));
}

#[test]
fn what_waits_in_no_queue_is_missing() {
    let record = scanned_and(&[(Metric::UsersChecked, 859)]);
    assert_eq!(summary(&record).state, State::Missing);
    assert_eq!(Summary::of(Some(1), &[record], None).state, State::UnderWay, "nobody has looked");
}

#[test]
fn nothing_is_missing_of_a_run_that_the_queues_may_not_show_yet() {
    let started_at: DateTime<Utc> = "2026-03-01T06:00:00Z".parse().unwrap();
    let state = |seconds| {
        let queued = Queued::default().settled(started_at, started_at + TimeDelta::seconds(seconds));
        Summary::of(Some(1), &[], queued).state
    };
    assert_eq!(
        [-5, 0, 74, 75].map(state),
        [State::UnderWay, State::UnderWay, State::UnderWay, State::Missing]
    );
}

#[test]
fn accounts_wait_until_they_are_scanned_denied_or_given_up() {
    let denied = (Metric::AccountsDenied, 1);
    let records = [
        record(1, &SCANNED),
        record(2, &[denied]),
        // It let us in at first, and not any more when its users were checked.
        record(3, &[&SCANNED[..], &[denied, (Metric::UsersDenied, 860)]].concat()),
        record(4, &[(Metric::ScansGivenUp, 1)]),
        // Given up, replayed, and scanned.
        record(5, &[&SCANNED[..], &[(Metric::ScansGivenUp, 1)]].concat()),
        record(6, &[(Metric::ChecksSent, 1_000)]),
        record(7, &[(Metric::ScansGivenUp, 1)]),
    ];
    let summary = Summary::of(Some(9), &records, None);
    let Accounts { total, scanned, denied, dead, waiting, denied_ids } = summary.accounts;
    assert_eq!((total, scanned, denied, dead, waiting), (9, 2, 2, 2, 3));
    let ids: Vec<&str> = denied_ids.iter().map(AccountId::as_str).collect();
    assert_eq!(ids, ["000000000002", "000000000003"]);
    assert_eq!(Summary::of(None, &records, None).accounts.total, 7, "those that are known of");
}

#[test]
fn checks_of_a_scan_that_is_not_complete_are_ahead_of_it() {
    let one = |counts: &[(Metric, u64)]| Summary::of(Some(1), &[record(1, counts)], None).checks;
    let checks = one(&[(Metric::ChecksSent, 1_000), (Metric::UsersChecked, 400)]);
    assert_eq!((checks.ahead, checks.waiting, checks.excess), (1_000, 600, 0));
    let checks = one(&[(Metric::UsersChecked, 400)]);
    assert_eq!((checks.ahead, checks.waiting, checks.excess), (400, 0, 0));
}

#[test]
fn checks_of_a_scan_that_was_done_twice_are_told_apart() {
    let record = scanned_and(&[(Metric::ChecksSent, 1_720), (Metric::UsersChecked, 1_000)]);
    let checks = summary(&record).checks;
    assert_eq!((checks.enqueued, checks.again, checks.waiting), (860, 860, 720));
}

#[test]
fn who_was_given_back_was_not_counted_and_who_vanished_may_have_been() {
    let margin = |repeated, returned| {
        let record = scanned_and(&[
            (Metric::UsersChecked, 860),
            (Metric::ChecksRepeated, repeated),
            (Metric::ChecksReturned, returned),
        ]);
        let summary = summary(&record);
        (summary.state, summary.checks.margin)
    };
    assert_eq!(margin(300, 300), (State::Done, 0));
    assert_eq!(margin(303, 300), (State::Inexact, 3));
    assert_eq!(margin(300, 310), (State::Done, 0), "ten of them have not come to an end");
}

#[test]
fn too_much_is_told_and_nobody_waits_less_than_not_at_all() {
    let summary = summary(&scanned_and(&[
        (Metric::UsersChecked, 863),
        (Metric::StaleOwners, 5),
        (Metric::MailsSent, 6),
    ]));
    assert_eq!((summary.checks.waiting, summary.checks.excess, summary.checks.margin), (0, 3, 3));
    assert_eq!((summary.owners.waiting, summary.owners.excess), (0, 1));
    assert_eq!(summary.state, State::Inexact);
}

#[test]
fn a_letter_that_was_replayed_and_done_is_no_longer_dead() {
    let record = |checked| scanned_and(&[(Metric::UsersChecked, checked), (Metric::ChecksGivenUp, 2)]);
    assert_eq!(summary(&record(858)).checks.dead, 2);
    assert_eq!(summary(&record(859)).checks.dead, 1);
    assert_eq!((summary(&record(860)).checks.dead, summary(&record(860)).checks.excess), (0, 0));
}

/// Of 860 checks, 3 had been given up, and are done since; some other records had waited for their turn.
#[test]
fn dead_letters_that_were_replayed_and_done_leave_no_number_open() {
    let state = |metrics: &[(Metric, u64)]| {
        let done = [(Metric::UsersChecked, 860), (Metric::StaleOwners, 5), (Metric::MailsSent, 5)];
        let summary = summary(&scanned_and(&[&done[..], metrics].concat()));
        (summary.state, summary.checks.margin, summary.owners.margin, summary.failed())
    };
    let waited =
        [(Metric::ScansRedelivered, 1), (Metric::ChecksRedelivered, 9), (Metric::FindingsRedelivered, 2)];
    let checks = [(Metric::ChecksGivenUp, 3), (Metric::ChecksReplayed, 3)];
    assert_eq!(state(&[&waited[..], &checks].concat()), (State::Done, 0, 0, 0));
    let findings = [(Metric::FindingsGivenUp, 2), (Metric::FindingsReplayed, 2)];
    assert_eq!(state(&[&waited[..], &findings].concat()), (State::Done, 0, 0, 0));
    let twice = [(Metric::FindingsGivenUp, 4), (Metric::FindingsReplayed, 4)];
    assert_eq!(state(&[&waited[..], &twice].concat()), (State::Done, 0, 0, 0), "given up a second time");
    // Without a word on the replay, more checks have ended than there were: a function may have died over
    // some.
    assert_eq!(state(&[&waited[..], &checks[..1]].concat()), (State::Inexact, 3, 3, 0));
    assert_eq!(state(&checks[..1]), (State::Done, 0, 0, 0), "nothing was delivered twice");
}

#[test]
fn a_dead_letter_that_was_replayed_and_given_up_again_is_dead_once() {
    let summary = summary(&scanned_and(&[
        (Metric::UsersChecked, 859),
        (Metric::ChecksGivenUp, 2),
        (Metric::ChecksReplayed, 1),
        (Metric::StaleOwners, 5),
        (Metric::MailsSent, 4),
        (Metric::FindingsGivenUp, 3),
        (Metric::FindingsReplayed, 2),
    ]));
    assert_eq!((summary.checks.dead, summary.owners.failed, summary.state), (1, 1, State::Done));
}

/// A check was delivered twice: the function that sent the finding for the first time died before it counted
/// its owner.
#[test]
fn an_owner_whom_a_function_found_that_died_may_be_one_too_many() {
    let margin = |ends: &[(Metric, u64)]| {
        let found = [(Metric::UsersChecked, 860), (Metric::StaleOwners, 5)];
        let record = |more: &[(Metric, u64)]| scanned_and(&[&found[..], ends, more].concat());
        let redelivered = summary(&record(&[(Metric::ChecksRedelivered, 1)]));
        let not = summary(&record(&[]));
        (redelivered.owners.margin, not.owners.margin)
    };
    let mailed = |n| (Metric::MailsSent, n);
    assert_eq!(margin(&[mailed(5)]), (0, 0));
    assert_eq!(margin(&[mailed(4)]), (0, 0), "one waits");
    assert_eq!(margin(&[mailed(5), (Metric::FindingsGivenUp, 2)]), (2, 0), "the dead ones are too many");
    assert_eq!(margin(&[mailed(4), (Metric::FindingsGivenUp, 2)]), (1, 0));
    let each_end = ENDS_OF_OWNERS.map(|end| margin(&[mailed(4), (end, 2), (Metric::FindingsGivenUp, 1)]).0);
    // `FindingsSentBack` ends an owner, and makes a check that waits.
    assert_eq!(each_end[1..], [2; 6], "every end counts as one");
}

#[test]
fn what_makes_the_number_of_owners_doubtful_adds_up() {
    let margin = |metrics: &[(Metric, u64)]| {
        let found = [(Metric::UsersChecked, 860), (Metric::StaleOwners, 50), (Metric::MailsSent, 50)];
        summary(&scanned_and(&[&found[..], metrics].concat())).owners.margin
    };
    assert_eq!(margin(&[(Metric::FindingsRepeated, 9), (Metric::FindingsReturned, 5)]), 4);
    assert_eq!(margin(&[(Metric::ChecksRepeated, 9), (Metric::ChecksReturned, 6)]), 3, "checked twice");
    let both = [(Metric::ChecksRepeated, 3), (Metric::FindingsRepeated, 4)];
    assert_eq!(margin(&both), 7);
    assert_eq!(margin(&[both[0], both[1], (Metric::MailsOutcomeUnknown, 2)]), 9);
    assert_eq!(margin(&[(Metric::ChecksRepeated, 900)]), 50, "no more owners than there are");
}

/// A scan that was done twice has its users checked twice, and their owners found twice.
#[test]
fn owners_whose_users_were_enqueued_twice_may_be_found_twice() {
    let record = record(
        1,
        &[
            (Metric::ScansCompleted, 1),
            (Metric::UsersListed, 10),
            (Metric::UsersEnqueued, 10),
            (Metric::ChecksSent, 14),
            (Metric::UsersChecked, 14),
            (Metric::ChecksRepeated, 1),
            (Metric::StaleOwners, 8),
            (Metric::MailsSent, 8),
        ],
    );
    let summary = summary(&record);
    assert_eq!((summary.checks.again, summary.checks.margin, summary.owners.margin), (4, 1, 5));
}

#[test]
fn what_came_in_a_later_delivery_is_counted_of_every_kind() {
    let redelivered =
        [(Metric::ScansRedelivered, 1), (Metric::ChecksRedelivered, 20), (Metric::FindingsRedelivered, 300)];
    for (i, one) in redelivered.iter().enumerate() {
        assert_eq!(summary(&scanned_and(&[*one])).redelivered, one.1, "{i}");
    }
    assert_eq!(summary(&scanned_and(&redelivered)).redelivered, 321);
}

#[test]
fn mails_whose_answer_was_lost_leave_their_number_open() {
    let record = scanned_and(&[
        (Metric::UsersChecked, 860),
        (Metric::StaleOwners, 5),
        (Metric::MailsSent, 4),
        (Metric::MailsNotDue, 1),
        (Metric::MailsOutcomeUnknown, 1),
    ]);
    assert_eq!(summary(&record).owners.margin, 1);
}

/// What a message asks for.
#[derive(Clone, Copy, Debug)]
enum Job {
    Scan,
    Check { user: usize, id: usize },
    Finding { user: usize },
}

#[derive(Clone, Copy, Debug)]
struct Message {
    job: Job,
    attempts: u32,
    /// Whether it has been a dead letter.
    is_replayed: bool,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Done,
    /// Done and counted, and SQS did not hear of it.
    AnswerLost,
    GivenBack,
    /// The function died before it did anything.
    Vanished,
    /// The function died when it had done everything, and had counted nothing.
    VanishedDone,
    GivenUp,
    /// SES took the mail, and its answer was lost.
    OutcomeUnknown,
}

/// One account's pipeline, with what it counts and what is true.
struct World {
    users: usize,
    counts: BTreeMap<Metric, u64>,
    queue: Vec<Message>,
    letters: Vec<Job>,
    checks: usize,
    checked: BTreeSet<usize>,
    found_stale: BTreeSet<usize>,
    stale_users: BTreeSet<usize>,
    told: BTreeSet<usize>,
    concluded: BTreeSet<usize>,
}

impl World {
    fn with(users: usize) -> Self {
        Self {
            users,
            counts: BTreeMap::new(),
            queue: vec![Message { job: Job::Scan, attempts: 1, is_replayed: false }],
            letters: vec![],
            checks: 0,
            checked: BTreeSet::new(),
            found_stale: BTreeSet::new(),
            stale_users: BTreeSet::new(),
            told: BTreeSet::new(),
            concluded: BTreeSet::new(),
        }
    }

    fn add(&mut self, metric: Metric, n: usize) {
        *self.counts.entry(metric).or_default() += n as u64;
    }

    fn set(&mut self, metric: Metric, n: usize) {
        self.counts.insert(metric, n as u64);
    }

    fn send_check(&mut self, user: usize) {
        let job = Job::Check { user, id: self.checks };
        self.queue.push(Message { job, attempts: 1, is_replayed: false });
        self.checks += 1;
    }

    fn send_finding(&mut self, user: usize) {
        self.queue.push(Message { job: Job::Finding { user }, attempts: 1, is_replayed: false });
    }

    /// Delivers the message at `place`; a finding may be too old.
    fn deliver(&mut self, place: usize, fate: Fate, is_old: bool) {
        let message = self.queue.remove(place);
        let does = matches!(fate, Fate::Done | Fate::AnswerLost | Fate::VanishedDone | Fate::OutcomeUnknown);
        let counts = matches!(fate, Fate::Done | Fate::AnswerLost);
        match message.job {
            Job::Scan => self.scan(does, counts, fate),
            Job::Check { user, id } if does => self.check(user, id, counts),
            Job::Finding { user } if does => self.tell(user, counts, is_old, fate),
            _ => {}
        }
        let [redelivered, repeated, returned, given_up, replayed] = match message.job {
            Job::Scan => {
                // What is noted of scans is of no importance, and so is what stands in for it here.
                let other = Metric::RecordsPostponed;
                [Metric::ScansRedelivered, other, other, Metric::ScansGivenUp, other]
            }
            Job::Check { .. } => [
                Metric::ChecksRedelivered,
                Metric::ChecksRepeated,
                Metric::ChecksReturned,
                Metric::ChecksGivenUp,
                Metric::ChecksReplayed,
            ],
            Job::Finding { .. } => [
                Metric::FindingsRedelivered,
                Metric::FindingsRepeated,
                Metric::FindingsReturned,
                Metric::FindingsGivenUp,
                Metric::FindingsReplayed,
            ],
        };
        if (counts || fate == Fate::GivenUp) && message.is_replayed {
            self.add(replayed, 1);
        }
        if (counts || fate == Fate::GivenUp) && message.attempts > 1 {
            self.add(redelivered, 1);
            self.add(repeated, message.attempts as usize - 1);
        }
        if matches!(fate, Fate::GivenBack | Fate::OutcomeUnknown) {
            self.add(returned, 1);
        }
        match fate {
            Fate::Done => {}
            Fate::GivenUp => {
                self.add(given_up, 1);
                self.letters.push(message.job);
            }
            _ => self.queue.push(Message { attempts: message.attempts + 1, ..message }),
        }
    }

    fn scan(&mut self, does: bool, counts: bool, fate: Fate) {
        let sent = match fate {
            _ if does => self.users,
            Fate::GivenBack => self.users / 2,
            _ => 0,
        };
        (0..sent).for_each(|user| self.send_check(user));
        if counts || fate == Fate::GivenBack {
            self.add(Metric::ChecksSent, sent);
        }
        if counts {
            self.set(Metric::UsersListed, self.users + 3);
            self.set(Metric::UsersUnreadable, 1);
            self.set(Metric::UsersSkippedTooYoung, 2);
            self.set(Metric::UsersEnqueued, self.users);
            self.set(Metric::ScansCompleted, 1);
        }
    }

    /// Every third user is to be told, every third is exempt.
    fn check(&mut self, user: usize, id: usize, counts: bool) {
        if user.is_multiple_of(3) {
            self.send_finding(user);
        }
        if !counts {
            return;
        }
        self.checked.insert(id);
        self.add(Metric::UsersChecked, 1);
        if user % 3 < 2 {
            self.found_stale.insert(id);
            self.stale_users.insert(user);
            self.add(Metric::StaleOwners, 1);
        }
        if user % 3 == 1 {
            self.add(Metric::Exempt, 1);
        }
    }

    fn tell(&mut self, user: usize, counts: bool, is_old: bool, fate: Fate) {
        if fate == Fate::OutcomeUnknown {
            if self.told.insert(user) {
                self.add(Metric::MailsOutcomeUnknown, 1);
            }
            return;
        }
        let metric = if is_old {
            self.send_check(user);
            Metric::FindingsSentBack
        } else if self.told.insert(user) {
            Metric::MailsSent
        } else {
            Metric::MailsNotDue
        };
        if counts {
            if !is_old {
                self.concluded.insert(user);
            }
            self.add(metric, 1);
        }
    }

    fn replay(&mut self, place: usize) {
        let job = self.letters.remove(place);
        self.queue.push(Message { job, attempts: 1, is_replayed: true });
    }

    fn queued(&self) -> Queued {
        let count =
            |is: fn(&Job) -> bool| self.queue.iter().filter(|message| is(&message.job)).count() as u64;
        Queued {
            accounts: count(|job| matches!(job, Job::Scan)),
            users: count(|job| matches!(job, Job::Check { .. })),
            findings: count(|job| matches!(job, Job::Finding { .. })),
        }
    }

    fn summary(&self, queued: Option<Queued>) -> Summary {
        let counts: Vec<_> = self.counts.iter().map(|(metric, n)| (*metric, *n)).collect();
        Summary::of(Some(1), &[record(1, &counts)], queued)
    }

    /// Owners who were found stale, and of whom nothing is left but dead letters.
    fn failed(&self) -> u64 {
        let dead = self.letters.iter().filter_map(|job| match job {
            Job::Finding { user } => Some(*user),
            _ => None,
        });
        let dead: BTreeSet<usize> = dead.collect();
        dead.intersection(&self.stale_users).filter(|user| !self.concluded.contains(user)).count() as u64
    }

    fn dead(&self, is: impl Fn(&Job) -> bool) -> u64 {
        self.letters.iter().filter(|job| is(job)).count() as u64
    }
}

fn assert_adds_up(summary: &Summary) {
    let Accounts { total, scanned, denied, dead, waiting, .. } = &summary.accounts;
    assert_eq!(*total, scanned + denied + dead + waiting);
    let users = &summary.users;
    let by_report = users.no_password + users.no_active_key + users.no_old_key;
    let skipped = users.never_signed_in + users.outside_path + users.too_young + by_report;
    assert_eq!(users.listed, users.unreadable + skipped + users.enqueued);
    let checks = &summary.checks;
    assert_eq!(checks.to_do() + checks.excess, checks.checked + checks.denied + checks.dead + checks.waiting);
    let owners = &summary.owners;
    let parts = owners.mailed
        + owners.would_be_mailed
        + owners.not_due
        + owners.without_contact
        + owners.exempt
        + owners.not_tagged
        + owners.sent_back
        + owners.failed
        + owners.waiting;
    assert_eq!(owners.stale + owners.excess, parts);
}

/// Every number is as near to the truth as its margin says.
fn assert_within_margins(world: &World, summary: &Summary) {
    let Summary { checks, owners, .. } = summary;
    for (name, told, is, margin) in [
        ("to do", checks.to_do(), world.checks as u64, checks.margin),
        ("checked", checks.checked, world.checked.len() as u64, checks.margin),
        (
            "dead",
            checks.dead,
            world.dead(|job| matches!(job, Job::Check { id, .. } if !world.checked.contains(id))),
            checks.margin,
        ),
        ("waiting", checks.waiting, 0, checks.margin),
        ("found stale", owners.stale, world.found_stale.len() as u64, owners.margin),
        // Of those who are sent back, some are found stale once more.
        ("stale", owners.stale, world.stale_users.len() as u64, owners.margin + owners.sent_back),
        ("mailed", owners.mailed, world.told.len() as u64, owners.margin),
        ("failed", owners.failed, world.failed(), owners.margin),
        ("not mailed yet", owners.waiting, 0, owners.margin),
    ] {
        assert!(told.abs_diff(is) <= margin, "{name}: {told} ± {margin} are {is}: {summary:?}");
    }
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Done),
        2 => Just(Fate::GivenBack),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::VanishedDone),
        1 => Just(Fate::GivenUp),
        1 => Just(Fate::OutcomeUnknown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_goes_wrong_the_numbers_add_up_and_are_within_their_margins(
        users in 0_usize..7,
        steps in prop::collection::vec((any::<prop::sample::Index>(), fates(), any::<u8>()), 0..60),
    ) {
        let mut world = World::with(users);
        for (place, fate, dice) in steps {
            match (world.queue.len(), world.letters.len()) {
                (_, letters) if letters > 0 && dice.is_multiple_of(4) => world.replay(place.index(letters)),
                (0, _) => break,
                (messages, _) => world.deliver(place.index(messages), fate, dice % 8 == 1),
            }
            assert_adds_up(&world.summary(Some(world.queued())));
            assert_adds_up(&world.summary(None));
        }
        while !world.queue.is_empty() {
            world.deliver(0, Fate::Done, false);
        }
        for queued in [Some(Queued::default()), None] {
            let summary = world.summary(queued);
            assert_adds_up(&summary);
            if summary.accounts.scanned == 1 {
                assert_within_margins(&world, &summary);
            }
        }
    }

    /// What is given back, given up and replayed, however often, makes no number doubtful once it is done.
    #[test]
    fn a_run_in_which_nothing_vanished_is_exact(
        users in 0_usize..7,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..5), 0..80),
        replays_the_rest in any::<bool>(),
    ) {
        let mut world = World::with(users);
        // Scanned at once: a scan that is done again has its users checked again.
        world.deliver(0, Fate::Done, false);
        for (place, dice) in steps {
            let fate = match dice {
                0 if !world.letters.is_empty() => {
                    world.replay(place.index(world.letters.len()));
                    continue;
                }
                _ if world.queue.is_empty() => continue,
                0 | 1 => Fate::GivenUp,
                2 => Fate::GivenBack,
                _ => Fate::Done,
            };
            world.deliver(place.index(world.queue.len()), fate, false);
        }
        if replays_the_rest {
            (0..world.letters.len()).for_each(|_| world.replay(0));
        }
        while !world.queue.is_empty() {
            world.deliver(0, Fate::Done, false);
        }
        let summary = world.summary(Some(Queued::default()));
        prop_assert_eq!((summary.state, summary.checks.margin, summary.owners.margin), (State::Done, 0, 0));
        let dead = [
            world.dead(|job| matches!(job, Job::Check { .. })),
            world.dead(|job| matches!(job, Job::Finding { .. })),
        ];
        prop_assert_eq!([summary.checks.dead, summary.owners.failed], dead);
        prop_assert_eq!((summary.checks.excess, summary.owners.excess), (0, 0));
    }
}
