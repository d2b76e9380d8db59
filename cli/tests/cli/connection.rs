//! The way to AWS: whose certificates are trusted on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use keynudge_testbed::aws::Account;
use keynudge_testbed::https_fronts::HttpsFronts;
use keynudge_testbed::simulated_iam::{Options, SimulatedIam};

use crate::support::{fresh_account, keynudge, stderr};

/// A network whose proxy intercepts TLS: services show certificates of an authority that the machine does not
/// know.
struct Network {
    iam: SimulatedIam,
    fronts: HttpsFronts,
    account: Account,
    directory: PathBuf,
}

impl Network {
    fn new(test: &str) -> Self {
        let iam = SimulatedIam::start(&Options::default()).unwrap();
        let account = fresh_account();
        iam.set_users(&account, Vec::new());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("connection-{test}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join(".aws")).unwrap();
        Self { iam, fronts: HttpsFronts::start("").unwrap(), account, directory }
    }

    fn bundle(&self) -> String {
        self.fronts.bundle().display().to_string()
    }

    /// A scan of nobody, with a file for `~/.aws/config` and a value of `AWS_CA_BUNDLE`.
    fn scan(&self, config: &str, bundle: Option<&str>) -> Output {
        fs::write(self.directory.join(".aws/config"), config).unwrap();
        let mut command = keynudge(&self.account, &self.directory, &["scan"]);
        let front = self.fronts.before(&self.iam.endpoint()).unwrap();
        for service in ["IAM", "STS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), &front);
        }
        command.envs(bundle.map(|path| ("AWS_CA_BUNDLE", path)));
        command.output().unwrap()
    }
}

#[test]
fn the_bundle_of_the_aws_cli_is_trusted() {
    let network = Network::new("trusted");
    let profile = format!("[default]\nca_bundle = {}\n", network.bundle());
    for (config, bundle) in [("", Some(network.bundle())), (&*profile, None)] {
        let output = network.scan(config, bundle.as_deref());
        assert!(output.status.success(), "{config}: {}", stderr(&output));
    }
    let unknown = network.scan("", None);
    assert_eq!(unknown.status.code(), Some(1), "{}", stderr(&unknown));
}

#[test]
fn a_bundle_that_cannot_be_used_is_named() {
    let network = Network::new("unusable");
    let empty = network.directory.join("empty.pem").display().to_string();
    fs::write(&empty, "# nothing\n").unwrap();
    for (path, reason) in
        [("/nowhere.pem", "cannot be read: No such file"), (&*empty, "no certificate in PEM")]
    {
        let output = network.scan("", Some(path));
        assert_eq!(output.status.code(), Some(1), "{path}");
        let said = stderr(&output);
        assert!(said.contains(&format!("AWS_CA_BUNDLE {path:?}")) && said.contains(reason), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
