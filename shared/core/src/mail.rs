//! The mail: what a reminder says ([`Reminder`]), and the templates that say it ([`MailTemplates`]).
//!
//! The facts and the order of the steps are the domain's, computed from a finding alone. The words are the
//! templates', which the caller brings.

use std::fmt;

mod reminder;
mod templates;

pub use reminder::{
    Action, KeyCommands, KeyFacts, LastUse, Links, Reminder, ReminderSettings, SupportContact, Task,
    UserCommands,
};
pub use templates::{MailTemplates, Part, TemplateError, TemplateSources};

/// A rendered mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Says nothing of what the mail says: it names a person and their keys, and must not reach a log.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_mail_does_not_show_what_it_says() {
        let mail = Mail {
            subject: "AKIAIOSFODNN7EXAMPLE of jane@example.com".to_owned(),
            text: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            html: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        };
        assert_eq!(format!("{mail:?}"), "Mail(…)");
    }
}
