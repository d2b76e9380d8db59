//! `keynudge scan --format html`: the page that the program writes, in a real browser. What it says about whom is tested
//! beside its code; here it is whether it is all there.

use std::fs;
use std::path::{Path, PathBuf};

use keynudge_testbed::browser::{LOOKS, Page};
use keynudge_testbed::population::{Expectation, Population, Setting};
use keynudge_testbed::simulated_iam::directory::User;
use keynudge_testbed::simulated_iam::{Options, SimulatedIam};

use crate::support::{fresh_account, keynudge, stderr};

/// Several of every kind of user.
const USERS: usize = 200;

#[test]
fn the_page_has_every_key_and_every_owner_on_any_screen_and_on_paper() {
    let population = Population::mixed(&Setting::default(), USERS, 1);
    let mut page = Page::open(&scan(&population)).unwrap_or_else(|error| panic!("{error}"));

    let totals = population.totals();
    let figures = texts(&mut page, ".figures .card");
    for (what, count) in [
        ("owners with old keys", totals.stale_owners),
        ("would be mailed", totals.mails),
        ("without contact", totals.without_contact),
        ("exempt", totals.exempt),
        ("users checked", totals.checked),
    ] {
        assert!(figures.contains(&format!("{what}\n{count}")), "{what}: {count}: {figures:?}");
    }
    let keys = keys_checked(&population);
    for (screen, look) in LOOKS {
        page.show(screen, look).unwrap();
        assert_eq!(page.faults().unwrap(), [""; 0], "{screen:?}, {look:?}");
        let chart = page.chart().unwrap();
        assert_eq!((chart.said, chart.drawn), (keys, keys), "{screen:?}, {look:?}");
    }
    // As on paper, where nothing is folded away.
    let rows = texts(&mut page, "table.bands tbody.owner");
    assert_eq!(rows.len(), totals.stale_owners);
    for owner in &population.owners {
        let row = rows.iter().find(|row| row.split('\t').next() == Some(&owner.user.name));
        assert!(owner.keys_to_mail().iter().all(|key| row.is_some_and(|row| row.contains(key))), "{row:?}");
        if let Expectation::Mailed { to, .. } = &owner.expectation {
            assert!(row.is_some_and(|row| row.contains(to)), "{row:?}");
        }
    }
    assert_eq!(page.complaints().unwrap(), [""; 0]);
}

/// Scans an account with these users, and says where the page is.
fn scan(population: &Population) -> PathBuf {
    let account = fresh_account();
    let iam = SimulatedIam::start(&Options::default()).unwrap();
    iam.set_users(&account, population.owners.iter().map(|owner| owner.user.clone()).collect::<Vec<User>>());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&directory).unwrap();
    let rules = ["--default-domain", "corp.example", "--allowed-domains", "corp.example"];
    let output = ["--format", "html", "--output", "scan.html", "--endpoint-url", &iam.endpoint()];
    let arguments = [&["scan"], &rules[..], &output[..]].concat();
    let ended = keynudge(&account, &directory, &arguments).output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    directory.join("scan.html")
}

/// How many keys there are of users who are looked at.
fn keys_checked(population: &Population) -> u32 {
    let is_skipped = |expectation: &Expectation| {
        use Expectation::{NeverSignedIn, OutsidePath, TooYoung};
        matches!(expectation, NeverSignedIn | OutsidePath | TooYoung)
    };
    let checked = population.owners.iter().filter(|owner| !is_skipped(&owner.expectation));
    u32::try_from(checked.map(|owner| owner.user.keys.len()).sum::<usize>()).unwrap()
}

/// The text of all that this selects, as it is shown.
fn texts(page: &mut Page, selector: &str) -> Vec<String> {
    let texts =
        format!("[...document.querySelectorAll('{selector}')].map((element) => element.innerText.trim())");
    page.evaluate(&texts).unwrap()
}
