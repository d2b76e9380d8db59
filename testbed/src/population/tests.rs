//! The generator's own promises.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::*;

fn names_and_keys(population: &Population) -> Vec<(String, Vec<String>)> {
    let users = population.owners.iter().map(|owner| &owner.user);
    let keys = |user: &User| user.keys.iter().map(|key| key.id.clone()).collect();
    users.map(|user| (user.name.clone(), keys(user))).collect()
}

#[test]
fn the_same_seed_makes_the_same_users() {
    let setting = Setting::default();
    let [one, same] = [7, 7].map(|seed| Population::typical(&setting, 300, 30, seed));
    let other = Population::typical(&setting, 300, 30, 8);
    assert_eq!(names_and_keys(&one), names_and_keys(&same));
    assert_ne!(names_and_keys(&one), names_and_keys(&other));
}

#[test]
fn a_typical_account_has_as_many_stale_owners_as_asked() {
    for everybody in [false, true] {
        let setting = Setting { everybody, ..Setting::default() };
        for (users, stale) in [(1, 0), (1, 1), (1000, 100), (5000, 500), (300, 300)] {
            let totals = Population::typical(&setting, users, stale, 1).totals();
            assert_eq!((totals.users, totals.stale_owners), (users, stale));
        }
    }
}

#[test]
fn a_few_stale_owners_are_exempt_or_without_contact() {
    let totals = Population::typical(&Setting::default(), 1000, 100, 1).totals();
    assert_eq!((totals.mails, totals.exempt, totals.without_contact), (95, 2, 3));
}

#[test]
fn a_mixed_population_has_every_expectation() {
    let setting = Setting { path_prefix: "/people/", ..Setting::default() };
    let population = Population::mixed(&setting, 300, 1);
    let kinds: BTreeSet<_> = population.owners.iter().map(|owner| owner.profile).collect();
    assert_eq!(kinds.len(), Profile::every_kind().into_iter().collect::<BTreeSet<_>>().len());
    for expectation in [
        Expectation::WithoutContact,
        Expectation::Exempt,
        Expectation::NotStale,
        Expectation::NeverSignedIn,
        Expectation::OutsidePath,
        Expectation::TooYoung,
    ] {
        assert!(population.owners.iter().any(|owner| owner.expectation == expectation));
    }
    let mailed = population.owners.iter().filter(|owner| !owner.keys_to_mail().is_empty());
    assert_eq!(mailed.count(), population.totals().mails);
}

#[test]
fn plain_users_share_no_address() {
    let population = Population::plain(2000, 200, 1);
    let tags = population.owners.iter().flat_map(|owner| &owner.user.tags);
    let addresses = tags.filter(|tag| tag.key == "keynudge:contact").map(|tag| &tag.value);
    assert_eq!(addresses.collect::<BTreeSet<_>>().len(), 2000);
    assert_eq!(population.totals().mails, 200);
}

/// The profiles say which keys are stale without looking at dates; this looks.
#[test]
fn the_keys_to_mail_are_the_active_ones_above_the_threshold_and_stay_so_for_hours() {
    let population = Population::mixed(&Setting::default(), 2000, 1);
    for hours in [0, 4] {
        let as_of = population.made_at + TimeDelta::hours(hours);
        for owner in &population.owners {
            let old = |key: &&AccessKey| as_of - key.created_at >= TimeDelta::days(90);
            let stale = owner.user.keys.iter().filter(|key| key.active).filter(old);
            assert_eq!(stale.count(), owner.profile.keys.stale().len(), "{owner:?}");
        }
    }
}

/// Likewise of who is young.
#[test]
fn the_young_are_younger_than_the_threshold_and_nobody_is_younger_than_a_key() {
    let population = Population::mixed(&Setting::default(), 2000, 1);
    for Owner { user, profile, .. } in &population.owners {
        for hours in [0, 4] {
            let age = population.made_at + TimeDelta::hours(hours) - user.created_at;
            assert_eq!(age < TimeDelta::days(90), profile.young, "{profile:?}");
        }
        assert!(user.keys.iter().all(|key| user.created_at <= key.created_at), "{profile:?}");
    }
}

#[test]
fn names_ids_and_tags_are_what_iam_allows() {
    let population = Population::mixed(&Setting::default(), 2000, 1);
    let mut names = BTreeSet::new();
    let mut key_ids = BTreeSet::new();
    for Owner { user, .. } in &population.owners {
        let legal = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        assert!(user.name.len() <= 64 && user.name.chars().all(legal), "{}", user.name);
        assert!(names.insert(user.name.to_lowercase()), "{} comes twice", user.name);
        assert!(user.keys.len() <= 2);
        assert!(user.keys.iter().all(|key| key_ids.insert(key.id.clone())));
        let legal = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        assert!(user.tags.iter().all(|tag| tag.value.chars().all(legal)), "{:?}", user.tags);
    }
}
