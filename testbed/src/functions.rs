//! Builds the functions with cargo, and packs each as Lambda takes it: a zip with one executable, `bootstrap`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::ValueEnum;
use futures::future;
use serde::Deserialize;
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::{Error, Result, workspace};

/// One of Keynudge's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// Fans accounts out and lists users.
    Producer,
    /// Checks keys.
    Worker,
    /// Mails owners.
    Notifier,
    /// Writes down what became of mails.
    Feedback,
}

impl Function {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 4] = [Self::Producer, Self::Worker, Self::Notifier, Self::Feedback];

    /// Its binary.
    #[must_use]
    pub fn binary(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Worker => "worker",
            Self::Notifier => "notifier",
            Self::Feedback => "feedback",
        }
    }

    /// Its resource in the template.
    #[must_use]
    pub fn logical_id(self) -> &'static str {
        match self {
            Self::Producer => "ProducerFunction",
            Self::Worker => "WorkerFunction",
            Self::Notifier => "NotifierFunction",
            Self::Feedback => "FeedbackFunction",
        }
    }
}

/// How to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// As deployed: for figures that mean something.
    Release,
    /// As `cargo test` builds, with the same packages and so the same features: what it has built is not built again.
    #[value(name = "dev")]
    Test,
}

impl Profile {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Release => &[
                "build",
                "--locked",
                "--release",
                "-p",
                "keynudge-producer",
                "-p",
                "keynudge-worker",
                "-p",
                "keynudge-notifier",
                "-p",
                "keynudge-feedback",
            ],
            Self::Test => &["build", "--locked", "--workspace", "--bins", "--tests"],
        }
    }

    fn arguments_for_operators_tool(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["build", "--locked", "--release", "-p", "keynudge"],
            Self::Test => self.arguments(),
        }
    }

    fn arguments_for_idle(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["build", "--locked", "--release", "-p", "keynudge-idle"],
            Self::Test => self.arguments(),
        }
    }

    /// Of 9. Without optimisation, packing well takes longer than all the tests.
    fn compression_level(self) -> i64 {
        match self {
            Self::Release => 9,
            Self::Test => 1,
        }
    }
}

const OPERATORS_TOOL: &str = "keynudge";

/// The functions, ready to be deployed.
#[derive(Clone, Debug)]
pub struct Packages {
    functions: HashMap<Function, Vec<u8>>,
    executables: HashMap<String, PathBuf>,
}

impl Packages {
    /// Builds and packs all functions. Cargo shows its own progress on standard error.
    ///
    /// # Errors
    ///
    /// [`Error::Build`] if cargo fails, [`Error::File`] if a binary cannot be packed.
    pub async fn build(profile: Profile) -> Result<Self> {
        let executables = build(profile.arguments()).await?;
        let packed = Function::ALL.map(|function| pack_in_background(function, &executables, profile));
        let functions = future::try_join_all(packed).await?.into_iter().collect();
        Ok(Self { functions, executables })
    }

    /// The same, with a function in the worker's place that takes whatever its queue hands it, and does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Build`] if cargo fails, [`Error::File`] if the binary cannot be packed.
    pub async fn with_idle_worker(&self, profile: Profile) -> Result<Self> {
        let executables = build(profile.arguments_for_idle()).await?;
        let executable = executable(&executables, "idle")?;
        let zip =
            pack(executable, profile.compression_level()).map_err(Error::file("packing", executable))?;
        let mut packages = self.clone();
        packages.functions.insert(Function::Worker, zip);
        Ok(packages)
    }

    /// The operators' tool, built along with them by [`Profile::Test`].
    ///
    /// # Errors
    ///
    /// [`Error::Build`] if it was not built.
    pub fn operators_tool(&self) -> Result<&Path> {
        executable(&self.executables, OPERATORS_TOOL)
    }

    /// One function's executable, as it is in its zip.
    #[must_use]
    pub fn executable(&self, function: Function) -> &Path {
        self.executables.get(function.binary()).map_or(Path::new(""), PathBuf::as_path)
    }

    /// One function's zip.
    #[must_use]
    pub fn zip(&self, function: Function) -> &[u8] {
        self.functions.get(&function).map_or(&[], Vec::as_slice)
    }
}

/// Builds the operators' tool, as it is installed. Returns where it is.
///
/// # Errors
///
/// [`Error::Build`] if cargo fails.
pub async fn build_operators_tool(profile: Profile) -> Result<PathBuf> {
    let executables = build(profile.arguments_for_operators_tool()).await?;
    executable(&executables, OPERATORS_TOOL).map(Path::to_path_buf)
}

/// Runs cargo, and finds the executables in what it says.
async fn build(arguments: &[&str]) -> Result<HashMap<String, PathBuf>> {
    let failed = |detail: String| Error::Build { arguments: arguments.join(" "), detail };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    // Set for us by the cargo that runs us; build scripts that look at them would run again.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
        cargo.env_remove(name);
    }
    let cargo = cargo.spawn().map_err(|error| failed(error.to_string()))?;
    let output = cargo.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    Ok(executables(&String::from_utf8_lossy(&output.stdout)))
}

fn executable<'a>(executables: &'a HashMap<String, PathBuf>, name: &str) -> Result<&'a Path> {
    let executable = executables.get(name).map(PathBuf::as_path);
    executable.ok_or_else(|| Error::Build {
        arguments: "build".to_owned(),
        detail: format!("it made no binary called {name}"),
    })
}

fn is_about_this_package(variable: &OsStr) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    prefixes.iter().any(|prefix| variable.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

/// The executables cargo names, by their target's name; test executables are none of them.
fn executables(messages: &str) -> HashMap<String, PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let binaries = artifacts.filter(|artifact: &Artifact| !artifact.profile.test);
    let named = binaries.filter_map(|artifact| Some((artifact.target.name, artifact.executable?)));
    named.collect()
}

/// One of the messages `cargo build --message-format=json` prints.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    profile: BuiltWith,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct BuiltWith {
    test: bool,
}

/// Packing takes seconds; all are packed at once.
async fn pack_in_background(
    function: Function,
    executables: &HashMap<String, PathBuf>,
    profile: Profile,
) -> Result<(Function, Vec<u8>)> {
    let executable = executable(executables, function.binary())?;
    let packed = tokio::task::spawn_blocking({
        let executable = executable.to_path_buf();
        move || pack(&executable, profile.compression_level())
    });
    let packed = packed.await.unwrap_or_else(|panic| Err(panic.into()));
    Ok((function, packed.map_err(Error::file("packing", executable))?))
}

/// A zip with the executable in it, under the name Lambda's custom runtimes start.
fn pack(executable: &Path, compression_level: i64) -> io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(compression_level))
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(&fs::read(executable)?)?;
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"worker"},"profile":{"test":false},"executable":"/t/worker"}
            {"reason":"compiler-artifact","target":{"name":"worker"},"profile":{"test":true},"executable":"/t/worker-1a2b"}
            {"reason":"compiler-artifact","target":{"name":"serde"},"profile":{"test":false},"executable":null}
            {"reason":"build-finished","success":true}
        "#;
        let expected = HashMap::from([("worker".to_owned(), PathBuf::from("/t/worker"))]);
        assert_eq!(executables(messages), expected);
    }

    #[test]
    fn a_package_holds_one_executable_called_bootstrap() {
        let zip = pack(&std::env::current_exe().unwrap(), 1).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(archive.len(), 1);
        let bootstrap = archive.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o777), Some(0o755));
    }
}
