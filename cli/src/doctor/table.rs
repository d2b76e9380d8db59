//! Whether the ledger's table is there, and kept.

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, lacks};
use super::line::{Line, Section};

/// The attribute by which DynamoDB deletes what is over.
const EXPIRES: &str = "expires_at";

/// The table, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// In DynamoDB's words, `ACTIVE` and so on.
    pub(crate) status: String,
    /// The names of its partition key, and of its sort key if it has one.
    pub(crate) keys: Vec<String>,
}

/// All that is known of it.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) table: Answer<Table>,
    /// The attribute by which items expire; `None` if they do not.
    pub(crate) expires_by: Answer<Option<String>>,
    /// Whether it can be restored as of any second of the last weeks.
    pub(crate) is_backed_up: Answer<bool>,
}

/// What there is to say of the ledger.
pub(super) fn section(deployment: &Deployment, inspected: Option<&Inspected>) -> Section {
    let lines = match (inspected, deployment.output("LedgerTableName")) {
        (Some(inspected), Some(name)) if inspected.table == Err(Unanswered::Missing) => vec![gone(name)],
        (Some(inspected), Some(name)) => vec![
            table(name, &inspected.table),
            expiry(name, &deployment.region, &inspected.expires_by),
            backups(name, &deployment.region, &inspected.is_backed_up),
        ],
        _ => vec![lacks("table", "LedgerTableName")],
    };
    Section { title: "Ledger", lines }
}

fn gone(name: &str) -> Line {
    let advice = "stop the mail, and restore it or deploy anew: infra/RUNBOOK.md#restoring-the-ledger";
    Line::failed("table", format!("{name} is gone: no mail is sent without it"), advice)
}

fn table(name: &str, answer: &Answer<Table>) -> Line {
    const CHECK: &str = "table";
    let table = match answer {
        Ok(table) => table,
        Err(unanswered) => return unanswered.line(CHECK),
    };
    let said = format!("{name}: {}, keys {}", table.status, table.keys.join(" and "));
    if table.keys != ["pk", "sk"] {
        return Line::failed(
            CHECK,
            said,
            "its keys have to be pk and sk: infra/RUNBOOK.md#restoring-the-ledger",
        );
    }
    match table.status.as_str() {
        "ACTIVE" => Line::ok(CHECK, said),
        "UPDATING" => Line::warning(CHECK, said, "it goes on working; ask again when that is done"),
        _ => Line::failed(CHECK, said, "see infra/RUNBOOK.md#restoring-the-ledger"),
    }
}

fn expiry(name: &str, region: &str, answer: &Answer<Option<String>>) -> Line {
    const CHECK: &str = "expiry";
    let is = match answer {
        Ok(Some(attribute)) if attribute == EXPIRES => return Line::ok(CHECK, format!("by {EXPIRES}")),
        Ok(Some(other)) => format!("by {other}, and not by {EXPIRES}: old items stay"),
        Ok(None) => "off: old items stay".to_owned(),
        Err(unanswered) => return unanswered.line(CHECK),
    };
    let advice = format!(
        "aws dynamodb update-time-to-live --region {region} --table-name {name} --time-to-live-specification \
         Enabled=true,AttributeName={EXPIRES}"
    );
    Line::warning(CHECK, is, advice)
}

fn backups(name: &str, region: &str, answer: &Answer<bool>) -> Line {
    const CHECK: &str = "point-in-time recovery";
    match answer {
        Ok(true) => Line::ok(CHECK, "on"),
        Ok(false) => Line::warning(
            CHECK,
            "off: a ledger that is lost costs every owner of stale keys a mail",
            format!(
                "aws dynamodb update-continuous-backups --region {region} --table-name {name} --point-in-time-recovery-specification \
                 PointInTimeRecoveryEnabled=true"
            ),
        ),
        Err(unanswered) => unanswered.line(CHECK),
    }
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::deployment;
    use super::super::line::Status;
    use super::*;

    fn inspected() -> Inspected {
        Inspected {
            table: Ok(Table { status: "ACTIVE".to_owned(), keys: vec!["pk".to_owned(), "sk".to_owned()] }),
            expires_by: Ok(Some("expires_at".to_owned())),
            is_backed_up: Ok(true),
        }
    }

    fn statuses(inspected: &Inspected) -> Vec<Status> {
        let Section { lines, .. } = section(&deployment(&[]), Some(inspected));
        lines.into_iter().map(|line| line.status).collect()
    }

    #[test]
    fn the_table_is_judged_by_what_the_template_made_of_it() {
        use Status::{Failed, Ok as Fine, Unknown, Warning};
        assert_eq!(statuses(&inspected()), [Fine, Fine, Fine]);
        let other = Table { status: "ACTIVE".to_owned(), keys: vec!["id".to_owned()] };
        assert_eq!(statuses(&Inspected { table: Ok(other), ..inspected() }), [Failed, Fine, Fine]);
        assert_eq!(statuses(&Inspected { expires_by: Ok(None), ..inspected() }), [Fine, Warning, Fine]);
        assert_eq!(statuses(&Inspected { is_backed_up: Ok(false), ..inspected() }), [Fine, Fine, Warning]);
        let denied = Err(Unanswered::Denied { action: "dynamodb:DescribeContinuousBackups" });
        assert_eq!(statuses(&Inspected { is_backed_up: denied, ..inspected() }), [Fine, Fine, Unknown]);
    }

    #[test]
    fn of_a_table_that_is_gone_nothing_else_is_said() {
        assert_eq!(statuses(&Inspected { table: Err(Unanswered::Missing), ..inspected() }), [Status::Failed]);
    }
}
