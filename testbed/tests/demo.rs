//! `cargo demo` as its user sees it: output, exit codes, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use keynudge_testbed::browser::{self, LOOKS, Page};
use keynudge_testbed::processes::{self, Process};
use serde_json::Value;

const KEYS: [&str; 12] = [
    "users",
    "checked",
    "stale_owners",
    "mails",
    "without_contact",
    "exempt",
    "dead_letters",
    "duplicates",
    "wall_s",
    "accounts",
    "accounts_denied",
    "wall_ordinary_s",
];

#[test]
fn a_busy_port_is_an_error_before_anything_is_made() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = demo(&["--port", &port]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_run_ends_with_its_figures_as_json_and_as_a_page() {
    let page = page("run");
    let output = small_demo(&page).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(page.to_str().unwrap()), "{printed}");
    let json = printed.lines().last().unwrap();
    let keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
    assert_eq!(keys, KEYS, "{json}");
    let figures: Value = serde_json::from_str(json).unwrap();
    assert_eq!(figures["users"], 60);
    assert_eq!(figures["dead_letters"], 0);
    let mails = figures["mails"].as_u64().unwrap();
    assert!(mails > 0, "{json}");

    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains(&format!("<h1>{mails} mails to the owners of old keys</h1>")));
    assert!(html.contains(&format!("lists {} users", figures["users"])));
    assert!(html.contains("verdict right"));
    assert_nothing_is_wrong_with(&page);
}

/// Wide, narrow, in the dark and on paper. The mails in its frames have tests of their own.
fn assert_nothing_is_wrong_with(file: &Path) {
    let mut page = Page::open(file).unwrap_or_else(|error| panic!("{error}"));
    for (screen, look) in LOOKS {
        page.show(screen, look).unwrap();
        assert_eq!(page.faults().unwrap(), [""; 0], "{screen:?}, {look:?}");
        let chart = page.chart().unwrap();
        assert!(chart.said > 60 && chart.said == chart.drawn, "{screen:?}, {look:?}: {chart:?}");
    }
    let frames: u32 = page.evaluate("document.querySelectorAll('iframe[srcdoc]').length").unwrap();
    assert!(frames > 0);
    assert_eq!(page.complaints().unwrap(), [""; 0]);
    // All of the mails are on paper, though only one is unfolded on the screen.
    let sheets = browser::sheets(&page.print().unwrap());
    assert!(sheets >= frames as usize, "{sheets} sheets, {frames} mails");
}

/// Its exit code is still what came of the run, not that of an interrupted program.
#[test]
fn what_is_kept_ends_with_an_interrupt() {
    let mut demo = Running::start(small_demo(&page("kept")).arg("--keep"));
    demo.wait_for("The emulator is at ");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), Some(0));
    demo.assert_nothing_is_left();
}

#[test]
fn an_interrupted_run_leaves_no_process_behind() {
    let mut demo = Running::start(&mut small_demo(&page("interrupted")));
    demo.wait_for("waiting for the schedule");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), Some(130));
    demo.assert_nothing_is_left();
}

#[test]
fn a_terminated_run_leaves_no_process_behind() {
    let mut demo = Running::start(&mut small_demo(&page("terminated")));
    demo.wait_for("waiting for the schedule");
    demo.signal("TERM");
    assert_eq!(demo.exit_code(), Some(143));
    demo.assert_nothing_is_left();
}

fn demo(arguments: &[&str]) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.args(arguments).stdin(Stdio::null());
    demo
}

/// With the functions as these tests' own build has them.
fn small_demo(page: &Path) -> Command {
    let mut demo = demo(&["--profile", "dev", "--users", "60", "--page"]);
    demo.arg(page);
    demo
}

fn page(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{test}.html"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A demo at work. It does not outlive its test.
struct Running {
    process: Child,
    lines: Box<dyn Iterator<Item = String>>,
    endpoint: String,
}

impl Running {
    fn start(demo: &mut Command) -> Self {
        let port = free_port();
        let demo = demo.args(["--port", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = demo.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let endpoint = format!("{}:{port}", Ipv4Addr::LOCALHOST);
        Self { process, lines: Box::new(lines.map_while(Result::ok)), endpoint }
    }

    /// Ends without a deadline of its own: the demo has one for each of its steps.
    fn wait_for(&mut self, beginning: &str) {
        let mut said = Vec::new();
        let found = self
            .lines
            .by_ref()
            .inspect(|line| said.push(line.clone()))
            .any(|line| line.starts_with(beginning));
        assert!(found, "it never said {beginning:?}:\n{}", said.join("\n"));
        assert!(TcpStream::connect(&self.endpoint).is_ok());
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn processes(&self) -> Vec<Process> {
        processes::using(&format!("http://{}", self.endpoint))
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// What was killed may take a moment to be gone.
    fn assert_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_mins(3);
        let is_left = || TcpStream::connect(&self.endpoint).is_ok() || !self.processes().is_empty();
        while is_left() {
            assert!(Instant::now() < deadline, "left behind: {:?}", self.processes());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
