//! Templates that turn a reminder into a mail.

use std::error::Error as _;
use std::fmt::{self, Write as _};

use chrono::NaiveDate;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, escape_formatter,
};

use super::{Mail, Reminder};

/// How a date is written where a template says no more: `3 March 2026`.
const PLAIN_DATE: &str = "%-d %B %Y";

/// What one part of a mail may cost: a built-in one takes a few hundredths of it. Steps, and blocks of 64 bytes; a template
/// that goes round and round must not keep a function from its mails.
const FUEL: u64 = 200_000;

/// Fuel does not count what a filter does, and no day takes more than this to say how it is written.
const DATE_FORMAT_BYTES_MAX: usize = 100;

/// A subject takes more than this from no mail program's window.
const SUBJECT_CHARACTERS_MAX: usize = 500;

/// IAM's shortest id of an access key.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>
const KEY_ID_BYTES_MIN: usize = 16;

/// Mail programs cut off less than this, and SES takes more: a larger part is a mistake.
const BODY_BYTES_MAX: usize = 500_000;

/// A part of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The subject.
    Subject,
    /// The plain text.
    Text,
    /// The HTML.
    Html,
}

impl Part {
    /// All parts there are.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Text, Self::Html];

    fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The sources of a mail's three parts, in Jinja. [`Reminder`]'s fields are their variables.
#[derive(Debug, Clone, Copy)]
pub struct TemplateSources<'a> {
    /// The subject. Line breaks in it count as blanks, and what is blank around it is dropped.
    pub subject: &'a str,
    /// The plain text part.
    pub text: &'a str,
    /// The HTML part. What is filled into it is escaped.
    pub html: &'a str,
}

/// Compiled templates.
///
/// They have three filters beside Jinja's own:
///
/// * `pluralize`: `key{{ key_count | pluralize }}`, or with both forms
///   `{{ key_count | pluralize("is", "are") }}`
/// * `date`: `{{ as_of | date }}`, or with a format of `strftime` `{{ as_of | date("%d.%m.%Y") }}`
/// * `short_ids`: `{{ key.id | short_ids }}` is `AKIA…MPLE`
///
/// A variable that does not exist is an error, never an empty text. Printing none, a list or a group is an
/// error, too. Expressions escape that check: `~` and filters such as `upper` turn none into the word `None`
/// before it is printed.
#[derive(Debug)]
pub struct MailTemplates {
    environment: Environment<'static>,
}

/// Why templates make no mail. Names the place, never what a finding held: that is personal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} template{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    /// The part whose template it is.
    pub part: Part,
    /// The line of the template, from 1 on, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong there.
    pub reason: String,
}

impl MailTemplates {
    /// Compiles the templates; what comes out of them is known only when a mail is rendered.
    pub fn new(sources: TemplateSources<'_>) -> Result<Self, TemplateError> {
        let mut environment = environment();
        for part in Part::ALL {
            environment
                .add_template_owned(part.name(), sources.of(part).to_owned())
                .map_err(|error| TemplateError::detailed(part, &error))?;
        }
        Ok(Self { environment })
    }

    /// Renders the mail that tells of `reminder`.
    pub fn render(&self, reminder: &Reminder) -> Result<Mail, TemplateError> {
        let [subject, text, html] = Part::ALL.map(|part| self.part(part, reminder, TemplateError::discreet));
        Ok(Mail { subject: subject?, text: text?, html: html? })
    }

    /// Renders one part for a made-up reminder. The error may quote what was filled in, which is nobody's.
    pub fn try_out(&self, part: Part, made_up: &Reminder) -> Result<(), TemplateError> {
        self.part(part, made_up, TemplateError::detailed).map(drop)
    }

    fn part(
        &self,
        part: Part,
        reminder: &Reminder,
        describe: fn(Part, &Error) -> TemplateError,
    ) -> Result<String, TemplateError> {
        let template = self.environment.get_template(part.name());
        let rendered = template.and_then(|template| template.render(Serde(reminder)));
        let rendered = rendered.map_err(|error| describe(part, &error))?;
        let finished = match part {
            Part::Subject => one_line(&rendered),
            Part::Text => rendered.trim_end().to_owned() + "\n",
            Part::Html => rendered,
        };
        check_extent(part, &finished)?;
        Ok(finished)
    }
}

impl<'a> TemplateSources<'a> {
    fn of(&self, part: Part) -> &'a str {
        match part {
            Part::Subject => self.subject,
            Part::Text => self.text,
            Part::Html => self.html,
        }
    }
}

/// Whether somebody can have meant a part to come out like this.
fn check_extent(part: Part, rendered: &str) -> Result<(), TemplateError> {
    let too_long = match part {
        Part::Subject => rendered.chars().count() > SUBJECT_CHARACTERS_MAX,
        Part::Text | Part::Html => rendered.len() > BODY_BYTES_MAX,
    };
    let reason = match (part, rendered.trim().is_empty()) {
        (_, true) => "nothing comes out of it".to_owned(),
        (Part::Subject, _) if too_long => {
            format!("more than {SUBJECT_CHARACTERS_MAX} characters come out of it")
        }
        _ if too_long => format!("more than {} kB come out of it", BODY_BYTES_MAX / 1_000),
        _ => return Ok(()),
    };
    Err(TemplateError { part, line: None, reason })
}

impl TemplateError {
    /// An error found where no finding was, so that its details are nobody's.
    fn detailed(part: Part, error: &Error) -> Self {
        Self {
            part,
            line: error.line(),
            reason: error
                .detail()
                .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind())),
        }
    }

    /// An error found while a finding was filled in, which its details may quote, unless they are ours.
    fn discreet(part: Part, error: &Error) -> Self {
        let ours = error.source().and_then(|cause| cause.downcast_ref());
        let reason = ours.map_or_else(|| error.kind().to_string(), NotText::to_string);
        Self { part, line: error.line(), reason }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|part| match part {
        "html" => AutoEscape::Html,
        _ => AutoEscape::None,
    });
    // A line that holds nothing but a `{% … %}` leaves no blank line behind.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("Jinja's own delimiters are valid"));
    environment.set_formatter(escaped);
    environment.add_filter("pluralize", pluralize);
    environment.add_filter("date", date);
    environment.add_filter("short_ids", short_ids);
    environment.set_fuel(Some(FUEL));
    environment
}

/// What a template fills in though nobody can read it: `None`, or the inside of a list or group.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
struct NotText(&'static str);

impl NotText {
    fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::None => {
                Some(Self("none is filled in here: ask with {% if … %} whether there is a value"))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                Some(Self("a list is filled in here: go through it with {% for … %}"))
            }
            ValueKind::Map => {
                Some(Self("a group is filled in here: name the value in it, as in links.guide"))
            }
            _ => None,
        }
    }
}

/// Refuses values that are no text, and escapes text for HTML. Unlike Jinja's own escaping it leaves slashes
/// alone, because mail filters suspect links that are spelled in entities.
fn escaped(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if let Some(problem) = NotText::of(value) {
        return Err(Error::new(ErrorKind::InvalidOperation, problem.0).with_source(problem));
    }
    match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !value.is_safe() => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            out.write_str(&text.replace('"', "&quot;").replace('\'', "&#39;")).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// Joins what is on several lines: a line break in a header would begin another header.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `singular` for 1 and `plural` for everything else; `""` and `"s"` where they are not given.
fn pluralize(count: u64, singular: Option<&str>, plural: Option<&str>) -> String {
    if count == 1 { singular.unwrap_or("") } else { plural.unwrap_or("s") }.to_owned()
}

/// A day in the words of `format`, which is `strftime`'s.
fn date(day: &str, format: Option<&str>) -> Result<String, Error> {
    let wrong = |detail| Error::new(ErrorKind::InvalidOperation, detail);
    let day: NaiveDate = day.parse().map_err(|_| wrong("date: this is no date"))?;
    let format = format.unwrap_or(PLAIN_DATE);
    if format.len() > DATE_FORMAT_BYTES_MAX {
        return Err(wrong("date: the format is too long"));
    }
    let mut words = String::new();
    // Neither an unknown letter nor one that stands for a time of day can be written.
    write!(words, "{}", day.format(format))
        .map_err(|_| wrong("date: the format does not say how to write a day"))?;
    Ok(words)
}

/// `text` with each access key id in it shortened to `AKIA…MPLE`, so that mail filters that search for ids
/// find none.
fn short_ids(text: &Value) -> Result<Value, Error> {
    let source =
        text.as_str().ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "short_ids: this is no text"))?;
    let (mut short, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(start) = rest.find("AKIA") {
        let (before, from_id) = rest.split_at(start);
        let is_outside = |c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit());
        let (id, after) = from_id.split_at(from_id.find(is_outside).unwrap_or(from_id.len()));
        short.push_str(before);
        if id.len() < KEY_ID_BYTES_MIN {
            short.push_str(id);
        } else {
            short.extend([&id[..4], "…", &id[id.len() - 4..]]);
        }
        rest = after;
    }
    short.push_str(rest);
    Ok(if text.is_safe() { Value::from_safe_string(short) } else { short.into() })
}

#[cfg(test)]
mod tests {
    use super::super::reminder::tests::{finding, key, settings};
    use super::*;

    fn reminder(description: Option<&str>) -> Reminder {
        let mut key = key("AKIAIOSFODNN7EXAMPLE", "2025-01-01T00:00:00Z", None);
        key.description = description.map(|text| text.parse().unwrap());
        Reminder::new(&finding(vec![key]), &settings())
    }

    fn sources<'a>(subject: &'a str, text: &'a str, html: &'a str) -> TemplateSources<'a> {
        TemplateSources { subject, text, html }
    }

    /// A part that is left out is a dot: one of which nothing comes is an error.
    fn render(subject: &str, text: &str, html: &str) -> Result<Mail, TemplateError> {
        let [subject, text, html] =
            [subject, text, html].map(|part| if part.is_empty() { "." } else { part });
        MailTemplates::new(sources(subject, text, html))?.render(&reminder(Some("<b>\"x\" & 'y'</b>")))
    }

    #[test]
    fn each_part_comes_from_its_template() {
        let mail = render("s {{ user_name }}", "t {{ account_id }}", "h {{ key_count }}").unwrap();
        assert_eq!([mail.subject, mail.text, mail.html], ["s jane", "t 111122223333\n", "h 1"]);
    }

    #[test]
    fn what_is_filled_in_is_escaped_in_html_alone() {
        let description = "{{ keys[0].description }}";
        let mail = render(description, description, description).unwrap();
        assert_eq!(mail.subject, "<b>\"x\" & 'y'</b>");
        assert_eq!(mail.text, "<b>\"x\" & 'y'</b>\n");
        assert_eq!(mail.html, "&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;");
    }

    #[test]
    fn what_a_macro_made_is_not_escaped_again() {
        let html = "{% macro bold(text) %}<b>{{ text }}</b>{% endmacro %}{{ bold(keys[0].description) }}";
        let mail = render("", "", html).unwrap();
        assert_eq!(mail.html, "<b>&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;</b>");
    }

    #[test]
    fn a_subject_is_one_line_whatever_its_template() {
        let mail = render("\n  a\r\nBcc: all@example.com\n\n", "", "").unwrap();
        assert_eq!(mail.subject, "a Bcc: all@example.com");
    }

    #[test]
    fn the_text_ends_with_one_line_break() {
        for source in ["a", "a\n", "a\n\n\n"] {
            assert_eq!(render("", source, "").unwrap().text, "a\n");
        }
    }

    #[test]
    fn lines_of_control_leave_no_blank_lines() {
        let mail = render("", "a\n  {% if key_count == 1 %}\nb\n  {% endif %}\nc", "").unwrap();
        assert_eq!(mail.text, "a\nb\nc\n");
    }

    #[test]
    fn plurals_follow_the_count() {
        let of = |count: u64| {
            let words =
                format!("{{{{ {count} | pluralize }}}}/{{{{ {count} | pluralize(\"is\", \"are\") }}}}");
            render(&words, "", "").unwrap().subject
        };
        assert_eq!([of(0), of(1), of(2), of(11)], ["s/are", "/is", "s/are", "s/are"]);
    }

    #[test]
    fn a_template_that_does_not_compile_is_named_with_the_line() {
        let error = |sources| MailTemplates::new(sources).unwrap_err().to_string();
        let broken = "a\n{% if %}";
        for (sources, part) in [
            (sources(broken, "", ""), "subject"),
            (sources("", broken, ""), "text"),
            (sources("", "", broken), "html"),
        ] {
            assert_eq!(
                error(sources),
                format!("{part} template, line 2: syntax error: unexpected end of block")
            );
        }
    }

    #[test]
    fn an_unknown_variable_is_an_error_with_its_place() {
        for (mail, part) in [
            (render("\n{{ key_cuont }}", "", ""), "subject"),
            (render("", "\n{{ keys[2].id }}", ""), "text"),
            (render("", "", "\n{% if nobody %}{% endif %}"), "html"),
        ] {
            assert_eq!(mail.unwrap_err().to_string(), format!("{part} template, line 2: undefined value"));
        }
    }

    #[test]
    fn an_error_while_filling_in_does_not_quote_what_was_filled_in() {
        let error = render("", "{{ user_name + 1 }}", "").unwrap_err().to_string();
        assert_eq!(error, "text template, line 1: invalid operation");
    }

    #[test]
    fn filling_in_none_a_list_or_a_group_is_an_error_with_its_place() {
        let none = "none is filled in here: ask with {% if … %} whether there is a value";
        let group = "a group is filled in here: name the value in it, as in links.guide";
        let list = "a list is filled in here: go through it with {% for … %}";
        for (source, reason) in [
            ("Konto\n{{ account_name }}", none),
            ("\n{{ account_name | default('x') }}", none),
            ("\n{{ links }}", group),
            ("\n{{ keys[0] }}", group),
            ("\n{{ keys }}", list),
            ("\n{{ keys | map(attribute='id') }}", list),
        ] {
            for (part, mail) in [
                ("text", render("", source, "")),
                ("html", render("", "", source)),
                ("subject", render(source, "", "")),
            ] {
                let error = mail.unwrap_err().to_string();
                assert_eq!(error, format!("{part} template, line 2: {reason}"), "{source}");
            }
            let templates = MailTemplates::new(sources(".", source, ".")).unwrap();
            let tried = templates.try_out(Part::Text, &reminder(None)).unwrap_err();
            assert_eq!((tried.line, tried.reason), (Some(2), format!("invalid operation: {reason}")));
        }
        let asked = "{{ account_name or account_id }}{% if account_name %}{{ account_name }}{% endif %}";
        assert_eq!(render(asked, "", "").unwrap().subject, "111122223333");
        assert_eq!(render("{{ account_name | default('x', true) }}", "", "").unwrap().subject, "x");
    }

    #[test]
    fn ids_of_keys_can_be_shortened_alone_and_in_a_text() {
        let written = |source| render("", source, "").map(|mail| mail.text.trim_end().to_owned());
        assert_eq!(written("{{ keys[0].id | short_ids }}").unwrap(), "AKIA…MPLE");
        assert_eq!(
            written("{{ tasks[0].commands.delete | short_ids }}").unwrap(),
            "aws iam delete-access-key --user-name jane --access-key-id AKIA…MPLE"
        );
        assert_eq!(
            written("{{ 'AKIAI44QH8DHBEXAMPL1, AKIA, xAKIAI44QH8DHBEXAMPL2AKIA' | short_ids }}").unwrap(),
            "AKIA…MPL1, AKIA, xAKIA…AKIA"
        );
        assert!(written("{{ key_count | short_ids }}").is_err());
        // What was escaped already is not escaped again.
        let block = "{% filter short_ids %}<b>{{ keys[0].id }}</b> {{ keys[0].description }}{% endfilter %}";
        let html = render("", "", block).unwrap().html;
        assert_eq!(html, "<b>AKIA…MPLE</b> &lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;");
    }

    #[test]
    fn a_day_is_written_as_the_template_says() {
        let written = |template: &str| render(template, "", "").map(|mail| mail.subject);
        assert_eq!(written("{{ as_of | date }}").unwrap(), "1 March 2026");
        assert_eq!(written("{{ as_of | date(\"%d.%m.%Y\") }}").unwrap(), "01.03.2026");
        assert_eq!(written("{{ as_of }}").unwrap(), "2026-03-01");
        let months = "{% set months = [\"Januar\", \"Februar\", \"März\"] %}";
        let month = "{{ months[as_of | date(\"%-m\") | int - 1] }}";
        assert_eq!(written(&format!("{months}{month}")).unwrap(), "März");
    }

    #[test]
    fn a_format_that_cannot_be_written_is_an_error_and_no_panic() {
        for filter in
            ["date(\"%Q\")", "date(\"%\")", "date(\"%H:%M\")", "date(\"%s\")", "date(\"%+\")", "date(7)"]
        {
            let templates = format!("{{{{ as_of | {filter} }}}}");
            let error = render(&templates, "", "").unwrap_err();
            assert_eq!((error.part, error.line), (Part::Subject, Some(1)), "{filter}");
        }
        for no_date in ["user_name", "key_count", "account_name"] {
            assert!(render(&format!("{{{{ {no_date} | date }}}}"), "", "").is_err(), "{no_date}");
        }
    }

    #[test]
    fn an_id_of_the_shortest_length_is_shortened_and_a_shorter_word_is_not() {
        let id = "AKIA".to_owned() + &"X".repeat(KEY_ID_BYTES_MIN - 4);
        let shortened = |text: &str| short_ids(&Value::from(text)).unwrap().to_string();
        assert_eq!(shortened(&format!("key {id}.")), "key AKIA…XXXX.");
        assert_eq!(shortened(&id[1..]), id[1..]);
        assert_eq!(shortened(&id[..KEY_ID_BYTES_MIN - 1]), id[..KEY_ID_BYTES_MIN - 1]);
    }

    #[test]
    fn each_part_may_be_as_long_as_its_limit_and_no_longer() {
        for (part, limit) in [
            (Part::Subject, SUBJECT_CHARACTERS_MAX),
            (Part::Text, BODY_BYTES_MAX),
            (Part::Html, BODY_BYTES_MAX),
        ] {
            assert!(check_extent(part, &"x".repeat(limit)).is_ok(), "{part:?}");
            assert!(check_extent(part, &"x".repeat(limit + 1)).is_err(), "{part:?}");
        }
    }

    #[test]
    fn a_format_longer_than_any_day_needs_is_an_error() {
        let written = |letters| render(&format!("{{{{ as_of | date(\"%d\" * {letters}) }}}}"), "", "");
        assert_eq!(written(50).unwrap().subject, "01".repeat(50));
        assert!(written(51).is_err());
    }

    #[test]
    fn a_part_of_which_nothing_comes_or_too_much_is_an_error() {
        let error = |subject, text| {
            MailTemplates::new(sources(subject, text, "."))
                .unwrap()
                .render(&reminder(None))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error(" {# nothing #} ", "."), "subject template: nothing comes out of it");
        assert_eq!(error(".", "\n"), "text template: nothing comes out of it");
        assert_eq!(
            error("{{ \"x\" * 501 }}", "."),
            "subject template: more than 500 characters come out of it"
        );
        assert_eq!(error(".", "{{ \"x\" * 500001 }}"), "text template: more than 500 kB come out of it");
    }

    #[test]
    fn a_template_that_goes_round_and_round_comes_to_an_end() {
        let round = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}";
        let error = render("", round, "").unwrap_err().to_string();
        assert_eq!(error, "text template, line 1: engine ran out of fuel");
    }

    #[test]
    fn only_of_a_made_up_reminder_does_an_error_tell_the_details() {
        let templates = MailTemplates::new(sources(".", "\n{{ user_name | shout }}", ".")).unwrap();
        let said = "text template, line 2: unknown filter";
        assert_eq!(templates.render(&reminder(None)).unwrap_err().to_string(), said);
        let detailed = templates.try_out(Part::Text, &reminder(None)).unwrap_err().to_string();
        assert_eq!(detailed, format!("{said}: filter shout is unknown"));
        assert!(templates.try_out(Part::Html, &reminder(None)).is_ok());
    }
}
