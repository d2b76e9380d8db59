//! What a failed call means for the message it was made for.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A call to a service that did not succeed.
///
/// The source may quote addresses, so it is not shown by `Display`, nor by `Debug`, which the Lambda runtime logs.
#[derive(Clone, thiserror::Error)]
#[error("{call} failed: {code}")]
pub struct CallFailed {
    /// The call as IAM policies name it, such as `iam:ListUsers`.
    pub call: &'static str,
    /// What to do about it.
    pub class: FailureClass,
    /// The service's error code, or what kept the call from an answer (`timeout`, `connection`).
    pub code: String,
    /// The error as the client reported it.
    #[source]
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl fmt::Debug for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.class)
    }
}

/// The call that makes a role's rights one's own, in its account.
pub const ASSUME_ROLE: &str = "sts:AssumeRole";

impl CallFailed {
    /// Whether an account does not let us in. STS says the same of a role that is not there, of one that does not trust
    /// the caller, and of a wrong external id.
    #[must_use]
    pub fn is_role_denied(&self) -> bool {
        self.call == ASSUME_ROLE && self.code == "AccessDenied"
    }
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Throttled, or the service or the network had a bad moment: try again.
    Retry,
    /// It will never succeed for this message: a dead letter at once.
    Never,
    /// An operator has to repair something first (permissions, an unverified identity): try again, later.
    Operator,
    /// The service may have done it and the answer was lost. Only matters where a repetition would be noticed.
    Unknown,
}

impl FailureClass {
    /// The class as functions log it, and `keynudge doctor` reads it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Never => "never",
            Self::Operator => "operator",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sts_denying_the_role_is_a_denied_role() {
        for (call, code, expected) in [
            (ASSUME_ROLE, "AccessDenied", true),
            (ASSUME_ROLE, "ExpiredToken", false),
            ("iam:ListUsers", "AccessDenied", false),
            ("iam:ListUsers", "Throttling", false),
        ] {
            let class = FailureClass::Operator;
            let failed = CallFailed { call, class, code: code.to_owned(), source: None };
            assert_eq!(failed.is_role_denied(), expected, "{failed}");
        }
    }

    #[test]
    fn a_failed_call_shows_its_code_and_not_what_the_service_said() {
        let failed = CallFailed {
            call: "ses:SendEmail",
            class: FailureClass::Operator,
            code: "MessageRejected".to_owned(),
            source: Some(Arc::new(std::io::Error::other("jane@example.com is not verified"))),
        };
        assert_eq!(format!("{failed}"), "ses:SendEmail failed: MessageRejected");
        assert_eq!(format!("{failed:?}"), "ses:SendEmail failed: MessageRejected (Operator)");
    }
}
