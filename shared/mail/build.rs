//! Compiles the reminder's MJML to HTML, so that the function carries neither MJML nor its compiler.
//!
//! Jinja's tags are text to MJML and come out as they went in. Both languages are checked here: a broken template
//! is a failed build that says where, never a failed cold start.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use mrml::prelude::parser::{Error as MjmlError, ParserOptions};
use mrml::prelude::render::RenderOptions;

fn main() {
    if let Err(problem) = build() {
        println!("cargo::error={problem}");
        process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let templates = variable("CARGO_MANIFEST_DIR")?.join("templates");
    for name in ["reminder.subject.txt", "reminder.body.txt"] {
        read_checked(&templates.join(name))?;
    }
    let path = templates.join("reminder.body.mjml");
    let html = to_html(&read_checked(&path)?).map_err(|problem| format!("{}: {problem}", path.display()))?;
    check(&path, &html)?;
    let target = variable("OUT_DIR")?.join("reminder.body.html");
    fs::write(&target, html).map_err(|error| format!("{}: {error}", target.display()))
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {name}"))
}

/// The template's source, once Jinja has found no fault with it.
fn read_checked(path: &Path) -> Result<String, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    let source = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    check(path, &source)?;
    Ok(source)
}

/// Whether Jinja finds a fault with the template.
fn check(path: &Path, source: &str) -> Result<(), String> {
    minijinja::Environment::new()
        .template_from_named_str(&path.display().to_string(), source)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn to_html(mjml: &str) -> Result<String, String> {
    let parsed =
        mrml::parse_with_options(mjml, &ParserOptions::default()).map_err(|error| describe(mjml, &error))?;
    if let Some(warning) = parsed.warnings.first() {
        return Err(format!("line {}: {}", line_of(mjml, warning.span.start), warning.kind));
    }
    // No font is fetched from anywhere: by default MJML imports those it knows from Google.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|error| error.to_string())?;
    // An element that MJML does not know comes out as it went in.
    match html.split_once("<mj-") {
        Some((_, unknown)) => {
            Err(format!("unknown element mj-{}", unknown.split([' ', '>', '/']).next().unwrap_or("")))
        }
        None => Ok(html),
    }
}

/// The parser counts bytes; people count lines.
fn describe(mjml: &str, error: &MjmlError) -> String {
    let (what, at) = match error {
        MjmlError::UnexpectedElement { position, .. } => ("unexpected element", position.start),
        MjmlError::UnexpectedToken { position, .. } => ("unexpected token", position.start),
        MjmlError::InvalidAttribute { position, .. } => ("invalid attribute", position.start),
        MjmlError::InvalidFormat { position, .. } => ("invalid format", position.start),
        MjmlError::ParserError { source, .. } => return source.to_string(),
        other => return other.to_string(),
    };
    format!("line {}: {what}", line_of(mjml, at))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}
