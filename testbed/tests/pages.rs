//! Whether the browser finds what may be wrong with a page, and ends with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::Path;

use keynudge_testbed::browser::{self, Chart, Look, Page, Screen};

/// A page that nothing is wrong with.
const GOOD: &str = "<h1>Keys</h1><p>Ten of them</p>";

fn open(test: &str, body: &str) -> Page {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page {test}#1.html"));
    let head = "<!doctype html><html lang=en><title>Keys</title>\
                <meta charset=utf-8><meta name=viewport content='width=device-width'>\
                <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">";
    fs::write(&file, format!("{head}<body><main>{body}</main></body>")).unwrap();
    Page::open(&file).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn there_is_nothing_to_say_about_a_good_page() {
    let mut page = open("good", GOOD);
    for (screen, look) in
        [(Screen::Desk, Look::Dark), (Screen::Phone, Look::Light), (Screen::Phone, Look::Print)]
    {
        page.show(screen, look).unwrap();
        assert_eq!(page.faults().unwrap(), [""; 0]);
    }
    assert_eq!(page.complaints().unwrap(), [""; 0]);
}

/// On a phone each of these pages has one fault of its own.
#[test]
fn every_kind_of_fault_is_found() {
    let wide = "<h1>Keys</h1><div style='width: 600px; height: 9px'></div>";
    let narrow_box = "<h1>Keys</h1><p style='width: 60px'>AKIAIOSFODNN7EXAMPLE</p>";
    let broken = "<h1>Keys</h1><p style='width: 60px; overflow-wrap: anywhere'>AKIAIOSFODNN7EXAMPLE</p>";
    let cut = "<h1>Keys</h1><p style='height: 30px; overflow: hidden'>Ten<br>of<br>them</p>";
    let over = "<h1>Keys</h1><svg role=img aria-label=keys width=90 height=40><text y=20>one</text><text y=22>two</text></svg>";
    let faint = "<h1>Keys</h1><p style='color: #aaa'>Ten of them</p>";
    let faint_in_the_dark =
        "<meta name=color-scheme content='light dark'><h1>Keys</h1><p style='color: #333'>Ten</p>";
    let faint_shape = "<h1>Keys</h1><svg role=img aria-label=keys width=90 height=40><rect width=9 height=9 fill='#bbb' /></svg>";
    let nameless = "<h1>Keys</h1><button></button>";
    let heading = "<h1>Keys</h1><h3>Old ones</h3>";
    let table = "<h1>Keys</h1><table><tr><td>AKIA</td></tr></table>";
    let link = "<h1>Keys</h1><a href='#old'>old ones</a>";
    let cases = [
        (wide, &["scrolls sideways"][..]),
        (narrow_box, &["sticks out of p sideways"]),
        (broken, &["a word is broken in p"]),
        (cut, &["cut off at the height of p"]),
        (over, &["lies over text in svg"]),
        (faint, &["hard to see", "(axe: color-contrast)"]),
        // axe-core takes a page without a background for white.
        (faint_in_the_dark, &["hard to see"]),
        (faint_shape, &["a shape is hard to see"]),
        (nameless, &["(axe: button-name)"]),
        (heading, &["skips a level", "(axe: heading-order)"]),
        (table, &["without a caption"]),
        (link, &["link to nowhere"]),
    ];
    for (body, expected) in cases {
        let mut page = open("faulty", body);
        page.show(Screen::Phone, if body == faint_in_the_dark { Look::Dark } else { Look::Light }).unwrap();
        let faults = page.faults().unwrap();
        let is_one = |found: &str, fault: &str| found.contains(fault);
        assert!(faults.iter().all(|found| expected.iter().any(|fault| is_one(found, fault))), "{faults:?}");
        assert!(expected.iter().all(|fault| faults.iter().any(|found| is_one(found, fault))), "{faults:?}");
    }
}

#[test]
fn what_a_page_wants_from_elsewhere_is_heard_of() {
    let image = "<img src='https://evil.test/pixel.png'>";
    let script = "<script>document.title = 'run'</script>";
    for body in [image, script] {
        let complaints = open("greedy", body).complaints().unwrap();
        assert!(
            complaints.iter().any(|complaint| complaint.contains("Content Security Policy")),
            "{complaints:?}"
        );
    }
}

#[test]
fn what_a_page_loads_is_heard_of() {
    let test = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page without a policy.html");
    fs::write(&test, "<!doctype html><img src='other.png'><script>nobody.knows()</script>").unwrap();
    let complaints = Page::open(&test).unwrap().complaints().unwrap();
    for expected in ["it loads file://", "nobody is not defined"] {
        assert!(
            complaints.iter().any(|complaint| complaint.contains(expected)),
            "{expected}: {complaints:?}"
        );
    }
}

#[test]
fn a_chart_without_bars_is_a_chart_of_nothing() {
    assert_eq!(open("no-chart", GOOD).chart().unwrap(), Chart { said: 0, drawn: 0 });
}

#[test]
fn sheets_of_paper_are_counted() {
    let sheet = "<p style='break-after: page'>Keys</p>";
    for count in [1, 3, 40] {
        let pdf = open("sheets", &sheet.repeat(count)).print().unwrap();
        assert!(pdf.starts_with(b"%PDF"));
        assert_eq!(browser::sheets(&pdf), count);
    }
}
