//! Templates that turn a reminder into a mail.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, escape_formatter};

use super::{Mail, Reminder};

const SUBJECT: &str = "subject";
const TEXT: &str = "text";
const HTML: &str = "html";

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
/// Beside Jinja's own filters they have `pluralize`: `key{{ key_count | pluralize }}`, and with both forms given,
/// `{{ key_count | pluralize("is", "are") }}`. A variable that does not exist is an error, never an empty text.
#[derive(Debug)]
pub struct MailTemplates {
    environment: Environment<'static>,
}

/// Why templates make no mail. Names the place, never what a finding held: that is personal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} template{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    part: &'static str,
    line: Option<usize>,
    reason: String,
}

impl MailTemplates {
    /// Compiles the templates; what comes out of them is known only when a mail is rendered.
    pub fn new(sources: TemplateSources<'_>) -> Result<Self, TemplateError> {
        let mut environment = environment();
        for (part, source) in [(SUBJECT, sources.subject), (TEXT, sources.text), (HTML, sources.html)] {
            environment
                .add_template_owned(part, source.to_owned())
                .map_err(|error| TemplateError::in_source(part, &error))?;
        }
        Ok(Self { environment })
    }

    /// Renders the mail that tells of `reminder`.
    pub fn render(&self, reminder: &Reminder) -> Result<Mail, TemplateError> {
        let mut text = self.part(TEXT, reminder)?.trim_end().to_owned();
        text.push('\n');
        Ok(Mail { subject: one_line(&self.part(SUBJECT, reminder)?), text, html: self.part(HTML, reminder)? })
    }

    fn part(&self, part: &'static str, reminder: &Reminder) -> Result<String, TemplateError> {
        self.environment
            .get_template(part)
            .and_then(|template| template.render(Serde(reminder)))
            .map_err(|error| TemplateError::in_rendering(part, &error))
    }
}

impl TemplateError {
    /// An error found before any finding was there, so that its details are the template's own.
    fn in_source(part: &'static str, error: &Error) -> Self {
        Self {
            part,
            line: error.line(),
            reason: error
                .detail()
                .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind())),
        }
    }

    /// An error found while a finding was filled in, which its details may quote.
    fn in_rendering(part: &'static str, error: &Error) -> Self {
        Self { part, line: error.line(), reason: error.kind().to_string() }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|part| match part {
        HTML => AutoEscape::Html,
        _ => AutoEscape::None,
    });
    // A line that holds nothing but a `{% … %}` leaves no blank line behind.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("Jinja's own delimiters are valid"));
    environment.set_formatter(escaped);
    environment.add_filter("pluralize", pluralize);
    environment
}

/// Escapes text for HTML, but leaves slashes alone: Jinja's own escaping turns them into entities, and links that are
/// spelled in entities look like something to hide.
fn escaped(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
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

    fn render(subject: &str, text: &str, html: &str) -> Result<Mail, TemplateError> {
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
}
