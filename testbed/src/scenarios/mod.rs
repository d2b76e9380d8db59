//! What can go wrong, on a whole deployment, and what must be true afterwards: one scenario to a file.
//!
//! Each returns an [`Outcome`], which is counted where things arrived: mails in the emulator's outbox, messages in its
//! queues, unknown outcomes in the ledger. It also says which of the scenario's promises were broken; none, if all is
//! well.

mod chaos;
mod hostile;
mod iam_bucket;
mod replay;
mod sandbox;
mod triple;
mod world;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Result;
use crate::functions::Packages;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Every fifth call to AWS fails, and functions are killed.
    Chaos,
    /// Every message is delivered three times.
    Triple,
    /// SES allows one mail a second and two hundred a day.
    Sandbox,
    /// IAM throttles at 15 calls a second.
    IamBucket,
    /// Thousands of messages that nobody meant to send.
    Hostile,
    /// Mails are given up because of an operator's mistake, and replayed.
    Replay,
}

impl Scenario {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Chaos, Self::Triple, Self::Sandbox, Self::IamBucket, Self::Hostile, Self::Replay];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chaos => "chaos",
            Self::Triple => "triple",
            Self::Sandbox => "sandbox",
            Self::IamBucket => "iam-bucket",
            Self::Hostile => "hostile",
            Self::Replay => "replay",
        }
    }

    /// Runs it to its end. `report` hears of the steps that take time.
    ///
    /// # Errors
    ///
    /// Whatever keeps the scenario from running, a pipeline that stands still not among it: that is an outcome.
    pub async fn run(self, size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
        match self {
            Self::Chaos => chaos::run(size, packages, report).await,
            Self::Triple => triple::run(size, packages, report).await,
            Self::Sandbox => sandbox::run(size, packages, report).await,
            Self::IamBucket => iam_bucket::run(size, packages, report).await,
            Self::Hostile => hostile::run(size, packages, report).await,
            Self::Replay => replay::run(size, packages, report).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        named.ok_or_else(|| format!("the scenarios are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// How large a scenario is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// IAM users.
    pub users: usize,
    /// How many of them have a stale key.
    pub stale: usize,
    /// Hostile messages on each queue.
    pub messages: usize,
    /// The same seed makes the same users, and draws the same lots.
    pub seed: u64,
}

/// What came of a scenario. Its fields are those of the line that `cargo faults -- --json` ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which scenario.
    pub scenario: &'static str,
    /// IAM users.
    pub users: usize,
    /// Calls to AWS that were made to fail.
    pub faults: u64,
    /// Functions that were killed.
    pub kills: u64,
    /// Owners who had to be mailed.
    pub expected: usize,
    /// Mails that SES took.
    pub mails: usize,
    /// Owners who had to be mailed, and were not.
    pub lost: usize,
    /// Mails beyond an owner's first.
    pub duplicates: usize,
    /// Mails of which nobody knew whether SES had taken them.
    pub unknown_outcomes: u64,
    /// Owners with more second mails than mails of their own whose outcome was unknown.
    #[serde(skip)]
    pub unexplained_duplicates: usize,
    /// Messages given up.
    pub dead_letters: usize,
    /// Messages neither done nor given up.
    pub stuck: usize,
    /// What should be true and is not.
    #[serde(skip)]
    pub broken: Vec<String>,
}

impl Outcome {
    /// Notes a promise as broken if it does not hold.
    pub(crate) fn promise(&mut self, holds: bool, promise: impl Into<String>) {
        if !holds {
            self.broken.push(promise.into());
        }
    }

    /// What every scenario promises.
    pub(crate) fn promise_that_nothing_is_lost(&mut self) {
        self.promise(self.lost == 0, "every due owner is mailed");
        self.promise(self.stuck == 0, "nothing is stuck");
    }

    /// What Keynudge promises about second mails, owner by owner. On a busy machine, SES may answer late and
    /// leave an outcome unknown in scenarios without faults, too.
    ///
    /// The ledger says which outcomes were unknown. The simulated SES and the proxies cannot: a proxy cuts an
    /// answer off without reading the mail, and a killed function leaves an outcome unknown although SES
    /// answered.
    pub(crate) fn promise_that_nobody_is_mailed_twice(&mut self) {
        let unexplained = self.unexplained_duplicates;
        self.promise(
            unexplained == 0,
            format!(
                "no owner gets a second mail unless the first one's outcome was unknown ({unexplained} did)"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            scenario: "chaos",
            users: 1,
            faults: 2,
            kills: 3,
            expected: 4,
            mails: 5,
            lost: 6,
            duplicates: 7,
            unknown_outcomes: 8,
            unexplained_duplicates: 11,
            dead_letters: 9,
            stuck: 10,
            broken: vec!["nothing is stuck".to_owned()],
        }
    }

    #[test]
    fn the_last_line_is_as_its_readers_know_it() {
        let line = r#"{"scenario":"chaos","users":1,"faults":2,"kills":3,"expected":4,"mails":5,"lost":6,"duplicates":7,"unknown_outcomes":8,"dead_letters":9,"stuck":10}"#;
        assert_eq!(serde_json::to_string(&outcome()).unwrap(), line);
    }

    /// There are more unknown outcomes than second mails, and they are other owners'.
    #[test]
    fn unknown_outcomes_of_others_excuse_no_second_mail() {
        let mut outcome = Outcome { broken: Vec::new(), ..outcome() };
        outcome.promise_that_nobody_is_mailed_twice();
        assert!(outcome.broken[0].contains("(11 did)"), "{:?}", outcome.broken);
        let mut explained = Outcome { unexplained_duplicates: 0, broken: Vec::new(), ..outcome };
        explained.promise_that_nobody_is_mailed_twice();
        assert_eq!(explained.broken, [""; 0]);
    }

    #[test]
    fn each_scenario_is_known_by_its_name() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        assert!("no-such".parse::<Scenario>().unwrap_err().contains("iam-bucket"));
    }
}
