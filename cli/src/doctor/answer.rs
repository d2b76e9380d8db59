//! What AWS said, or why it did not say it.

use super::line::Line;

/// An answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Unanswered>;

/// Why a call had no answer that tells anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// What it asked for does not exist.
    Missing,
    /// The credentials may not make the call.
    Denied {
        /// What they would have to be allowed.
        action: &'static str,
    },
    /// The credentials are not accepted at all.
    NotAccepted {
        /// The service's words.
        why: String,
    },
    /// Anything else.
    Failed {
        /// What was called.
        action: &'static str,
        /// What went wrong.
        why: String,
    },
}

impl Unanswered {
    /// Nobody can tell, and why. What is missing has to be told by whoever knows what that means.
    pub(super) fn line(&self, check: impl Into<String>) -> Line {
        match self {
            Self::Missing => Line::unknown(check, "cannot tell: it does not exist"),
            Self::Denied { action } => {
                Line::unknown(check, format!("cannot tell: these credentials lack the action {action}"))
            }
            Self::NotAccepted { why } => {
                Line::unknown(check, format!("cannot tell: the credentials are not accepted: {why}"))
            }
            Self::Failed { action, why } => {
                Line::unknown(check, format!("cannot tell: {action} failed: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::*;

    #[test]
    fn what_may_not_be_asked_is_not_known_and_names_the_action() {
        let line = Unanswered::Denied { action: "ses:GetAccount" }.line("account");
        assert_eq!(line.status, Status::Unknown);
        assert!(line.message.ends_with("lack the action ses:GetAccount"), "{}", line.message);
    }
}
