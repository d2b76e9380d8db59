//! Two IAMs, one answer: what is simulated here must not be to Keynudge's liking only.

use std::collections::{BTreeMap, BTreeSet};

use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::emulator_iam;
use keynudge_testbed::outbox;
use keynudge_testbed::population::{Population, Setting};

use crate::support::{
    assert_exactly_the_expected_mails, deploy, deploy_with, fresh_account, run, start, start_with_ses,
};

/// Who was mailed where about which of their keys, by position: the ids differ between the two.
type Answer = BTreeMap<(String, Vec<String>), BTreeSet<usize>>;

/// The emulator knows nothing of sign-ins, so everybody is checked, on either side.
#[tokio::test]
async fn the_emulators_own_iam_leads_to_the_same_mails() {
    let setting = Setting { everybody: true, ..Setting::default() };
    let population = Population::mixed(&setting, 300, 2);
    let parameters = Parameters::unpaced().with("Audience", "all");

    let simulated = deploy_with(&population, &parameters).await;
    run(&simulated).await;
    assert_exactly_the_expected_mails(&simulated, &population).await;

    let (emulator, aws, own_population) = emulator_with(population.clone()).await;
    let own = deploy(aws, &parameters).await;
    run(&own).await;
    assert_exactly_the_expected_mails(&own, &own_population).await;

    assert_eq!(answer(&own, &own_population).await, answer(&simulated, &population).await);
    drop(emulator);
}

/// An emulator whose IAM holds the population, keys as old as they should be.
async fn emulator_with(population: Population) -> (Emulator, keynudge_testbed::aws::Client, Population) {
    let emulator = start(&emulator::Options::default()).await;
    let aws = fresh_account(&emulator);
    let population = emulator_iam::create(&aws, population, || ()).await.unwrap();
    let mut iam_state = emulator.stop().await.unwrap();
    emulator_iam::set_ages(&mut iam_state, &population).unwrap();
    let options = emulator::Options { iam_state: Some(iam_state), ..emulator::Options::default() };
    let (emulator, _) = start_with_ses(options).await;
    let aws = keynudge_testbed::aws::Client::new(emulator.endpoint(), aws.account().clone());
    (emulator, aws, population)
}

async fn answer(deployment: &Deployment, population: &Population) -> Answer {
    let owner_of_key = population.owner_of_key();
    let mails = outbox::mails(&deployment.aws).await.unwrap();
    let about = mails.iter().map(|mail| {
        let ids = mail.key_ids();
        let owner = owner_of_key[ids.first().unwrap()];
        let keys = owner.user.keys.iter().enumerate();
        let positions = keys.filter(|(_, key)| ids.contains(&*key.id)).map(|(position, _)| position);
        ((owner.user.name.clone(), mail.to.clone()), positions.collect())
    });
    about.collect()
}
