//! The page as people see it: in a real browser, on a desk, on a phone, in the dark and on paper.

use std::fs;
use std::path::PathBuf;

use chrono::TimeDelta;
use fastrand::Rng;
use keynudge_core::contact::Recipient;
use keynudge_core::exemption::RefusedExemption;
use keynudge_pages::ages::{AgeCounts, KeyState};
use keynudge_testbed::browser::{self, LOOKS, Look, Page, Screen};
use keynudge_testbed::workspace;

use super::*;
use crate::scan::remarks::refused_exemption;
use crate::scan::report::empty;

const ALERT_AFTER_DAYS: u32 = 90;

const FIRST_NAMES: [&str; 16] = [
    "ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "ken", "margaret", "dennis", "frances",
    "john", "lynn", "tony", "shafi", "leslie",
];
const SURNAMES: [&str; 12] = [
    "byron", "hopper", "mathison", "wybe", "huberman", "ervin", "joy", "lane", "heafield", "ritchie",
    "allen", "conway",
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
        contact_tag: "keynudge:contact".to_owned(),
        users_in_account: Some(listed),
        users: Users { listed, unreadable: 0, skipped: skipped.into(), checked, not_checked: 0 },
        ages,
        owners,
        ..empty()
    }
}

fn owner(number: usize, random: &mut Rng) -> StaleOwner {
    let name = format!("{}.{}", FIRST_NAMES[number % FIRST_NAMES.len()], SURNAMES[number % SURNAMES.len()]);
    let name = if number < 48 { name } else { format!("{name}{number}") };
    let address = |to: String, found_by| Telling::Mail(Recipient { to: to.parse().unwrap(), found_by });
    let team = ["payments", "search", "mobile"][number % 3];
    let (name, telling) = match random.u32(..100) {
        ..45 => (name.clone(), address(format!("{name}@acme.example"), ContactSource::DefaultDomain)),
        45..70 => {
            (format!("{team}-deploy-{number}"), address(format!("{team}@acme.example"), ContactSource::Tag))
        }
        70..82 => {
            let name = format!("{name}@acme.example");
            (name.clone(), address(name, ContactSource::UserName))
        }
        82..92 => (format!("svc-{team}-{number}"), Telling::WithoutContact),
        _ => (name, Telling::ExemptUntil(as_of().date_naive() + TimeDelta::days(random.i64(1..200)))),
    };
    let passed_over = u32::from(telling == Telling::WithoutContact && random.bool());
    let mut keys: Vec<StaleKey> =
        (0..if random.u32(..6) == 0 { 2 } else { 1 }).map(|_| key(random)).collect();
    keys.sort_by_key(|key| Reverse(key.age_days));
    StaleOwner {
        user_name: name.parse().unwrap(),
        user_id: format!("AIDA{number:016}").parse().unwrap(),
        keys,
        telling,
        passed_over,
        refused_exemption: None,
    }
}

/// An owner of one key that is so old.
fn of_age(age_days: u32, random: &mut Rng) -> StaleOwner {
    let key = StaleKey { age_days, created_at: as_of() - TimeDelta::days(age_days.into()), ..key(random) };
    StaleOwner { keys: vec![key], ..owner(age_days as usize, random) }
}

fn key(random: &mut Rng) -> StaleKey {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let id: String = (0..16).map(|_| char::from(*random.choice(letters.iter()).unwrap())).collect();
    // Most are not much too old, and a few are as old as the account.
    let beyond = (0..4).map(|_| random.u32(..1_200)).min().unwrap();
    let age_days = ALERT_AFTER_DAYS + beyond;
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

/// How many owners can be seen, once each.
fn visible_rows(page: &mut Page) -> usize {
    page.evaluate(
        "[...document.querySelectorAll('table.bands tbody.owner')]
           .filter((row) => row.checkVisibility({ contentVisibilityAuto: true })).length",
    )
    .unwrap()
}

/// The text of all that this selects, as it can be seen.
fn texts(page: &mut Page, selector: &str) -> Vec<String> {
    let expression =
        format!("[...document.querySelectorAll('{selector}')].map((element) => element.innerText.trim())");
    page.evaluate(&expression).unwrap()
}

fn text(page: &mut Page, selector: &str) -> String {
    texts(page, selector).join("\n")
}

fn assert_nothing_is_wrong(page: &mut Page) {
    for (screen, look) in LOOKS {
        page.show(screen, look).unwrap();
        assert_eq!(page.faults().unwrap(), [""; 0], "{screen:?}, {look:?}");
    }
    assert_eq!(page.complaints().unwrap(), [""; 0]);
}

/// Every key is in the picture and every owner in a row, whatever it is looked at on.
#[test]
fn whoever_looks_sees_all_of_it() {
    let report = made_up(36);
    let keys = report.ages.total();
    let mut page = open("scan", &report);
    assert_nothing_is_wrong(&mut page);
    for (name, screen, look) in [
        ("phone", Screen::Phone, Look::Light),
        ("dark", Screen::Desk, Look::Dark),
        ("wide", Screen::Desk, Look::Light),
    ] {
        page.show(screen, look).unwrap();
        fs::write(left(&format!("scan-{name}.png")), page.picture().unwrap()).unwrap();
        fs::write(left(&format!("scan-{name}-whole.png")), page.whole_picture().unwrap()).unwrap();
        let chart = page.chart().unwrap();
        assert_eq!((chart.said, chart.drawn), (keys, keys), "{name}");
        assert_eq!(visible_rows(&mut page), report.owners.len(), "{name}");
    }
    let rows = texts(&mut page, "table.bands tbody.owner");
    for (owner, row) in report.owners.iter().zip(rows) {
        assert!(row.starts_with(owner.user_name.as_str()), "{row}");
        assert!(owner.keys.iter().all(|key| row.contains(key.id.as_str())), "{row}");
    }
}

/// Another age from which keys are old has other bands; each owner is in the one of their oldest key.
#[test]
fn owners_are_in_bands_by_their_oldest_key() {
    let mut report = made_up(0);
    let mut random = Rng::with_seed(1);
    report.alert_after_days = 60;
    report.owners =
        [1_000, 730, 729, 365, 364, 180, 179, 90, 89, 60].map(|days| of_age(days, &mut random)).into();
    let mut page = open("bands", &report);
    let bands = texts(&mut page, "summary:has(+ table.bands)");
    let bands: Vec<&str> = bands.iter().map(|band| band.split('\n').next().unwrap()).collect();
    assert_eq!(
        bands,
        ["2 years and more", "1 to 2 years", "180 to 364 days", "90 to 179 days", "60 to 89 days"]
    );
    let ages = texts(&mut page, "table.bands .age").join(", ");
    assert_eq!(
        ages,
        "1,000 days, 730 days, 729 days, 365 days, 364 days, 180 days, 179 days, 90 days, 89 days, 60 days"
    );
    assert_eq!(texts(&mut page, "details:nth-of-type(2) tbody").len(), 2);
    assert_nothing_is_wrong(&mut page);
}

#[test]
fn each_owner_has_who_would_be_told_and_each_key_when_it_was_used() {
    let mut report = made_up(0);
    let mut random = Rng::with_seed(1);
    let recipient =
        |found_by| Telling::Mail(Recipient { to: "team@acme.example".parse().unwrap(), found_by });
    let used = |days_ago, service: &str, region: &str| {
        let (service, region) = (service.parse().unwrap(), region.parse().unwrap());
        Some(LastUsed::At { at: as_of() - TimeDelta::days(days_ago), service, region })
    };
    let cases = [
        (recipient(ContactSource::Tag), used(89, "s3", "eu-west-1")),
        (recipient(ContactSource::Fallback), used(90, "iam", "N/A")),
        (Telling::WithoutContact, Some(LastUsed::Never)),
        (Telling::ExemptUntil("2026-12-31".parse().unwrap()), None),
        (Telling::NotTagged, used(-3, "s3", "eu-west-1")),
    ];
    report.owners = cases
        .map(|(telling, last_used)| {
            let mut owner = of_age(100, &mut random);
            owner.keys[0].last_used = last_used;
            StaleOwner { telling, passed_over: 1, ..owner }
        })
        .into();
    let mut page = open("cases", &report);
    assert_eq!(
        texts(&mut page, "table.bands .used"),
        [
            "2026-08-26\ns3 in eu-west-1",
            "2026-08-25\niam",
            "never",
            "not known",
            "2026-11-26\ns3 in eu-west-1"
        ]
    );
    assert_eq!(
        texts(&mut page, "table.bands .told"),
        [
            "team@acme.example\nnamed by the contact tag; 1 address ignored",
            "team@acme.example\nfallback: no other address is known; 1 address ignored",
            "nobody\nno address is known; 1 address ignored",
            "nobody\nexempt until 2026-12-31; 1 address ignored",
            "nobody\nnot in the audience: no contact tag; 1 address ignored",
        ]
    );
    let figures = texts(&mut page, ".figures .card");
    let expected = ["would be mailed\n2", "without contact\n1", "exempt\n1", "unused old keys\n2"];
    assert!(expected.iter().all(|figure| figures.contains(&(*figure).to_owned())), "{figures:?}");
    assert!(figures.contains(&"outside the audience\n1".to_owned()), "{figures:?}");
    assert_eq!(texts(&mut page, "#without-contact ~ details:nth-of-type(2) tbody").len(), 1);
    assert_eq!(texts(&mut page, "#unused ~ details .used"), ["never", "2026-08-25\niam"]);
    assert_nothing_is_wrong(&mut page);
}

#[test]
fn an_incomplete_scan_says_so_before_anything_else() {
    let mut report = made_up(3);
    report.incomplete = Some("interrupted".to_owned());
    report.remarks = vec!["Incomplete, interrupted: 1,200 users are missing.".to_owned()];
    let mut page = open("incomplete", &report);
    let said = text(&mut page, ".remarks");
    assert!(said.starts_with("This report is incomplete") && said.ends_with(&report.remarks[0]), "{said}");
    assert!(page.evaluate::<String>("document.title").unwrap().ends_with("(incomplete)"));
    let top: f64 =
        page.evaluate("document.querySelector('.remarks').getBoundingClientRect().bottom").unwrap();
    assert!(top < 400.0, "{top}");
    assert_nothing_is_wrong(&mut page);
}

#[test]
fn owners_whose_exemption_tag_exempts_nobody_are_flagged() {
    let mut report = made_up(3);
    report.owners[1].refused_exemption = Some(RefusedExemption::TooFarAhead);
    let mut page = open("flagged", &report);
    let flags = texts(&mut page, "table.bands .told")
        .into_iter()
        .map(|told| told.contains(refused_exemption(RefusedExemption::TooFarAhead)));
    assert_eq!(flags.collect::<Vec<_>>(), [false, true, false]);
    assert_nothing_is_wrong(&mut page);
}

/// Three figures are larger than all others; and what there is to do has a place of its own.
#[test]
fn what_matters_most_is_seen_first() {
    let mut report = made_up(36);
    report.users.skipped.insert(SkipReason::NeverSignedIn, 1_360);
    let mut page = open("next", &report);
    let sizes: Vec<f64> = page
        .evaluate("[...document.querySelectorAll('.figures dd')].map((dd) => parseFloat(getComputedStyle(dd).fontSize))")
        .unwrap();
    let (main, others) = sizes.split_at(3);
    assert!(main.iter().all(|size| others.iter().all(|other| *size > 1.5 * other)), "{sizes:?}");
    assert_eq!(
        texts(&mut page, ".figures .main dt"),
        ["owners with old keys", "would be mailed", "without contact"]
    );
    let counts = report.owner_counts();
    let next = text(&mut page, ".next");
    assert!(next.contains(&format!("{} owners would be mailed", counts.mailed)), "{next}");
    assert!(next.contains(&format!("{} owners without contact", counts.without_contact)), "{next}");
    assert!(next.contains("1,360 users who never signed in") && next.contains("--audience all"), "{next}");
    assert_eq!(text(&mut open("nothing-next", &made_up(0)), ".next"), "Nothing: no old key was found.");
}

/// Lines part owners, and not the keys of one.
#[test]
fn two_keys_of_one_owner_have_no_line_between_them() {
    let report = made_up(36);
    let mut page = open("lines", &report);
    let lines: Vec<f64> = page
        .evaluate(
            "[...document.querySelectorAll('.owner tr:not(:last-child) > :not([rowspan])')]
               .map((cell) => parseFloat(getComputedStyle(cell).borderBottomWidth))",
        )
        .unwrap();
    let seconds = report.owners.iter().filter(|owner| owner.keys.len() == 2).count();
    assert_eq!(lines, vec![0.0; 4 * seconds]);
    assert!(seconds > 2);
}

/// A gap of one pixel in the colour of the background separates the parts for readers who see no colours.
#[test]
fn parts_of_a_bar_are_kept_apart() {
    let report = made_up(36);
    let mut page = open("parts", &report);
    for look in [Look::Light, Look::Dark] {
        page.show(Screen::Desk, look).unwrap();
        let [bars, parts, seams]: [usize; 3] = page
            .evaluate(
                "['g', 'g rect', 'g .seam'].map((part) => document.querySelectorAll(`.wide ${part}`).length)",
            )
            .unwrap();
        assert!(parts > bars && seams == parts - bars, "{bars} bars of {parts} parts, {seams} seams");
        let [line, card, width]: [String; 3] = page
            .evaluate(
                "(() => {
                   const seam = getComputedStyle(document.querySelector('.wide .seam'));
                   const card = getComputedStyle(document.querySelector('figure.card'));
                   return [seam.stroke, card.backgroundColor, seam.strokeWidth];
                 })()",
            )
            .unwrap();
        assert_eq!((line, width.as_str()), (card, "1px"));
    }
}

#[test]
fn nobody_to_tell_is_good_news() {
    let mut report = made_up(0);
    report.account_name = None;
    let mut page = open("nobody", &report);
    assert_eq!(text(&mut page, "h1"), "No owners with old access keys in 111122223333");
    assert_eq!(text(&mut page, "p.right"), "Nobody has an old key.");
    assert_nothing_is_wrong(&mut page);
}

/// What other people may write: an account's alias, user names, addresses and descriptions of keys.
#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let markup =
        "</title></style></bdi><img src=https://evil.test/x onerror=alert(1)><script>alert(2)</script>";
    let mut report = made_up(0);
    let mut random = Rng::with_seed(1);
    report.account_name = Some("<script>alert(0)</script>".parse().unwrap());
    report.incomplete = Some(markup.to_owned());
    let mut owner = of_age(100, &mut random);
    owner.user_name = "x".repeat(64).parse().unwrap();
    owner.keys[0].id = "A".repeat(128).parse().unwrap();
    owner.keys[0].description = Some(markup.parse().unwrap());
    let to = format!("{}@{}.example", "y".repeat(60), "z".repeat(60)).parse().unwrap();
    owner.telling = Telling::Mail(Recipient { to, found_by: ContactSource::Tag });
    let mut backwards = of_age(100, &mut random);
    // Written from right to left, and so what follows, if it can.
    backwards.keys[0].description = Some(format!("\u{5d0}{}", "W".repeat(250)).parse().unwrap());
    report.owners = vec![owner, backwards];
    let mut page = open("hostile", &report);
    assert_eq!(text(&mut page, "h1"), "2 owners with old access keys in <script>alert(0)</script>");
    assert_eq!(texts(&mut page, "table.bands bdi")[0], markup);
    assert_eq!(page.evaluate::<u32>("document.querySelectorAll('script, img').length").unwrap(), 0);
    assert_nothing_is_wrong(&mut page);
}

/// Folded away, they are a page of a few screens; unfolded, all of them are there.
#[test]
fn thousands_of_owners_can_be_looked_through() {
    let report = made_up(5_000);
    let mut page = open("thousands", &report);
    assert!(fs::metadata(left("thousands.html")).unwrap().len() < 8_000_000);
    let height: f64 = page.evaluate("document.documentElement.scrollHeight").unwrap();
    assert!(height < 4.0 * 900.0, "{height}");
    assert_eq!(visible_rows(&mut page), 0);
    page.evaluate::<Option<bool>>(
        "document.querySelectorAll('details').forEach((one) => { one.open = true; })",
    )
    .unwrap();
    assert_eq!(visible_rows(&mut page), 5_000);
    let chart = page.chart().unwrap();
    assert_eq!((chart.said, chart.drawn), (report.ages.total(), report.ages.total()));
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
    // A sheet has room for twenty owners, at best.
    assert!(browser::sheets(&pdf) >= 300 / 20, "{} sheets", browser::sheets(&pdf));
}

#[test]
fn a_scan_ahead_takes_no_key_for_unused_that_is_in_use_today() {
    let mut key = made_up(1).owners.remove(0).keys.remove(0);
    let used = |at| LastUsed::At { at, service: "s3".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let ahead = Utc::now() + TimeDelta::days(400);
    key.last_used = Some(used(Utc::now() - TimeDelta::days(1)));
    assert!(!is_unused(&key, now_or(ahead)));
    key.last_used = Some(used(Utc::now() - TimeDelta::days(UNUSED_AFTER_DAYS + 1)));
    assert!(is_unused(&key, now_or(ahead)));
}
