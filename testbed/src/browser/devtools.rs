//! Chromium as a child process, and its developer tools' protocol, over a pipe.
//!
//! A crate for the protocol would hold all of its 600 types, and take as long to build as the rest of the testbed; the pages
//! need ten calls. The pipe needs no port, and it is what ties the browser to us: Chromium ends when it is closed, which
//! the kernel does if we are killed.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::run_directory::RunDirectory;
use crate::{Error, Result};

/// What it may be called.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Names another.
const VARIABLE: &str = "CHROMIUM";

/// The pipe is at descriptors 3 and 4 of the browser. The shell puts it there, and then is the browser.
const SHELL: [&str; 2] = ["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#];

const FLAGS: [&str; 14] = [
    "--headless",
    "--remote-debugging-pipe",
    // Its sandbox wants rights that root in a container does not have; what it opens here are our own pages.
    "--no-sandbox",
    "--disable-gpu",
    // Containers often have 64 MB of shared memory, which is too little.
    "--disable-dev-shm-usage",
    // Nothing but the page: no greeting, no reports, no updates.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    // Pictures show the page, and not the system's taste in scroll bars.
    "--hide-scrollbars",
    "about:blank",
];

/// The browser takes a second to start and milliseconds to answer. A busy machine has its time.
const PATIENCE: Duration = Duration::from_mins(2);
/// It leaves in a fifth of a second.
const FAREWELL: Duration = Duration::from_secs(20);

/// A running browser with one empty tab. Dropping it ends it.
#[derive(Debug)]
pub(super) struct DevTools {
    browser: Child,
    /// Taken when it is to end.
    commands: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: u64,
    tab: Option<String>,
    /// What the tab said by itself, oldest first.
    events: Vec<Value>,
    /// Also the user's profile; gone with the browser.
    run: RunDirectory,
}

impl DevTools {
    /// Starts it.
    pub(super) fn start() -> Result<Self> {
        static BROWSERS: AtomicU32 = AtomicU32::new(1);
        let name = format!("browser-{}", BROWSERS.fetch_add(1, Ordering::Relaxed));
        let run = RunDirectory::create(&name)?;
        let log = run.create_log()?;
        let program = find()?;
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(run.temporary());
        let mut browser = Command::new("sh")
            .args(SHELL)
            .arg(&program)
            .args([profile])
            .args(FLAGS)
            // Settings and caches of the user's are not ours to read, or to write.
            .env("HOME", run.temporary())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A group of its own: Ctrl-C is for us, and closing the pipe then ends the browser.
            .process_group(0)
            .spawn()
            .map_err(Error::file("starting", &program))?;
        let messages = browser.stdout.take().map(read);
        let mut devtools = Self {
            commands: browser.stdin.take(),
            browser,
            messages: messages.unwrap_or_else(|| mpsc::channel().1),
            last_id: 0,
            tab: None,
            events: Vec::new(),
            run,
        };
        devtools.open_tab()?;
        Ok(devtools)
    }

    fn open_tab(&mut self) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", &attach)?;
        self.tab = session["sessionId"].as_str().map(str::to_owned);
        Ok(())
    }

    /// Has the tab (before there is one, the browser) do something, and gives its answer.
    pub(super) fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(tab) = &self.tab {
            command["sessionId"] = json!(tab);
        }
        let sent = self.commands.as_mut().map(|commands| {
            let sent = write!(commands, "{command}\0");
            sent.and_then(|()| commands.flush())
        });
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.failed(format!("does not listen to {method}")));
        }
        loop {
            let message = self.next(method)?;
            if message["id"] != self.last_id {
                self.events.push(message);
            } else if message["error"].is_null() {
                return Ok(message["result"].clone());
            } else {
                return Err(self.failed(format!("refused {method}: {}", message["error"]["message"])));
            }
        }
    }

    /// Waits until the tab says, by itself, something of this kind that is what is awaited.
    pub(super) fn wait_for(&mut self, event: &str, is_awaited: impl Fn(&Value) -> bool) -> Result<()> {
        while !self.events(event).any(&is_awaited) {
            let message = self.next(event)?;
            self.events.push(message);
        }
        Ok(())
    }

    /// What it said of this kind so far.
    pub(super) fn events<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |message| message["method"] == event).map(|message| &message["params"])
    }

    fn next(&mut self, awaited: &str) -> Result<Value> {
        let message = self.messages.recv_timeout(PATIENCE);
        message.map_err(|_| self.failed(format!("ended, or did not answer in time ({awaited})")))
    }

    /// That the browser did this, with the end of what it printed.
    pub(super) fn failed(&self, what: String) -> Error {
        Error::Browser { what, log: self.run.log(), tail: self.run.log_tail() }
    }
}

impl Drop for DevTools {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Its end of the pipe closes when it is gone.
        let gone = loop {
            match self.messages.recv_timeout(FAREWELL) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break true,
                Err(mpsc::RecvTimeoutError::Timeout) => break false,
            }
        };
        if !gone {
            // If it cannot be killed, it is gone already.
            let _ = self.browser.kill();
        }
        let _ = self.browser.wait();
    }
}

/// Reads messages, each of which ends with a zero byte, until the other end is closed.
fn read(pipe: ChildStdout) -> Receiver<Value> {
    let (sender, messages) = mpsc::channel();
    thread::spawn(move || {
        let pieces = BufReader::new(pipe).split(0).map_while(std::result::Result::ok);
        for message in pieces.filter_map(|piece| serde_json::from_slice(&piece).ok()) {
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    messages
}

fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(no_browser(&format!("${VARIABLE}"))) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    let candidates =
        NAMES.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.into_iter().find(|program| program.is_file()).ok_or_else(|| no_browser(&NAMES.join(", ")))
}

fn no_browser(tried: &str) -> Error {
    Error::NoBrowser { tried: tried.to_owned(), variable: VARIABLE }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    /// Processes that name this profile on their command line.
    fn processes_of(profile: &Path) -> usize {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let command_lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let profile = profile.to_string_lossy();
        command_lines.filter(|line| String::from_utf8_lossy(line).contains(&*profile)).count()
    }

    #[test]
    fn nothing_is_left_of_a_browser() {
        let devtools = DevTools::start().unwrap_or_else(|error| panic!("{error}"));
        let profile = devtools.run.temporary();
        assert!(processes_of(&profile) > 0);
        drop(devtools);
        // Its helpers go when they notice that it is gone.
        let deadline = Instant::now() + PATIENCE;
        while processes_of(&profile) > 0 {
            assert!(Instant::now() < deadline, "left behind");
            thread::yield_now();
        }
    }

    #[test]
    fn a_command_that_it_does_not_know_is_an_error_that_names_it() {
        let mut devtools = DevTools::start().unwrap_or_else(|error| panic!("{error}"));
        let error = devtools.call("Page.bake", &json!({})).unwrap_err().to_string();
        assert!(error.starts_with("the browser refused Page.bake: "), "{error}");
    }
}
