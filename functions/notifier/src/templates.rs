//! The templates that mails are written with: built in, or an organization's own.

use std::path::Path;

use keynudge_mail::{Problem, Templates, unknown_files};

/// The section of `infra/RUNBOOK.md` about templates that cannot be used.
pub(crate) const RUNBOOK: &str = "templates-unusable";

/// The own templates of `directory`, if there is one. What is wrong with them is logged, and the built-in ones take their
/// place: a slip in a template must not cost a mail.
pub(crate) fn load(directory: Option<&Path>) -> Templates {
    let Some(directory) = directory else {
        return Templates::built_in();
    };
    let (templates, problems) = Templates::of(directory);
    if !problems.is_empty() {
        let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
        tracing::error!(
            problems = problems.join("; "),
            runbook = RUNBOOK,
            "the organization's templates cannot be used, and mails are in the built-in words"
        );
    }
    // A name may hold what turns a line of a terminal around.
    let unknown: Vec<_> =
        unknown_files(directory).iter().map(|name| name.escape_debug().to_string()).collect();
    if !unknown.is_empty() {
        tracing::warn!(files = unknown.join(", "), "files beside the templates that are none");
    }
    templates
}
