//! What is started: a function of Keynudge's, or its counterpart in Python.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::workspace;
use tokio::process::Command;

/// A program, and the variables it is started with, which are all it has.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Whose it is.
    pub(crate) name: &'static str,
    executable: PathBuf,
    arguments: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

impl Program {
    /// One of Keynudge's functions.
    pub(crate) fn keynudge(
        packages: &Packages,
        function: Function,
        variables: &[(String, String)],
        trusted: &Path,
    ) -> Self {
        let mut variables = variables.to_vec();
        variables.push(("SSL_CERT_FILE".to_owned(), trusted.display().to_string()));
        Self {
            name: "Keynudge",
            executable: packages.executable(function).to_owned(),
            arguments: Vec::new(),
            variables,
        }
    }

    /// The Python function that makes the same calls.
    pub(crate) fn python(
        python: &Path,
        function: Function,
        variables: &[(String, String)],
        trusted: &Path,
    ) -> Self {
        let mut variables = variables.to_vec();
        variables.extend([
            ("AWS_CA_BUNDLE".to_owned(), trusted.display().to_string()),
            ("_HANDLER".to_owned(), function.binary().to_owned()),
            // Lambda's Python finds its modules compiled; here, nothing is to be left beside them.
            (
                "PYTHONPYCACHEPREFIX".to_owned(),
                workspace::testbed_dir().join("pycache").display().to_string(),
            ),
        ]);
        let bootstrap = Path::new(env!("CARGO_MANIFEST_DIR")).join("contenders/cold_start/bootstrap.py");
        Self { name: "Python", executable: python.to_owned(), arguments: vec![bootstrap], variables }
    }

    /// How to start it, with this runtime API.
    pub(crate) fn command(&self, runtime_api: SocketAddr) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string());
        command
    }
}
