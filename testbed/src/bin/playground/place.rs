//! Where a running playground leaves word of itself, for shells and for its other commands.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use keynudge_testbed::aws::{Account, Client, REGION};
use keynudge_testbed::workspace;
use serde::{Deserialize, Serialize};

/// A folder of a playground's own.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
}

/// What a running playground says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Running {
    /// Where AWS is: all services but those below.
    pub(crate) endpoint: String,
    /// Where IAM is.
    pub(crate) iam: String,
    /// Where SES is, version 1 of its API.
    pub(crate) ses: String,
    /// Where the playground itself listens.
    pub(crate) control: String,
    /// Whose account it is.
    pub(crate) account: String,
    /// The stack of `infra/ses.yaml`: its configuration set, and its topic.
    pub(crate) configuration_set: String,
    pub(crate) events_topic_arn: String,
}

impl Place {
    /// One in cargo's target directory, unless told otherwise.
    pub(crate) fn new(directory: Option<&Path>) -> Self {
        let directory =
            directory.map_or_else(|| workspace::target_dir().join("playground"), Path::to_path_buf);
        Self { directory }
    }

    /// The file that shells read.
    pub(crate) fn environment(&self) -> PathBuf {
        self.directory.join("env")
    }

    fn description(&self) -> PathBuf {
        self.directory.join("playground.json")
    }

    fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// Takes it, for as long as the answer lives.
    pub(crate) fn take(&self) -> Result<Taken<'_>> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("creating {}", self.directory.display()))?;
        let path = self.lock();
        let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Taken { place: self, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("a playground is running already: use that one, or end it with Ctrl-C in its terminal")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }

    /// What the running playground says of itself.
    pub(crate) fn running(&self) -> Result<Running> {
        // A killed one could not take its word back, but holds the lock no more.
        let is_taken = File::open(self.lock())
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        if !is_taken {
            bail!("no playground is running: start one with `cargo playground`, in another terminal");
        }
        let Ok(description) = fs::read_to_string(self.description()) else {
            bail!("the playground is still starting: wait until it says what to type next");
        };
        serde_json::from_str(&description)
            .with_context(|| format!("reading {}", self.description().display()))
    }
}

/// A place that is taken. Word of the playground is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    place: &'a Place,
    _lock: File,
}

impl Taken<'_> {
    /// Leaves word.
    pub(crate) fn announce(&self, running: &Running) -> Result<()> {
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        write(self.place.environment(), running.environment())?;
        write(self.place.description(), serde_json::to_string(running)?)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // There may be none yet.
        let _ = fs::remove_file(self.place.environment());
        let _ = fs::remove_file(self.place.description());
    }
}

impl Running {
    pub(crate) fn aws(&self) -> Result<Client> {
        let account: Account = self.account.parse().map_err(anyhow::Error::msg)?;
        Ok(Client::new(self.endpoint.clone(), account))
    }

    /// What a shell reads. Nothing of the user's own AWS may show through: no profile, no session, no endpoint of their
    /// configuration, no proxy.
    fn environment(&self) -> String {
        let Self { endpoint, iam, ses, account, .. } = self;
        format!(
            "# Has keynudge and the AWS CLI reach the playground instead of AWS, in the shell that reads this.\n\
             unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN\n\
             export AWS_ACCESS_KEY_ID={account}\n\
             export AWS_SECRET_ACCESS_KEY=playground\n\
             export AWS_REGION={REGION}\n\
             export AWS_DEFAULT_REGION={REGION}\n\
             export AWS_ENDPOINT_URL={endpoint}\n\
             export AWS_ENDPOINT_URL_IAM={iam}\n\
             export AWS_ENDPOINT_URL_SES={ses}\n\
             export AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=false\n\
             export AWS_EC2_METADATA_DISABLED=true\n\
             export NO_PROXY=127.0.0.1\n\
             export no_proxy=127.0.0.1\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(test: &str) -> Place {
        let directory = workspace::testbed_dir().join(format!("place-{test}-{}", std::process::id()));
        Place::new(Some(&directory))
    }

    #[test]
    fn a_place_is_taken_once_at_a_time() {
        let place = place("once");
        let taken = place.take().unwrap();
        let error = place.take().unwrap_err().to_string();
        assert!(error.contains("a playground is running already"), "{error}");
        drop(taken);
        drop(place.take().unwrap());
        fs::remove_dir_all(&place.directory).unwrap();
    }

    #[test]
    fn word_of_a_playground_is_there_as_long_as_it_is() {
        let place = place("word");
        let running = || place.running().map(|running| running.account).map_err(|error| error.to_string());
        assert!(running().unwrap_err().starts_with("no playground is running"));
        let taken = place.take().unwrap();
        assert!(running().unwrap_err().starts_with("the playground is still starting"));
        let word = |of: &str| format!("http://{of}");
        taken
            .announce(&Running {
                endpoint: word("aws"),
                iam: word("iam"),
                ses: word("ses"),
                control: word("control"),
                account: "100000000001".to_owned(),
                configuration_set: "set".to_owned(),
                events_topic_arn: "topic".to_owned(),
            })
            .unwrap();
        assert_eq!(running().unwrap(), "100000000001");
        drop(taken);
        assert!(!place.environment().exists());
        assert!(running().is_err());
        fs::remove_dir_all(&place.directory).unwrap();
    }
}
