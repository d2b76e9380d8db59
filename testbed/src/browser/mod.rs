//! A real browser for tests of pages: headless Chromium, which opens a file, and tells what is wrong with what it shows.

mod devtools;

use std::path::{Path, PathBuf};
use std::{fs, thread};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::devtools::DevTools;
use crate::venv::{self, ACCESSIBILITY};
use crate::{Error, Result};

const FAULTS: &str = include_str!("faults.js");
const AXE: &str = include_str!("axe.js");
const CHART: &str = include_str!("chart.js");

/// Kept when the frame after the next one begins: what is folded or unfolded counts as such from a frame on.
const PAINTED: &str =
    "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(null))))";

/// A4, in inches.
const PAPER: [f64; 2] = [8.27, 11.69];

/// What a page is looked at on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A window on a desk.
    Desk,
    /// A phone, held upright.
    Phone,
}

impl Screen {
    fn metrics(self) -> Value {
        match self {
            Self::Desk => json!({ "width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
            Self::Phone => json!({ "width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true }),
        }
    }
}

/// How a page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// To whoever prefers light pages.
    Light,
    /// To whoever prefers dark ones.
    Dark,
    /// As it is printed.
    Print,
}

/// All that a page for people is looked at on: wide and narrow, by day and in the dark, and on paper.
pub const LOOKS: [(Screen, Look); 5] = [
    (Screen::Desk, Look::Light),
    (Screen::Desk, Look::Dark),
    (Screen::Phone, Look::Light),
    (Screen::Phone, Look::Dark),
    (Screen::Desk, Look::Print),
];

/// The chart that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Chart {
    /// How many keys its bars say they are.
    pub said: u32,
    /// How many keys its bars are as high as.
    pub drawn: u32,
}

/// An open page. Dropping it ends the browser.
#[derive(Debug)]
pub struct Page {
    devtools: DevTools,
    url: String,
    has_axe: bool,
}

impl Page {
    /// Starts a browser and opens this file in it, on a desk.
    ///
    /// # Errors
    ///
    /// [`Error::NoBrowser`] where there is none, [`Error::Browser`] if it fails.
    pub fn open(file: &Path) -> Result<Self> {
        let mut devtools = DevTools::start()?;
        for domain in ["Page", "Runtime", "Log", "Network"] {
            devtools.call(&format!("{domain}.enable"), &json!({}))?;
        }
        let mut page = Self { devtools, url: String::new(), has_axe: false };
        page.show(Screen::Desk, Look::Light)?;
        page.turn_to(file)?;
        Ok(page)
    }

    /// Opens another file in the same browser.
    pub fn turn_to(&mut self, file: &Path) -> Result<()> {
        let file = fs::canonicalize(file).map_err(Error::file("opening", file))?;
        (self.url, self.has_axe) = (url(&file), false);
        self.load()
    }

    /// Waits until all of it is there. The empty page that a tab begins with says that it is, too.
    fn load(&mut self) -> Result<()> {
        self.devtools.call("Page.setLifecycleEventsEnabled", &json!({ "enabled": true }))?;
        let started = self.devtools.call("Page.navigate", &json!({ "url": self.url }))?;
        if let Some(error) = started["errorText"].as_str() {
            return Err(self.devtools.failed(format!("cannot open {}: {error}", self.url)));
        }
        let is_ours = |event: &Value| event["name"] == "load" && event["loaderId"] == started["loaderId"];
        self.devtools.wait_for("Page.lifecycleEvent", is_ours)
    }

    /// Shows it there, in this way.
    pub fn show(&mut self, screen: Screen, look: Look) -> Result<()> {
        // Without a medium, the screen has its own, and so has paper.
        let (media, scheme) = match look {
            Look::Light => ("", "light"),
            Look::Dark => ("", "dark"),
            Look::Print => ("print", "light"),
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools.call("Emulation.setDeviceMetricsOverride", &screen.metrics())?;
        self.devtools.call("Emulation.setEmulatedMedia", &json!({ "media": media, "features": features }))?;
        Ok(())
    }

    /// The faults of the page as it is shown now, a sentence each: the page scrolls sideways; text is cut
    /// off, sticks out of its box, overlaps other text or has too little contrast; parts lack what a screen
    /// reader reads out. axe-core's [`violations`](Self::violations) follow.
    pub fn faults(&mut self) -> Result<Vec<String>> {
        let mut faults: Vec<String> = self.evaluate(FAULTS)?;
        faults.extend(self.violations()?);
        Ok(faults)
    }

    /// The violations of WCAG and of good practice that axe-core finds in the page as it is shown now.
    pub fn violations(&mut self) -> Result<Vec<String>> {
        if !self.has_axe {
            let file = axe_core()?;
            let axe_core = fs::read_to_string(&file).map_err(Error::file("reading", &file))?;
            self.value(&format!("{axe_core}; null"))?;
            self.has_axe = true;
        }
        self.evaluate(AXE)
    }

    /// What went wrong since it was opened: what it wanted from elsewhere, what its policy forbade, and errors.
    pub fn complaints(&mut self) -> Result<Vec<String>> {
        // Everything that is under way arrives before the answer to this.
        self.evaluate::<Value>("null")?;
        let logged = self.devtools.events("Log.entryAdded").filter_map(|event| text(&event["entry"]["text"]));
        let thrown = self
            .devtools
            .events("Runtime.exceptionThrown")
            .map(|event| event["exceptionDetails"].to_string());
        let requests = self.devtools.events("Network.requestWillBeSent");
        let requests = requests.filter_map(|event| text(&event["request"]["url"]));
        let loaded = requests.filter(|url| *url != self.url && !url.starts_with("data:"));
        let loaded = loaded.map(|url| format!("it loads {url}"));
        Ok(logged.chain(thrown).chain(loaded).collect())
    }

    /// The chart that can be seen, in numbers of keys.
    pub fn chart(&mut self) -> Result<Chart> {
        self.evaluate(CHART)
    }

    /// The value of an expression of `JavaScript`, once the page shows what it was last asked to show.
    pub fn evaluate<T: DeserializeOwned>(&mut self, expression: &str) -> Result<T> {
        self.value(PAINTED)?;
        let value = serde_json::from_value(self.value(expression)?);
        value.map_err(|error| self.devtools.failed(format!("said something else to {expression}: {error}")))
    }

    fn value(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.devtools.call("Runtime.evaluate", &parameters)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(self.devtools.failed(format!("could not evaluate {expression}: {thrown}"))),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// A picture of what can be seen without scrolling, as PNG.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        self.file("Page.captureScreenshot", &json!({ "format": "png" }))
    }

    /// A picture of all of it, however long it is, as PNG.
    pub fn whole_picture(&mut self) -> Result<Vec<u8>> {
        let metrics = self.devtools.call("Page.getLayoutMetrics", &json!({}))?;
        let mut clip = metrics["cssContentSize"].clone();
        clip["scale"] = json!(1);
        let all = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        self.file("Page.captureScreenshot", &all)
    }

    /// The page on sheets of A4, as PDF.
    pub fn print(&mut self) -> Result<Vec<u8>> {
        let [width, height] = PAPER;
        let sheet = json!({ "paperWidth": width, "paperHeight": height, "preferCSSPageSize": true });
        self.file("Page.printToPDF", &sheet)
    }

    fn file(&mut self, method: &str, parameters: &Value) -> Result<Vec<u8>> {
        let answer = self.devtools.call(method, parameters)?;
        let content = answer["data"].as_str().and_then(|data| BASE64_STANDARD.decode(data).ok());
        content.ok_or_else(|| self.devtools.failed(format!("sent no file ({method})")))
    }
}

/// The path of `axe.min.js`.
fn axe_core() -> Result<PathBuf> {
    let find =
        async || venv::module_file(ACCESSIBILITY, "axe_playwright_python", "axe.min.js", &|_| ()).await;
    // On another thread: a caller inside a runtime cannot block on a second one.
    let found = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(find()))
    });
    found
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .map_err(Error::file("starting a runtime for", Path::new("axe-core")))?
}

/// The number of sheets in a PDF that Chromium printed, by the count at the root of its page tree.
#[must_use]
pub fn sheets(pdf: &[u8]) -> usize {
    let pdf = String::from_utf8_lossy(pdf);
    let counts = pdf.split("/Count ").skip(1).filter_map(|rest| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    });
    counts.max().unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Tests' files have ordinary names; a path with a `#` or a `?` in it would be another page.
fn url(file: &Path) -> String {
    let path = file.to_string_lossy().replace('%', "%25").replace('#', "%23").replace('?', "%3F");
    format!("file://{}", path.replace(' ', "%20"))
}
