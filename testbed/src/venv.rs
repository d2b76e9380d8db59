//! The testbed's own Python: virtual environments with pinned packages, each made on first use.
//!
//! They live under cargo's target directory and are named by a hash of their requirements, so one is made again when its
//! requirements change, and `cargo clean` removes them. Nothing of the user's Python is touched.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{Error, Result, workspace};

/// Packages, all of them pinned, that get an environment of their own.
#[derive(Clone, Copy, Debug)]
pub struct Packages {
    requirements: &'static str,
    /// What they are, for whoever waits for them.
    name: &'static str,
    /// The modules that are there if they are.
    modules: &'static str,
}

/// The emulator.
pub const EMULATOR: Packages = Packages {
    requirements: include_str!("../emulator/requirements.txt"),
    name: "the emulator",
    modules: "ministack, samtranslator",
};

/// The proxies that inject faults.
pub const FAULTS: Packages = Packages {
    requirements: include_str!("../emulator/faults-requirements.txt"),
    name: "the fault injector",
    modules: "microburst.core.pipeline",
};

/// The second emulator.
pub const SECOND_EMULATOR: Packages = Packages {
    requirements: include_str!("../second_emulator/requirements.txt"),
    name: "the second emulator",
    modules: "moto.server, moto.cloudformation.parsing, samtranslator",
};

/// axe-core, for tests of pages.
pub const ACCESSIBILITY: Packages = Packages {
    requirements: include_str!("../browser/requirements.txt"),
    name: "axe-core",
    modules: "axe_playwright_python",
};

/// What Keynudge is compared with.
pub const CONTENDERS: Packages = Packages {
    requirements: include_str!("../contenders/requirements.txt"),
    name: "what Keynudge is compared with",
    modules: "boto3, c7n, c7n_mailer",
};

/// The oldest Python the emulator runs on.
const MINIMUM: (u32, u32) = (3, 10);

/// The commands to try, in this order: what the user calls Python first.
const CANDIDATES: [&str; 6] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];

/// The Python of the packages' virtual environment, which is made first where it is missing.
///
/// `report` hears of the steps that take time. Any number of processes may call this at once: one makes the
/// environment, the others wait for it.
///
/// # Errors
///
/// [`Error::NoPython`], [`Error::NoVirtualEnvironment`] and [`Error::Pip`] say what is missing on this machine.
pub async fn python(packages: Packages, report: &impl Fn(&str)) -> Result<PathBuf> {
    let hash = hash(packages.requirements);
    let directory = workspace::testbed_dir().join(format!("venv-{hash}"));
    let environment = Environment { packages, directory };
    let _only_one_makes_it = lock(&workspace::testbed_dir(), report).await?;
    if !environment.is_usable().await {
        environment.make(report).await?;
    }
    Ok(environment.python())
}

/// A file of a module of these packages, which are installed first where they are missing.
pub async fn module_file(
    packages: Packages,
    module: &str,
    file: &str,
    report: &impl Fn(&str),
) -> Result<PathBuf> {
    let python = python(packages, report).await?;
    let program = format!("import {module} as m; print(m.__path__[0])");
    let output =
        run(Command::new(&python).args(["-c", &program])).await.map_err(Error::file("running", &python))?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join(file))
}

fn hash(requirements: &str) -> String {
    let digest = Sha256::digest(requirements);
    let beginning = digest.iter().take(6).fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    format!("{beginning:012x}")
}

/// Waits until no other process makes the environment. The lock ends with the file, and with the process.
async fn lock(testbed_dir: &Path, report: &impl Fn(&str)) -> Result<File> {
    fs::create_dir_all(testbed_dir).map_err(Error::file("creating", testbed_dir))?;
    let path = testbed_dir.join("venv.lock");
    let file = File::create(&path).map_err(Error::file("creating", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => report("waiting for another process to set up the testbed"),
        Err(TryLockError::Error(error)) => return Err(Error::file("locking", &path)(error)),
    }
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    let locked = locked.await.unwrap_or_else(|panic| Err(panic.into()));
    locked.map_err(Error::file("locking", &path))
}

struct Environment {
    packages: Packages,
    directory: PathBuf,
}

impl Environment {
    fn python(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// Written last: without it, whatever is there was left behind halfway.
    fn complete_marker(&self) -> PathBuf {
        self.directory.join("complete")
    }

    /// Whether it was finished, and still works. Its `python` is a link: once the Python it was made from is gone, it
    /// dangles, and once that is another version, it looks for the packages elsewhere.
    async fn is_usable(&self) -> bool {
        let mut python = Command::new(self.python());
        let import = run(python.args(["-c", &format!("import {}", self.packages.modules)]));
        self.complete_marker().exists() && import.await.is_ok_and(|output| output.status.success())
    }

    async fn make(&self, report: &impl Fn(&str)) -> Result<()> {
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory).map_err(Error::file("removing", &self.directory))?;
        }
        let python = find_python(&CANDIDATES).await?;
        let name = self.packages.name;
        report(&format!("making a Python environment for {name}"));
        self.create_with(&python).await?;
        report(&format!("installing {name} (once; this takes a minute)"));
        self.install().await?;
        let marker = self.complete_marker();
        fs::write(&marker, self.packages.requirements).map_err(Error::file("writing", &marker))
    }

    async fn create_with(&self, python: &str) -> Result<()> {
        let arguments = ["-m", "venv", "--clear"];
        let directory = self.directory.as_os_str();
        let output = run(Command::new(python).args(arguments).arg(directory)).await;
        match output {
            Ok(output) if output.status.success() => Ok(()),
            other => Err(Error::NoVirtualEnvironment { python: python.to_owned(), detail: printed(other) }),
        }
    }

    async fn install(&self) -> Result<()> {
        let requirements = self.directory.join("requirements.txt");
        fs::write(&requirements, self.packages.requirements)
            .map_err(Error::file("writing", &requirements))?;
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            // All is pinned, what the packages need included, to files whose hashes are known, whatever a registry serves; and a
            // wheel runs no code when it is installed.
            .args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&requirements);
        match run(&mut pip).await {
            Ok(output) if output.status.success() => Ok(()),
            other => Err(Error::Pip { requirements, detail: printed(other) }),
        }
    }
}

/// The first candidate that is new enough.
async fn find_python(candidates: &[&str]) -> Result<String> {
    let mut tried = Vec::new();
    for &candidate in candidates {
        match version_of(candidate).await {
            Some(version) if version >= MINIMUM => return Ok(candidate.to_owned()),
            Some((major, minor)) => tried.push(format!("{candidate}, which is {major}.{minor}")),
            None => tried.push(candidate.to_owned()),
        }
    }
    Err(Error::NoPython { minimum: format!("{}.{}", MINIMUM.0, MINIMUM.1), tried: tried.join("; ") })
}

async fn version_of(python: &str) -> Option<(u32, u32)> {
    let program = "import sys; print(*sys.version_info[:2])";
    let output = run(Command::new(python).args(["-c", program])).await.ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = printed.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Runs a command to its end, quietly; it ends with us if we are interrupted.
async fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).kill_on_drop(true).output().await
}

fn printed(output: std::io::Result<Output>) -> String {
    match output {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&printed).trim_end().to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_python_is_an_error_that_says_what_was_tried() {
        let error = find_python(&["no-such-python"]).await.unwrap_err();
        assert!(matches!(error, Error::NoPython { .. }), "{error}");
        assert!(error.to_string().contains("3.10 or newer (tried no-such-python)"), "{error}");
    }

    /// `pip` refuses what has none, and a test should find that before an installation does.
    #[test]
    fn every_package_is_pinned_to_files_whose_hashes_are_known() {
        for packages in [EMULATOR, FAULTS, SECOND_EMULATOR, ACCESSIBILITY, CONTENDERS] {
            let lines = packages.requirements.replace(" \\\n", " ");
            let requirements = lines.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
            let requirements: Vec<&str> = requirements.collect();
            assert!(!requirements.is_empty(), "{}", packages.name);
            for requirement in requirements {
                let is_pinned = requirement.contains("==") && requirement.contains("--hash=sha256:");
                assert!(is_pinned, "{}: {requirement}", packages.name);
            }
        }
    }

    #[tokio::test]
    async fn an_environment_whose_python_finds_no_packages_is_not_usable() {
        let directory = workspace::testbed_dir().join(format!("venv-of-a-test-{}", std::process::id()));
        let environment = Environment { packages: EMULATOR, directory };
        let python = find_python(&CANDIDATES).await.unwrap();
        let made =
            Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&environment.directory).status();
        assert!(made.await.unwrap().success());
        fs::write(environment.complete_marker(), EMULATOR.requirements).unwrap();

        let is_usable = environment.is_usable().await;

        fs::remove_dir_all(&environment.directory).unwrap();
        assert!(!is_usable);
    }
}
