//! The page as people see it: in a real browser, on a desk, on a phone, in the dark and on paper.

use std::fs;
use std::path::PathBuf;

use chrono::TimeDelta;
use fastrand::Rng;
use keynudge_core::contact::Recipient;
use keynudge_pages::ages::{AgeCounts, KeyState};
use keynudge_testbed::browser::{self, Look, Page, Screen};
use keynudge_testbed::workspace;

use super::*;

const ALERT_AFTER_DAYS: u32 = 90;

const FIRST_NAMES: [&str; 16] = [
    "ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "ken", "margaret", "dennis", "frances", "john",
    "lynn", "tony", "shafi", "leslie",
];
const SURNAMES: [&str; 12] = [
    "byron", "hopper", "mathison", "wybe", "huberman", "ervin", "joy", "lane", "heafield", "ritchie", "allen", "conway",
];
const SERVICES: [(&str, &str); 5] = [
    ("s3", "eu-west-1"),
    ("ec2", "eu-central-1"),
    ("dynamodb", "eu-west-1"),
    ("sts", "us-east-1"),
    ("iam", "N/A"),
];
const DESCRIPTIONS: [&str; 4] =
    ["laptop", "nightly backup of the billing database", "terraform, until SSO is there", "CI (old)"];

fn as_of() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

/// The same every time: an account with this many owners of old keys, a few of them as one would not have them.
fn made_up(owners: usize) -> Report {
    let mut random = Rng::with_seed(7);
    let mut ages = AgeCounts::default();
    let mut owners: Vec<StaleOwner> = (0..owners).map(|number| owner(number, &mut random)).collect();
    owners.sort_by_key(|owner| Reverse(oldest_days(owner)));
    for key in owners.iter().flat_map(|owner| &owner.keys) {
        ages.add(key.age_days, KeyState::Stale);
    }
    for _ in 0..owners.len() * 3 {
        ages.add(random.u32(..ALERT_AFTER_DAYS), KeyState::Fresh);
    }
    for _ in 0..owners.len() / 3 {
        ages.add(random.u32(30..500), KeyState::Inactive);
    }
    let checked = owners.len() * 5;
    let skipped = [(SkipReason::NeverSignedIn, checked / 4), (SkipReason::TooYoung, checked / 9)];
    let listed = checked + skipped.iter().map(|(_, users)| users).sum::<usize>();
    Report {
        account_id: "111122223333".parse().unwrap(),
        account_name: Some("acme-production".parse().unwrap()),
        as_of: as_of(),
        alert_after_days: ALERT_AFTER_DAYS,
        incomplete: None,
        users: Users { listed, unreadable: 0, skipped: skipped.into(), checked, not_checked: 0 },
        ages,
        owners,
    }
}

fn owner(number: usize, random: &mut Rng) -> StaleOwner {
    let name = format!("{}.{}", FIRST_NAMES[number % FIRST_NAMES.len()], SURNAMES[number % SURNAMES.len()]);
    let name = if number < 48 { name } else { format!("{name}{number}") };
    let address = |to: String, found_by| Telling::Mail(Recipient { to: to.parse().unwrap(), found_by });
    let team = ["payments", "search", "mobile"][number % 3];
    let (name, telling) = match random.u32(..100) {
        ..45 => (name.clone(), address(format!("{name}@acme.example"), ContactSource::DefaultDomain)),
        45..70 => (format!("{team}-deploy-{number}"), address(format!("{team}@acme.example"), ContactSource::Tag)),
        70..82 => {
            let name = format!("{name}@acme.example");
            (name.clone(), address(name, ContactSource::UserName))
        }
        82..92 => (format!("svc-{team}-{number}"), Telling::WithoutContact),
        _ => (name, Telling::ExemptUntil(as_of().date_naive() + TimeDelta::days(random.i64(1..200)))),
    };
    let passed_over = u32::from(telling == Telling::WithoutContact && random.bool());
    let mut keys: Vec<StaleKey> = (0..if random.u32(..6) == 0 { 2 } else { 1 }).map(|_| key(random)).collect();
    keys.sort_by_key(|key| Reverse(key.age_days));
    StaleOwner {
        user_name: name.parse().unwrap(),
        user_id: format!("AIDA{number:016}").parse().unwrap(),
        keys,
        telling,
        passed_over,
    }
}

fn key(random: &mut Rng) -> StaleKey {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let id: String = (0..16).map(|_| char::from(*random.choice(letters.iter()).unwrap())).collect();
    // Most are not much too old, and a few are as old as the account.
    let age_days = ALERT_AFTER_DAYS + (-random.f64().max(0.001).ln() * 180.0) as u32;
    let last_used = match random.u32(..10) {
        0 => LastUsed::Never,
        1 => used(random.i64(90..=age_days.into()), random),
        _ => used(random.i64(0..40), random),
    };
    StaleKey {
        id: format!("AKIA{id}").parse().unwrap(),
        created_at: as_of() - TimeDelta::days(age_days.into()),
        age_days,
        last_used: Some(last_used),
        description: (random.u32(..4) == 0).then(|| DESCRIPTIONS[random.usize(..4)].parse().unwrap()),
    }
}

fn used(days_ago: i64, random: &mut Rng) -> LastUsed {
    let (service, region) = SERVICES[random.usize(..SERVICES.len())];
    LastUsed::At {
        at: as_of() - TimeDelta::days(days_ago),
        service: service.parse().unwrap(),
        region: region.parse().unwrap(),
    }
}

/// Leaves the page, for people to look at, and opens it.
fn open(name: &str, report: &Report) -> Page {
    let file = left(&format!("{name}.html"));
    fs::write(&file, render(report).unwrap()).unwrap();
    Page::open(&file).unwrap_or_else(|error| panic!("{error}"))
}

fn left(file: &str) -> PathBuf {
    let directory = workspace::testbed_dir().join("pages");
    fs::create_dir_all(&directory).unwrap();
    directory.join(file)
}

fn visible_rows(page: &mut Page) -> usize {
    page.evaluate(
        "[...document.querySelectorAll('details:not(h2 ~ h2 ~ h2 ~ details) tbody.owner')]
           .filter((row) => row.checkVisibility({ contentVisibilityAuto: true })).length",
    )
    .unwrap()
}

#[test]
fn whoever_looks_sees_everything_and_nothing_is_wrong_with_it() {
    let report = made_up(36);
    let keys = report.ages.total();
    let mut page = open("scan", &report);
    for (name, screen, look) in [
        ("wide", Screen::Desk, Look::Light),
        ("phone", Screen::Phone, Look::Light),
        ("dark", Screen::Desk, Look::Dark),
        ("dark-phone", Screen::Phone, Look::Dark),
    ] {
        page.show(screen, look).unwrap();
        fs::write(left(&format!("scan-{name}.png")), page.picture().unwrap()).unwrap();
        fs::write(left(&format!("scan-{name}-whole.png")), page.whole_picture().unwrap()).unwrap();
        assert_eq!(page.faults().unwrap(), [""; 0], "{name}");
        let chart = page.chart().unwrap();
        assert_eq!((chart.said, chart.drawn), (keys, keys), "{name}");
        assert_eq!(visible_rows(&mut page), report.owners.len(), "{name}");
    }
    assert_eq!(page.complaints().unwrap(), [""; 0]);
}

/// However much of it is folded away on the screen.
#[test]
fn on_paper_is_everything() {
    let report = made_up(300);
    let mut page = open("print", &report);
    assert!(visible_rows(&mut page) < ROWS_UNFOLDED_MAX);
    let pdf = page.print().unwrap();
    fs::write(left("print.pdf"), &pdf).unwrap();
    page.show(Screen::Desk, Look::Print).unwrap();
    assert_eq!(visible_rows(&mut page), report.owners.len());
    // A sheet has room for some thirty owners.
    assert!(browser::sheets(&pdf) > 300 / 40, "{} sheets", browser::sheets(&pdf));
}
