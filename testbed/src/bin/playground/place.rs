//! Where a running playground leaves word of itself, for shells and for its other commands.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use keynudge_testbed::aws::{Account, Client, REGION};
use keynudge_testbed::{run_directory, workspace};
use serde::{Deserialize, Serialize};

const KILLED: &str = "the playground was killed, and shells that have read its env lead nowhere: start another one with \
                      `cargo playground`, in another terminal, and read its env";

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

    /// The same for fish.
    fn environment_of_fish(&self) -> PathBuf {
        self.directory.join("env.fish")
    }

    fn description(&self) -> PathBuf {
        self.directory.join("playground.json")
    }

    /// Takes back what a playground has said of itself. Returns whether it had said anything.
    fn remove_word(&self) -> bool {
        let files = [self.environment(), self.environment_of_fish(), self.description()];
        files.into_iter().filter(|file| fs::remove_file(file).is_ok()).count() > 0
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
        // Its owner holds the lock as long as it lives, and a killed one no more.
        let lock = File::open(self.lock());
        let is_taken = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        if !is_taken {
            if self.remove_word() {
                // Its log is of megabytes.
                run_directory::sweep_ended()?;
                bail!(KILLED);
            }
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
        let settings = running.settings(&self.place.directory);
        write(self.place.environment(), for_sh(&settings))?;
        write(self.place.environment_of_fish(), for_fish(&settings))?;
        write(self.place.description(), serde_json::to_string(running)?)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.place.remove_word();
    }
}

impl Running {
    pub(crate) fn aws(&self) -> Result<Client> {
        let account: Account = self.account.parse().map_err(anyhow::Error::msg)?;
        Ok(Client::new(self.endpoint.clone(), account))
    }

    /// What a shell has to have set, in the order in which it is written.
    fn settings(&self, directory: &Path) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        vec![
            ("AWS_ACCESS_KEY_ID", self.account.clone()),
            ("AWS_SECRET_ACCESS_KEY", text("playground")),
            ("AWS_REGION", text(REGION)),
            ("AWS_DEFAULT_REGION", text(REGION)),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ENDPOINT_URL_IAM", self.iam.clone()),
            ("AWS_ENDPOINT_URL_SES", self.ses.clone()),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", text("false")),
            ("AWS_EC2_METADATA_DISABLED", text("true")),
            ("NO_PROXY", text("127.0.0.1")),
            ("no_proxy", text("127.0.0.1")),
            // `keynudge` looks there whether the playground still runs.
            ("KEYNUDGE_PLAYGROUND", directory.display().to_string()),
        ]
    }
}

const WHAT_IT_IS: &str = "\
# Has keynudge and the AWS CLI reach the playground instead of AWS, in the shell that reads this. It takes version 2 of the
# AWS CLI, 2.13 or later: older ones do not know AWS_ENDPOINT_URL, and ask AWS itself.
";

/// Of the user's own AWS, nothing may show through: no profile, no session, no endpoint, no proxy.
const UNSET: &str = "AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN";

/// What sh, bash and zsh read.
fn for_sh(settings: &[(&str, String)]) -> String {
    let unset = format!(
        "unset {UNSET}\n\
         for name in $(env | sed -n 's/^\\(AWS_ENDPOINT_URL_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done\n"
    );
    let quoted = |value: &str| value.replace('\'', r"'\''");
    let exports = settings.iter().map(|(name, value)| format!("export {name}='{}'\n", quoted(value)));
    [WHAT_IT_IS.to_owned(), unset].into_iter().chain(exports).collect()
}

/// The variables in fish's syntax. Universal variables outlive the shell, so they are not erased: a global
/// variable that is not exported hides them.
fn for_fish(settings: &[(&str, String)]) -> String {
    let unset = format!(
        "for name in {UNSET} (set --names | string match 'AWS_ENDPOINT_URL_*')\n    set -gu $name\nend\n"
    );
    let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
    let exports = settings.iter().map(|(name, value)| format!("set -gx {name} '{}'\n", quoted(value)));
    [WHAT_IT_IS.to_owned(), unset].into_iter().chain(exports).collect()
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

    fn somewhere() -> Running {
        let word = |of: &str| format!("http://{of}");
        Running {
            endpoint: word("aws"),
            iam: word("iam"),
            ses: word("ses"),
            control: word("control"),
            account: "100000000001".to_owned(),
            configuration_set: "set".to_owned(),
            events_topic_arn: "topic".to_owned(),
        }
    }

    #[test]
    fn a_path_reaches_both_shells_as_it_is() {
        let settings = somewhere().settings(Path::new(r"/it's a \ folder"));
        assert!(for_sh(&settings).ends_with("export KEYNUDGE_PLAYGROUND='/it'\\''s a \\ folder'\n"));
        assert!(for_fish(&settings).ends_with("set -gx KEYNUDGE_PLAYGROUND '/it\\'s a \\\\ folder'\n"));
    }

    #[test]
    fn fish_is_told_the_same_as_the_other_shells() {
        let settings = somewhere().settings(Path::new("/playground"));
        let (sh, fish) = (for_sh(&settings), for_fish(&settings));
        for (name, value) in settings {
            assert!(sh.contains(&format!("export {name}='{value}'\n")), "{sh}");
            assert!(fish.contains(&format!("set -gx {name} '{value}'\n")), "{fish}");
        }
    }

    #[test]
    fn word_of_a_playground_is_there_as_long_as_it_is() {
        let place = place("word");
        let running = || place.running().map(|running| running.account).map_err(|error| error.to_string());
        assert!(running().unwrap_err().starts_with("no playground is running"));
        let taken = place.take().unwrap();
        assert!(running().unwrap_err().starts_with("the playground is still starting"));
        taken.announce(&somewhere()).unwrap();
        assert_eq!(running().unwrap(), "100000000001");
        drop(taken);
        assert!(!place.environment().exists());
        assert!(running().is_err());
        fs::remove_dir_all(&place.directory).unwrap();
    }
}
