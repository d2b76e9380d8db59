//! Web pages cannot use what the testbed starts: a page that could would run code as the developer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keynudge_testbed::aws::http_client;
use keynudge_testbed::browser::Page;
use keynudge_testbed::emulator::Emulator;
use keynudge_testbed::faults::{Endpoints, FaultPlan, FaultProxies};
use keynudge_testbed::second_emulator::Moto;
use keynudge_testbed::web_pages;
use serde_json::{Value, json};

use crate::support::shared;

const FUNCTIONS: &str = "/2015-03-31/functions";
/// Far more than it takes a function to start.
const DEADLINE: Duration = Duration::from_mins(1);

/// A function that says that it ran: its code makes this file.
struct Attack {
    function: String,
    marker: PathBuf,
}

impl Attack {
    fn new(name: &str) -> Self {
        let marker = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-ran"));
        let _ = std::fs::remove_file(&marker);
        let script = format!("#!/bin/sh\ntouch '{}'\n", marker.display());
        let code = BASE64_STANDARD.encode(zip_of_bootstrap(script.as_bytes()));
        let function = json!({
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Code": { "ZipFile": code },
            "Timeout": 5,
        });
        Self { function: function.to_string(), marker }
    }

    fn invocation(&self) -> String {
        let function: Value = serde_json::from_str(&self.function).unwrap();
        format!("{FUNCTIONS}/{}/invocations", function["FunctionName"].as_str().unwrap())
    }

    fn has_run(&self) -> bool {
        self.marker.exists()
    }
}

/// A zip with one program, stored as it is.
fn zip_of_bootstrap(content: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"bootstrap";
    let crc = !content.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    });
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let name_size = u16::try_from(NAME.len()).unwrap().to_le_bytes();
    // Version, flags, method, time and date; then sum, sizes and the length of the name; no extra field.
    let common =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc.to_le_bytes(), &size, &size, &name_size, &[0; 2]]
            .concat();
    let local = [&b"PK\x03\x04"[..], &common, NAME, content].concat();
    // Made on Unix; a file that everybody may run.
    let mode = (0o100_755_u32 << 16).to_le_bytes();
    let entry = [&b"PK\x01\x02\x14\x03"[..], &common, &[0; 6], &mode, &[0; 4], NAME].concat();
    let [entry_size, entry_at] =
        [entry.len(), local.len()].map(|it| u32::try_from(it).unwrap().to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &entry_size, &entry_at, &[0; 2]].concat();
    [local, entry, end].concat()
}

/// Two requests as a page makes them without asking first (no preflight).
async fn post(url: String, body: String, origin: Option<&str>) -> u16 {
    let request = http_client().post(url).header("content-type", "text/plain").body(body);
    let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
    request.send().await.unwrap().status().as_u16()
}

async fn attack(emulator: &Emulator, attack: &Attack, origin: Option<&str>) -> [u16; 2] {
    let create = post(format!("{}{FUNCTIONS}", emulator.endpoint()), attack.function.clone(), origin).await;
    let invocation = format!("{}{}", emulator.endpoint(), attack.invocation());
    [create, post(invocation, "{}".to_owned(), origin).await]
}

#[tokio::test]
async fn a_web_page_runs_no_code_on_the_emulator_and_a_tool_does() {
    let emulator = &shared().await.emulator;
    for origin in ["https://evil.test", "null"] {
        let of_page = Attack::new("page");
        assert_eq!(attack(emulator, &of_page, Some(origin)).await, [403, 403], "{origin}");
        assert!(!of_page.has_run(), "{origin}");
    }
    // The same requests without an origin: what is tried above does run code.
    let of_tool = Attack::new("tool");
    assert_eq!(attack(emulator, &of_tool, None).await, [201, 200]);
    assert!(of_tool.has_run());
}

#[tokio::test]
async fn a_page_in_a_real_browser_runs_no_code_either() {
    let emulator = &shared().await.emulator;
    let attack = Attack::new("browser");
    let (endpoint, invocation) = (emulator.endpoint(), attack.invocation());
    let function = attack.function.clone();
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evil.html");
    std::fs::write(&page, "<!doctype html><title>Evil</title><p>Evil</p>").unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let mut page = Page::open(&page).unwrap_or_else(|error| panic!("{error}"));
        let ask = |path: &str, body: &str| {
            let body = serde_json::to_string(body).unwrap();
            format!("await fetch('{endpoint}{path}', {{ method: 'POST', mode: 'no-cors', body: {body} }})")
        };
        let (create, invoke) = (ask(FUNCTIONS, &function), ask(&invocation, "{}"));
        let script = format!("(async () => {{ {create}; {invoke}; return 'asked' }})()");
        page.evaluate::<String>(&script).unwrap_or_else(|error| panic!("{error}"))
    });
    assert_eq!(
        tokio::time::timeout(DEADLINE, asked).await.unwrap().unwrap(),
        "asked",
        "the requests got there"
    );
    assert!(!attack.has_run());
}

/// Images are asked for without an origin, and a name may lead here that is not this machine's.
#[tokio::test]
async fn every_server_of_the_testbed_refuses_web_pages() {
    let shared = shared().await;
    let proxies = FaultProxies::start(&FaultPlan { seed: 1, share: 0.0, faults: Vec::new() }, &|_| ()).await;
    let proxies = proxies.unwrap_or_else(|error| panic!("{error}"));
    let endpoint = shared.emulator.endpoint();
    let upstream =
        Endpoints { aws: endpoint.clone(), iam: shared.iam.endpoint(), ses: shared.ses.endpoint() };
    proxies.pass_on_to(&upstream).await.unwrap();
    let moto = Moto::start(&|_| ()).await.unwrap_or_else(|error| panic!("{error}"));
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = format!("http://{}", other.local_addr().unwrap());
    let router = web_pages::refused(axum::Router::new().route("/", axum::routing::get(async || "made")));
    tokio::spawn(async move { axum::serve(other, router).await });
    let Endpoints { aws, iam, ses } = proxies.endpoints().clone();
    for server in
        [endpoint, shared.iam.endpoint(), shared.ses.endpoint(), aws, iam, ses, moto.endpoint(), control]
    {
        for (name, value) in
            [("origin", "https://evil.test"), ("sec-fetch-site", "cross-site"), ("host", "evil.test")]
        {
            let answer = http_client().get(format!("{server}/?Action=ListUsers")).header(name, value).send();
            assert_eq!(answer.await.unwrap().status(), 403, "{server}: {name}");
        }
        let answer = http_client().get(format!("{server}/?Action=ListUsers")).send().await.unwrap();
        assert_ne!(answer.status(), 403, "{server}");
    }
}
