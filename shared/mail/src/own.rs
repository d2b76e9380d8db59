//! An organization's own templates: files of a directory, each in the place of a built-in one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keynudge_core::mail::{Mail, MailTemplates, Part, Reminder, TemplateError, TemplateSources};

use crate::built_in::{built_in, source};
use crate::made_up::trials;

/// The file that holds a part.
#[must_use]
pub fn file_name(part: Part) -> &'static str {
    match part {
        Part::Subject => "reminder.subject.txt",
        Part::Text => "reminder.body.txt",
        Part::Html => "reminder.body.html",
    }
}

/// A template is words and a little of Jinja. Ten times the built-in HTML, which is the largest.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// How long own templates are read and tried out, which takes milliseconds. A function has ten seconds to start in, and what
/// one expression of a template does is not counted by the template engine.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something is wrong with an organization's templates. It tells the place, and quotes no mail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, or the directory as a whole.
    pub path: PathBuf,
    /// The line, from 1 on.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// As compilers write it: `keynudge/reminder.body.txt:12: undefined value`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The templates that mails are written with: an organization's own, where there are any, and the built-in ones for what
/// they cannot do.
#[derive(Debug)]
pub struct Templates {
    wanted: Wanted,
    built_in: MailTemplates,
}

#[derive(Debug)]
enum Wanted {
    BuiltIn,
    Own(Box<Own>),
    /// Own ones are there, or should be, and cannot be used.
    Unusable,
}

#[derive(Debug)]
struct Own {
    templates: MailTemplates,
    directory: PathBuf,
    parts: Vec<Part>,
}

/// A mail, and whether it is in the words it should be in.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The mail.
    pub mail: Mail,
    /// Whether the built-in templates had to write it in the place of an organization's own.
    pub is_fallback: bool,
    /// What was wrong with the own ones, if it shows only in this mail. It quotes nothing of it.
    pub problem: Option<Problem>,
}

impl Templates {
    /// The built-in ones.
    #[must_use]
    pub fn built_in() -> Self {
        Self { wanted: Wanted::BuiltIn, built_in: built_in() }
    }

    /// Those of `directory`, where everything is right with them, and why not otherwise: then there are built-in ones to go
    /// on with. The files that are missing there are the built-in ones.
    #[must_use]
    pub fn of(directory: &Path) -> (Self, Vec<Problem>) {
        match Self::own(directory) {
            Ok(templates) => (templates, Vec::new()),
            Err(problems) => (Self { wanted: Wanted::Unusable, built_in: built_in() }, problems),
        }
    }

    /// Those of `directory`. All that is wrong with them is told, and not only the first. It comes to an end, whatever they are.
    pub fn own(directory: &Path) -> Result<Self, Vec<Problem>> {
        let path = directory.to_owned();
        within(PATIENCE, move || Self::tried_out(&path))
            .unwrap_or_else(|reason| Err(vec![Problem::with(directory, reason)]))
    }

    fn tried_out(directory: &Path) -> Result<Self, Vec<Problem>> {
        let sources = read(directory)?;
        let templates = compile(directory, &sources)?;
        try_out(directory, &templates)?;
        let parts = Part::ALL.into_iter().filter(|part| sources.contains_key(part)).collect();
        let wanted = Wanted::Own(Box::new(Own { templates, directory: directory.to_owned(), parts }));
        Ok(Self { wanted, built_in: built_in() })
    }

    /// The parts that are an organization's own.
    #[must_use]
    pub fn own_parts(&self) -> &[Part] {
        match &self.wanted {
            Wanted::Own(own) => &own.parts,
            Wanted::BuiltIn | Wanted::Unusable => &[],
        }
    }

    /// Writes the mail that tells of `reminder`. Fails only if the built-in templates do.
    pub fn render(&self, reminder: &Reminder) -> Result<Rendered, TemplateError> {
        let (is_fallback, problem) = match &self.wanted {
            Wanted::BuiltIn => (false, None),
            Wanted::Unusable => (true, None),
            Wanted::Own(own) => match own.templates.render(reminder) {
                Ok(mail) => return Ok(Rendered { mail, is_fallback: false, problem: None }),
                Err(error) => (true, Some(Problem::of(&own.directory, error))),
            },
        };
        Ok(Rendered { mail: self.built_in.render(reminder)?, is_fallback, problem })
    }
}

/// The names in `directory` that nobody reads; perhaps one of them was meant to be read. Hidden ones are nobody's mistake.
#[must_use]
pub fn unknown_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let known = Part::ALL.map(file_name);
    let mut unknown: Vec<String> =
        names.filter(|name| !name.starts_with('.') && !known.contains(&name.as_str())).collect();
    unknown.sort();
    unknown
}

/// What `work` comes to, or why nothing came of it. Nothing can stop work that takes too long: it goes on unheard.
fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, answer) = mpsc::channel();
    let thread = thread::Builder::new().name("templates".to_owned());
    // Nobody listens any more to what comes too late.
    let spawned = thread.spawn(move || drop(done.send(work())));
    spawned.map_err(|error| format!("the templates cannot be tried out: {error}"))?;
    answer.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            format!("trying the templates out takes longer than {} s", patience.as_secs())
        }
        RecvTimeoutError::Disconnected => "the templates cannot be tried out".to_owned(),
    })
}

/// Own sources by part.
type Sources = BTreeMap<Part, String>;

fn read(directory: &Path) -> Result<Sources, Vec<Problem>> {
    if let Err(error) = fs::read_dir(directory) {
        return Err(vec![Problem::with(directory, format!("the directory cannot be read: {error}"))]);
    }
    let mut sources = Sources::new();
    let mut problems = Vec::new();
    for part in Part::ALL {
        let path = directory.join(file_name(part));
        match read_file(&path) {
            Ok(Some(source)) => drop(sources.insert(part, source)),
            Ok(None) => {}
            Err(reason) => problems.push(Problem::with(&path, reason)),
        }
    }
    if problems.is_empty() && sources.is_empty() {
        let names = Part::ALL.map(file_name).join(", ");
        problems.push(Problem::with(directory, format!("none of these files is in it: {names}")));
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

/// The text of a file; `None` if it is not there.
fn read_file(path: &Path) -> Result<Option<String>, String> {
    match fs::metadata(path) {
        // Opening a pipe waits for somebody to write into it.
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {} KiB", FILE_BYTES_MAX / 1024));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("line {line} is not UTF-8")
    })?;
    // As some editors write files.
    Ok(Some(text.trim_start_matches('\u{feff}').replace("\r\n", "\n")))
}

/// Compiles own sources and the built-in ones beside them.
fn compile(directory: &Path, sources: &Sources) -> Result<MailTemplates, Vec<Problem>> {
    let of = |part| sources.get(&part).map_or_else(|| source(part), String::as_str);
    // One by one, so that a mistake in one part hides none in another.
    let alone = |part| {
        let [subject, text, html] = Part::ALL.map(|one| if one == part { of(one) } else { "" });
        MailTemplates::new(TemplateSources { subject, text, html }).err()
    };
    let problems: Vec<Problem> =
        Part::ALL.into_iter().filter_map(alone).map(|error| Problem::of(directory, error)).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let [subject, text, html] = Part::ALL.map(of);
    MailTemplates::new(TemplateSources { subject, text, html })
        .map_err(|error| vec![Problem::of(directory, error)])
}

/// Renders every kind of mail there is.
fn try_out(directory: &Path, templates: &MailTemplates) -> Result<(), Vec<Problem>> {
    // What is wrong at one place is told once, with the first mail that shows it.
    let mut problems = BTreeMap::new();
    for trial in trials() {
        for part in Part::ALL {
            if let Err(error) = templates.try_out(part, &trial.reminder) {
                problems.entry(Problem::of(directory, error)).or_insert_with(|| trial.about.clone());
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let told = |(problem, about): (Problem, String)| Problem {
        reason: format!("{} ({about})", problem.reason),
        ..problem
    };
    Err(problems.into_iter().map(told).collect())
}

impl Problem {
    fn with(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, reason: reason.into() }
    }

    fn of(directory: &Path, error: TemplateError) -> Self {
        Self { path: directory.join(file_name(error.part)), line: error.line, reason: error.reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::mail::ReminderSettings;
    use tempfile::TempDir;

    use crate::made_up::{full, made_up};

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    /// What is wrong with these files, without the directory's name.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let directory = directory(files);
        let (templates, problems) = Templates::of(directory.path());
        assert_eq!(problems.is_empty(), !templates.render(&reminder(&full())).unwrap().is_fallback);
        let prefix = format!("{}/", directory.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
    }

    fn reminder(settings: &ReminderSettings) -> Reminder {
        made_up("2026-03-01T06:00:00Z".parse().unwrap())[0].reminder(settings)
    }

    fn rendered(files: &[(&str, &str)]) -> Mail {
        let directory = directory(files);
        Templates::own(directory.path()).unwrap().render(&reminder(&full())).unwrap().mail
    }

    #[test]
    fn a_file_takes_the_place_of_its_part_and_of_no_other() {
        let usual = Templates::built_in().render(&reminder(&full())).unwrap().mail;
        let own = rendered(&[("reminder.subject.txt", "\u{feff}Schlüssel von {{ user_name }}\r\n")]);
        assert_eq!(own.subject, "Schlüssel von jane.doe");
        assert_eq!((own.text, own.html), (usual.text.clone(), usual.html.clone()));
        let own = rendered(&[
            ("reminder.body.txt", "a\r\n{{ user_name }}"),
            ("reminder.body.html", "<p>{{ organization_name or user_name }}"),
        ]);
        assert_eq!((own.subject, own.text), (usual.subject, "a\njane.doe\n".to_owned()));
        assert_eq!(own.html, "<p>Example &amp; Sons");
    }

    #[test]
    fn the_built_in_templates_are_fit_to_be_somebody_s_own() {
        let files = Part::ALL.map(|part| (file_name(part), source(part)));
        assert_eq!(problems(&files), [""; 0]);
        let usual = Templates::built_in().render(&reminder(&full())).unwrap();
        assert!(rendered(&files) == usual.mail && !usual.is_fallback);
    }

    /// As `docs/MAIL.md` says to do it.
    #[test]
    fn one_line_around_a_part_shortens_all_ids_of_keys_in_it() {
        let wrapped = |part| format!("{{% filter short_ids %}}\n{}\n{{% endfilter %}}\n", source(part));
        let [text, html] = [Part::Text, Part::Html].map(wrapped);
        let files = [("reminder.body.txt", text.as_str()), ("reminder.body.html", html.as_str())];
        let usual = Templates::built_in().render(&reminder(&full())).unwrap().mail;
        let own = rendered(&files);
        for (own, usual) in [(own.text, usual.text), (own.html, usual.html)] {
            assert_eq!(own.trim(), usual.trim().replace("AKIAIOSFODNN7EXAMPLE", "AKIA…MPLE"));
            assert!(own.contains("AKIA…MPLE"));
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_file_and_line() {
        assert_eq!(
            problems(&[
                ("reminder.subject.txt", "{{ key_count | plural }}"),
                ("reminder.body.txt", "Hello\n{% if redirected_from %}\n{{ redirected }}\n{% endif %}"),
                ("reminder.body.html", "<p>\n{{ support_contact.text }}{{ key_count }}"),
            ]),
            [
                "reminder.body.html:2: undefined value (tried on one-key, with nothing that may be left out)",
                "reminder.body.txt:3: undefined value (tried on pilot)",
                "reminder.subject.txt:1: unknown filter: filter plural is unknown (tried on one-key)",
            ]
        );
    }

    #[test]
    fn what_may_be_missing_is_missed_before_an_owner_sees_it() {
        let problem = |source: &str| {
            let problems = problems(&[("reminder.body.txt", source)]);
            assert!(problems.len() == 1, "{source}: {problems:?}");
            problems[0].clone()
        };
        let none = "invalid operation: none is filled in here: ask with {% if … %} whether there is a value";
        assert_eq!(
            problem("Konto {{ account_name }}"),
            format!("reminder.body.txt:1: {none} (tried on one-key)")
        );
        let group = "a group is filled in here: name the value in it, as in links.guide";
        assert_eq!(
            problems(&[("reminder.body.txt", "a\n{{ support_contact }}")])[0],
            format!("reminder.body.txt:2: invalid operation: {group} (tried on one-key)")
        );
        for (asked, filled_in, missing) in [
            ("account_name", "keys[0].description", "descriptions"),
            ("organization_name", "policy_link", "policy_link"),
            ("policy_link", "organization_name", "organization_name"),
            ("redirected_from", "account_name", "account_name"),
            ("support_contact and organization_name", "support_contact.href", "support_contact.href"),
        ] {
            let told = problem(&format!("a{{% if {asked} %}}{{{{ {filled_in} }}}}{{% endif %}}"));
            assert!(told.contains("none is filled in"), "{told}");
            assert!(told.contains(missing) || told.ends_with("(tried on pilot)"), "{told}");
        }
        assert_eq!(problems(&[("reminder.body.txt", "{{ account_name or account_id }}")]), [""; 0]);
    }

    #[test]
    fn a_mistake_in_one_part_hides_none_in_another() {
        assert_eq!(
            problems(&[("reminder.subject.txt", "{% if %}"), ("reminder.body.txt", "\n{{")]),
            [
                "reminder.subject.txt:1: syntax error: unexpected end of block",
                "reminder.body.txt:2: syntax error: unexpected end of input, expected expression",
            ]
        );
    }

    #[test]
    fn a_mistake_about_one_month_is_found_in_any() {
        let months = "{{ [1,2,3,4,5,6,7,8,9,10,11][as_of | date(\"%-m\") | int - 1] }}";
        let december = "reminder.subject.txt:1: undefined value (tried on one-key, as of 2026-12-15)";
        assert_eq!(problems(&[("reminder.subject.txt", months)]), [december]);
    }

    #[test]
    fn what_is_no_template_is_told() {
        let large = "x".repeat(256 * 1024 + 1);
        assert_eq!(problems(&[("reminder.body.html", &large)]), ["reminder.body.html: larger than 256 KiB"]);
        let empty = "reminder.body.txt: nothing comes out of it (tried on one-key)";
        assert_eq!(problems(&[("reminder.body.txt", "")]), [empty]);

        let files = directory(&[]);
        fs::write(files.path().join("reminder.body.txt"), b"a\nb\xff").unwrap();
        fs::create_dir(files.path().join("reminder.subject.txt")).unwrap();
        let problems: Vec<_> =
            Templates::of(files.path()).1.into_iter().map(|problem| problem.reason).collect();
        assert_eq!(problems, ["not a regular file", "line 2 is not UTF-8"]);
    }

    #[test]
    fn work_that_does_not_end_is_not_waited_for() {
        let (sender, held) = mpsc::channel::<()>();
        let endless = within(Duration::ZERO, move || held.recv().is_ok());
        assert_eq!(endless.unwrap_err(), "trying the templates out takes longer than 0 s");
        drop(sender);
        assert_eq!(within(PATIENCE, || 1), Ok(1));
    }

    #[test]
    fn a_directory_without_templates_is_a_mistake_too() {
        for files in [&[][..], &[("remainder.body.txt", "a")]] {
            let directory = directory(files);
            let problems = Templates::own(directory.path()).unwrap_err();
            assert!(problems[0].reason.starts_with("none of these files is in it: reminder.subject.txt"));
        }
        let (templates, problems) = Templates::of(Path::new("/nowhere/keynudge"));
        let problem = problems[0].to_string();
        assert!(
            problem.starts_with("/nowhere/keynudge: the directory cannot be read: No such file"),
            "{problem}"
        );
        assert!(templates.render(&reminder(&full())).unwrap().is_fallback);
    }

    #[test]
    fn names_that_nobody_reads_are_told_but_for_hidden_ones() {
        let files = directory(&[
            ("reminder.body.txt", "a"),
            ("reminder.body.mjml", "b"),
            (".DS_Store", ""),
            ("README", ""),
        ]);
        assert_eq!(unknown_files(files.path()), ["README", "reminder.body.mjml"]);
        assert!(Templates::own(files.path()).is_ok());
        assert_eq!(unknown_files(Path::new("/nowhere")), [""; 0]);
    }

    #[test]
    fn a_mail_that_own_templates_cannot_write_is_written_by_the_built_in_ones() {
        let own =
            MailTemplates::new(TemplateSources { subject: "s", text: "\n{{ user_name + 1 }}", html: "h" });
        let wanted = Wanted::Own(Box::new(Own {
            templates: own.unwrap(),
            directory: "/opt/keynudge".into(),
            parts: vec![],
        }));
        let templates = Templates { wanted, built_in: built_in() };
        let rendered = templates.render(&reminder(&full())).unwrap();
        assert!(rendered.is_fallback && rendered.mail == built_in().render(&reminder(&full())).unwrap());
        assert_eq!(
            rendered.problem.unwrap().to_string(),
            "/opt/keynudge/reminder.body.txt:2: invalid operation"
        );
    }
}
