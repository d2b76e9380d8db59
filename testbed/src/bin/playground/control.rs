//! How the playground's other commands tell it what has happened: by HTTP, on loopback.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::{Router, routing};
use keynudge_testbed::aws::{Account, http_client};
use keynudge_testbed::population::{Expectation, Population};
use keynudge_testbed::simulated_iam::SimulatedIam;
use keynudge_testbed::web_pages;
use tokio::net::TcpListener;

use crate::place::Running;

/// How many users it is about.
const DENIED: usize = 3;

const BROKEN: &str = "/broken";
const REPAIRED: &str = "/repaired";

/// Somebody's mistake, made when asked for: a policy that denies Keynudge the keys of a few users.
#[derive(Clone)]
pub(crate) struct Mistake {
    iam: SimulatedIam,
    account: Account,
    users: BTreeSet<String>,
    is_made: Arc<Mutex<bool>>,
}

impl Mistake {
    /// It will be about owners who have to be mailed, at an address of their own.
    pub(crate) fn to_come(iam: SimulatedIam, account: Account, population: &Population) -> Self {
        let own_address = population.owners.iter().filter(|owner| {
            matches!(&owner.expectation, Expectation::Mailed { to, .. } if to.starts_with(&owner.user.name))
        });
        let users = own_address.take(DENIED).map(|owner| owner.user.name.clone()).collect();
        Self { iam, account, users, is_made: Arc::default() }
    }

    /// Makes it. Returns how many users it is about.
    fn make(&self) -> usize {
        let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
        self.iam.deny_keys_of(&self.account, self.users.clone());
        *is_made = true;
        self.users.len()
    }

    /// Repairs it. Returns how many users it was about.
    fn repair(&self) -> usize {
        let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
        self.iam.deny_keys_of(&self.account, BTreeSet::new());
        if std::mem::take(&mut *is_made) { self.users.len() } else { 0 }
    }
}

/// Listens, until the program ends. Returns where.
pub(crate) async fn serve(mistake: Mistake) -> Result<String> {
    let router = Router::new()
        .route(BROKEN, routing::post(async |State(mistake): State<Mistake>| mistake.make().to_string()))
        .route(REPAIRED, routing::post(async |State(mistake): State<Mistake>| mistake.repair().to_string()))
        .with_state(mistake);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the other commands")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, web_pages::refused(router)).await });
    Ok(format!("http://{address}"))
}

/// Has the playground make its mistake. Returns how many users it is about.
pub(crate) async fn broken(playground: &Running) -> Result<usize> {
    tell(playground, BROKEN).await
}

/// Has the playground repair it. Returns how many users it was about.
pub(crate) async fn repaired(playground: &Running) -> Result<usize> {
    tell(playground, REPAIRED).await
}

async fn tell(playground: &Running, what: &str) -> Result<usize> {
    let told = http_client().post(format!("{}{what}", playground.control)).send().await;
    let answer =
        told.and_then(reqwest::Response::error_for_status).context("the playground does not answer")?;
    Ok(answer.text().await?.parse()?)
}
