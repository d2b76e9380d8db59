//! How the playground's other commands tell it what has happened: by HTTP, on loopback.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::{Router, routing};
use keynudge_testbed::aws::{Account, http_client};
use keynudge_testbed::population::{Expectation, Population};
use keynudge_testbed::simulated_iam::SimulatedIam;
use tokio::net::TcpListener;

use crate::place::Running;

/// How many users it is about.
const DENIED: usize = 3;

const DEPLOYED: &str = "/deployed";
const REPAIRED: &str = "/repaired";

/// Somebody's mistake: a policy that denies Keynudge the keys of a few users. It is made once, since whoever deploys again
/// afterwards has seen it.
#[derive(Clone)]
pub(crate) struct Mistake {
    iam: SimulatedIam,
    account: Account,
    stage: Arc<Mutex<Stage>>,
}

enum Stage {
    /// It will be about these users.
    ToCome(BTreeSet<String>),
    /// It is about so many.
    Made(usize),
    Repaired,
}

impl Mistake {
    /// It will be about owners who have to be mailed, at an address of their own.
    pub(crate) fn to_come(iam: SimulatedIam, account: Account, population: &Population) -> Self {
        let own_address = population.owners.iter().filter(|owner| {
            matches!(&owner.expectation, Expectation::Mailed { to, .. } if to.starts_with(&owner.user.name))
        });
        let users = own_address.take(DENIED).map(|owner| owner.user.name.clone()).collect();
        Self { iam, account, stage: Arc::new(Mutex::new(Stage::ToCome(users))) }
    }

    /// Makes it, if it is still to come. Returns how many users it is about now.
    fn make(&self) -> usize {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Stage::ToCome(users) = &mut *stage {
            let users = std::mem::take(users);
            *stage = Stage::Made(users.len());
            self.iam.deny_keys_of(&self.account, users);
        }
        if let Stage::Made(users) = *stage { users } else { 0 }
    }

    /// Repairs it. Returns how many users it was about.
    fn repair(&self) -> usize {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let Stage::Made(users) = *stage else { return 0 };
        self.iam.deny_keys_of(&self.account, BTreeSet::new());
        *stage = Stage::Repaired;
        users
    }
}

/// Listens, until the program ends. Returns where.
pub(crate) async fn serve(mistake: Mistake) -> Result<String> {
    let router = Router::new()
        .route(DEPLOYED, routing::post(async |State(mistake): State<Mistake>| mistake.make().to_string()))
        .route(REPAIRED, routing::post(async |State(mistake): State<Mistake>| mistake.repair().to_string()))
        .with_state(mistake);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the other commands")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

/// Tells the playground that Keynudge is deployed. Returns how many users its mistake is about.
pub(crate) async fn deployed(playground: &Running) -> Result<usize> {
    tell(playground, DEPLOYED).await
}

/// Has the playground repair its mistake. Returns how many users it was about.
pub(crate) async fn repaired(playground: &Running) -> Result<usize> {
    tell(playground, REPAIRED).await
}

async fn tell(playground: &Running, what: &str) -> Result<usize> {
    let told = http_client().post(format!("{}{what}", playground.control)).send().await;
    let answer =
        told.and_then(reqwest::Response::error_for_status).context("the playground does not answer")?;
    Ok(answer.text().await?.parse()?)
}
