//! DynamoDB: the ledger and the runs' records, in one table.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | an owner's entry | `owner#ACCOUNT#USER_ID`, a pilot's behind `pilot#` | `ledger` |
//! | what a run came to in an account | `run#RUN_ID` | the account |
//! | how many mails went out on a day (UTC), and how many of them reached nobody | `run##mails` | the day |
//! | that a run was started, and for how many accounts | `runs` | the run |

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use keynudge_core::counting::Metric;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccountId, RunId};
use keynudge_core::ledger::Entry;
use keynudge_core::mail_limits::MailCounts;
use keynudge_core::messages::{Mode, Run, Version};
use keynudge_core::ports::{
    Book, Counts, Ledger, LedgerReader, MailCounters, Owner, RoleUse, RunLog, RunRecords, WriteFailed,
};
use keynudge_core::reckoning::{AccountRecord, RunList, StartedRun};
use serde::{Deserialize, Serialize};
use serde_dynamo::{from_item, to_item};

use crate::failure::{call_failed, not_built};

const GET: &str = "dynamodb:GetItem";
const PUT: &str = "dynamodb:PutItem";
const UPDATE: &str = "dynamodb:UpdateItem";
const QUERY: &str = "dynamodb:Query";

/// The partition of the list of runs.
const RUNS: &str = "runs";

/// Pages of 1 MB. A record is 1 KB at most, so that they hold those of all accounts of an organization, which may have 10,000
/// before AWS has to be asked; and an item of the list of runs is much smaller.
const MAX_PAGES: usize = 100;

/// How long the table keeps what runs came to: a year, and time to look back at it.
const RECORDS_KEPT_FOR: TimeDelta = TimeDelta::days(400);

type Item = HashMap<String, AttributeValue>;

/// What is set or added, by attribute.
type Numbers = BTreeMap<String, i64>;

/// Attributes that are no metrics: [`MailCounts`].
const MAILS_BEGUN: &str = "mails_begun";
const MAILS_NOT_REACHED: &str = "mails_not_reached";

/// The table.
#[derive(Debug, Clone)]
pub struct LedgerTable {
    client: Client,
    table: String,
}

impl LedgerTable {
    /// The table of this name, with `config`'s credentials.
    #[must_use]
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { client: Client::new(config), table }
    }
}

impl LedgerReader for LedgerTable {
    async fn read(&self, owner: &Owner) -> Result<Entry, CallFailed> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(entry_key(owner)))
            // By default a read may be older than the last write (DynamoDB developer guide, "Read consistency").
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| call_failed(GET, error))?;
        answer.item.map_or_else(
            || Ok(Entry::default()),
            |item| from_item(item).map_err(|error| unreadable(GET, error)),
        )
    }
}

impl Ledger for LedgerTable {
    async fn write(&self, owner: &Owner, entry: &Entry) -> Result<(), WriteFailed> {
        let mut item: Item = to_item(entry).map_err(|error| not_built(PUT, error))?;
        item.extend(entry_key(owner));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match entry.revision.checked_sub(1) {
            None | Some(0) => put.condition_expression("attribute_not_exists(pk)"),
            Some(previous) => put
                .condition_expression("#revision = :previous")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":previous", number(&previous)),
        };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                Err(WriteFailed::Conflict)
            }
            Err(error) => Err(call_failed(PUT, error).into()),
        }
    }
}

impl RunRecords for LedgerTable {
    async fn start(&self, run: &Run, accounts: usize, at: DateTime<Utc>) -> Result<(), CallFailed> {
        let about = About { started_at: Some(at), accounts: Some(accounts), ..About::run(run) };
        let key = key(RUNS.to_owned(), run.run_id.as_str());
        self.update(key, &about, &Numbers::new(), &Numbers::new()).await.map(drop)
    }

    async fn set(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed> {
        let (key, about) = (record_key(run, account_id), About::run(run));
        self.update(key, &about, &numbers(counts), &Numbers::new()).await.map(drop)
    }

    /// Once: repeated after a lost answer, it would count everything twice, and no redelivery would show it. Counts that are
    /// not known to be recorded are counted themselves, by whoever asks for this.
    async fn add(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed> {
        let (key, about) = (record_key(run, account_id), About::run(run));
        self.update(key, &about, &Numbers::new(), &numbers(counts)).await.map(drop)
    }

    async fn first_denied(
        &self,
        run: &Run,
        account_id: &AccountId,
        role_use: RoleUse,
        at: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, CallFailed> {
        let about = match role_use {
            RoleUse::Scan => About { scan_denied_at: Some(at), ..About::run(run) },
            RoleUse::Checks => About { checks_denied_at: Some(at), ..About::run(run) },
        };
        let none = Numbers::new();
        let item = self.update(record_key(run, account_id), &about, &none, &none).await?;
        let Denied { scan_denied_at, checks_denied_at } =
            from_item(item).map_err(|error| unreadable(UPDATE, error))?;
        let first = match role_use {
            RoleUse::Scan => scan_denied_at,
            RoleUse::Checks => checks_denied_at,
        };
        Ok(first.unwrap_or(at))
    }
}

/// In two items: the account's record of the run, and the item of the day.
impl MailCounters for LedgerTable {
    async fn begin_mail(
        &self,
        run: &Run,
        account_id: &AccountId,
        day: NaiveDate,
    ) -> Result<MailCounts, CallFailed> {
        let (record, of_day) = self.change_mails(run, account_id, day, 1).await?;
        let number = |item: &Item, name: &str| item.get(name)?.as_n().ok()?.parse().ok();
        Ok(MailCounts {
            of_account: number(&record, MAILS_BEGUN).unwrap_or(0),
            today: number(&of_day, MAILS_BEGUN).unwrap_or(0),
            not_reached_today: number(&of_day, MAILS_NOT_REACHED).unwrap_or(0),
        })
    }

    async fn cancel_mail(&self, run: &Run, account_id: &AccountId, day: NaiveDate) -> Result<(), CallFailed> {
        self.change_mails(run, account_id, day, -1).await.map(drop)
    }

    async fn mail_not_reached(&self, day: NaiveDate) -> Result<(), CallFailed> {
        let one = Numbers::from([(MAILS_NOT_REACHED.to_owned(), 1)]);
        self.update(day_key(day), &OfDay::new(), &Numbers::new(), &one).await.map(drop)
    }
}

impl RunLog for LedgerTable {
    /// Reads the whole list: it is in the order of the instants that runs judge at, and a dry run may judge any.
    async fn last_runs(&self, limit: usize) -> Result<RunList, CallFailed> {
        let items = self.items_of(RUNS.to_owned()).await?;
        let all = items.len();
        let mut runs: Vec<_> = items.into_iter().filter_map(started_run).collect();
        let unreadable = all - runs.len();
        runs.sort_by_key(|run| Reverse(run.started_at));
        runs.truncate(limit);
        Ok(RunList { runs, unreadable })
    }

    async fn records(&self, run_id: &RunId) -> Result<Vec<AccountRecord>, CallFailed> {
        let items = self.items_of(format!("run#{run_id}")).await?;
        items.into_iter().map(account_record).collect()
    }
}

impl LedgerTable {
    /// Adds to the mails of an account in a run, and of a day: to both or, as far as DynamoDB answers, to neither. Returns both
    /// items.
    async fn change_mails(
        &self,
        run: &Run,
        account_id: &AccountId,
        day: NaiveDate,
        mails: i64,
    ) -> Result<(Item, Item), CallFailed> {
        let added = Numbers::from([(MAILS_BEGUN.to_owned(), mails)]);
        let (about, of_day, none) = (About::run(run), OfDay::new(), Numbers::new());
        let record = self.update(record_key(run, account_id), &about, &none, &added);
        let changed = tokio::join!(record, self.update(day_key(day), &of_day, &none, &added));
        // A mail that one of them counts at every try would use up the account's mails, or the day's.
        let taken_back = Numbers::from([(MAILS_BEGUN.to_owned(), -mails)]);
        match changed {
            (Ok(record), Ok(of_day)) => Ok((record, of_day)),
            (Err(error), Err(_)) => Err(error),
            (Ok(_), Err(error)) => {
                let _ = self.update(record_key(run, account_id), &about, &none, &taken_back).await;
                Err(error)
            }
            (Err(error), Ok(_)) => {
                let _ = self.update(day_key(day), &of_day, &none, &taken_back).await;
                Err(error)
            }
        }
    }

    /// All items of a partition, as they are now.
    async fn items_of(&self, pk: String) -> Result<Vec<Item>, CallFailed> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .consistent_read(true);
        let mut items = Vec::new();
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let page = query.clone().set_exclusive_start_key(next).send().await;
            let page = page.map_err(|error| call_failed(QUERY, error))?;
            items.extend(page.items.unwrap_or_default());
            next = page.last_evaluated_key;
            if next.is_none() {
                return Ok(items);
            }
        }
        let code = "more pages than there can be".to_owned();
        Err(CallFailed { call: QUERY, class: FailureClass::Operator, code, source: None })
    }
}

/// An item of the list of runs.
#[derive(Deserialize)]
struct Listed {
    sk: RunId,
    as_of: DateTime<Utc>,
    mode: Mode,
    started_at: DateTime<Utc>,
    accounts: u64,
}

/// Nothing if it cannot be read: one item that somebody else wrote, or a newer version, must not hide the others.
fn started_run(item: Item) -> Option<StartedRun> {
    let Listed { sk, as_of, mode, started_at, accounts } = from_item(item).ok()?;
    Some(StartedRun { run: Run { v: Version, run_id: sk, as_of, mode }, started_at, accounts })
}

/// What a newer version counts beside is left out.
fn account_record(item: Item) -> Result<AccountRecord, CallFailed> {
    #[derive(Deserialize)]
    struct Account {
        sk: AccountId,
    }
    let count = |(name, value): (&String, &AttributeValue)| {
        Some((Metric::named(name)?, value.as_n().ok()?.parse().ok()?))
    };
    let counts: BTreeMap<Metric, u64> = item.iter().filter_map(count).collect();
    let Account { sk } = from_item(item).map_err(|error| unreadable(QUERY, error))?;
    Ok(AccountRecord { account_id: sk, counts })
}

/// The part of an account's record that says when the account first denied its role.
#[derive(Deserialize)]
struct Denied {
    scan_denied_at: Option<DateTime<Utc>>,
    checks_denied_at: Option<DateTime<Utc>>,
}

/// What the item of a day says beside its counts.
#[derive(Serialize)]
struct OfDay {
    expires_at: i64,
}

impl OfDay {
    fn new() -> Self {
        Self { expires_at: Utc::now().timestamp() + RECORDS_KEPT_FOR.num_seconds() }
    }
}

/// What each item of a run says of it. Whoever comes first says it.
#[derive(Serialize)]
struct About {
    as_of: DateTime<Utc>,
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan_denied_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks_denied_at: Option<DateTime<Utc>>,
    expires_at: i64,
}

impl About {
    fn run(run: &Run) -> Self {
        // A dry run may judge a day that is long past.
        let expires_at = run.as_of.max(Utc::now()).timestamp() + RECORDS_KEPT_FOR.num_seconds();
        let (started_at, accounts, scan_denied_at, checks_denied_at) = (None, None, None, None);
        let Run { as_of, mode, .. } = *run;
        Self { as_of, mode, started_at, accounts, scan_denied_at, checks_denied_at, expires_at }
    }
}

impl LedgerTable {
    /// Sets and adds numbers in an item of a run, in one call. Returns the item as it is then.
    async fn update(
        &self,
        key: Item,
        about: &impl Serialize,
        set: &Numbers,
        add: &Numbers,
    ) -> Result<Item, CallFailed> {
        let about: Item = to_item(about).map_err(|error| not_built(UPDATE, error))?;
        let first = about.keys().map(|name| format!("#{name} = if_not_exists(#{name}, :{name})"));
        let set_to = set.keys().map(|name| format!("#{name} = :{name}"));
        let added = add.keys().map(|name| format!("#{name} :{name}"));
        let clauses = [("SET", first.chain(set_to).collect::<Vec<_>>()), ("ADD", added.collect())]
            .into_iter()
            .filter(|(_, clauses)| !clauses.is_empty())
            .map(|(word, clauses)| format!("{word} {}", clauses.join(", ")));
        let expression = clauses.collect::<Vec<_>>().join(" ");
        let counts = set.iter().chain(add).map(|(name, count)| (name.clone(), number(count)));
        let values: Item = about.into_iter().chain(counts).collect();
        // Only what sets may be repeated.
        let attempts = if add.is_empty() { None } else { Some(RetryConfig::disabled()) };
        let mut config = Builder::default();
        config.set_retry_config(attempts);
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression(expression)
            // No name can be one of DynamoDB's reserved words, then.
            .set_expression_attribute_names(Some(
                values.keys().map(|name| (format!("#{name}"), name.clone())).collect(),
            ))
            .set_expression_attribute_values(Some(
                values.iter().map(|(name, value)| (format!(":{name}"), value.clone())).collect(),
            ))
            .return_values(ReturnValue::AllNew)
            .customize()
            .config_override(config)
            .send()
            .await
            .map(|answer| answer.attributes.unwrap_or_default())
            .map_err(|error| call_failed(UPDATE, error))
    }
}

fn entry_key(owner: &Owner) -> Item {
    let book = match owner.book {
        Book::Live => "",
        Book::Pilot => "pilot#",
    };
    key(format!("{book}owner#{}#{}", owner.account_id, owner.user_id), "ledger")
}

fn record_key(run: &Run, account_id: &AccountId) -> Item {
    key(format!("run#{}", run.run_id), account_id.as_str())
}

fn key(pk: String, sk: &str) -> Item {
    [("pk", pk), ("sk", sk.to_owned())]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
        .collect()
}

/// The item of a day's mails (UTC), of all runs: no run's id holds `#`.
fn day_key(day: NaiveDate) -> Item {
    key("run##mails".to_owned(), &day.to_string())
}

fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn numbers(counts: &Counts) -> Numbers {
    // No count is as large as half of what a u64 holds.
    counts.iter().map(|(name, n)| ((*name).to_owned(), i64::try_from(*n).unwrap_or(i64::MAX))).collect()
}

/// An entry that somebody else wrote, or a newer version. It is not "no entry": the owner would be told again.
fn unreadable(call: &'static str, error: serde_dynamo::Error) -> CallFailed {
    CallFailed {
        call,
        class: FailureClass::Operator,
        code: "unreadable entry".to_owned(),
        source: Some(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_http_client::test_util::StaticReplayClient;
    use keynudge_core::ids::{ClaimId, RunId};
    use keynudge_core::ledger::{Claiming, LedgerRules, MailboxHash, NotReachedReason, Notice, SesEvent};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    use crate::replay::{answers, config, requests};

    const REFUSED: (u16, &str) = (
        400,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#,
    );

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn owner(book: Book) -> Owner {
        Owner {
            account_id: "123456789012".parse().unwrap(),
            user_id: "AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
            book,
        }
    }

    /// An owner who is being told for the second time, after a mail that bounced.
    fn entry() -> Entry {
        let rules = LedgerRules {
            remind_every_days: 7.try_into().unwrap(),
            lease: TimeDelta::seconds(60),
            unknown_lease: TimeDelta::minutes(15),
        };
        let claim = |entry: &Entry, days: i64, id: &ClaimId| {
            let notice = Notice {
                run_id: RunId::of(now(), false),
                as_of_date: now().date_naive() + TimeDelta::days(days),
                stage: 1,
                key_ids: vec!["AKIAAAAAAAAAAAAAAAAA".parse().unwrap()],
                mailbox: Some(MailboxHash::of(&"jane@example.com".parse().unwrap())),
            };
            match entry.claim(&notice, id, now(), &rules) {
                Claiming::Free(entry) => entry,
                other => panic!("{other:?}"),
            }
        };
        let (first, second): (ClaimId, ClaimId) = ("first".parse().unwrap(), "second".parse().unwrap());
        let bounce = SesEvent::NotReached(NotReachedReason::Bounce);
        let told = claim(&Entry::default(), 0, &first).hear(&first, bounce, now()).unwrap();
        claim(&told, 7, &second)
    }

    async fn table(client: &StaticReplayClient) -> LedgerTable {
        LedgerTable::new(&config(client.clone()).await, "keynudge-ledger".to_owned())
    }

    async fn read(status: u16, answer: Value) -> Result<Entry, CallFailed> {
        table(&answers([(status, answer.to_string())])).await.read(&owner(Book::Live)).await
    }

    fn bodies(client: &StaticReplayClient) -> Vec<Value> {
        requests(client).iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    #[tokio::test]
    async fn an_entry_is_read_as_it_is_now() {
        let client = answers([(200, "{}")]);
        table(&client).await.read(&owner(Book::Live)).await.unwrap();
        assert_eq!(requests(&client)[0].0, "https://dynamodb.eu-west-1.amazonaws.com/");
        assert_eq!(
            bodies(&client),
            [json!({
                "TableName": "keynudge-ledger",
                "Key": {"pk": {"S": "owner#123456789012#AIDAAAAAAAAAAAAAAAAA"}, "sk": {"S": "ledger"}},
                "ConsistentRead": true
            })]
        );
    }

    #[tokio::test]
    async fn a_pilot_has_entries_of_its_own() {
        let client = answers([(200, "{}")]);
        table(&client).await.read(&owner(Book::Pilot)).await.unwrap();
        let pk = &bodies(&client)[0]["Key"]["pk"]["S"];
        assert_eq!(pk, "pilot#owner#123456789012#AIDAAAAAAAAAAAAAAAAA");
    }

    #[tokio::test]
    async fn an_owner_who_was_never_told_has_the_empty_entry() {
        assert_eq!(read(200, json!({})).await.unwrap(), Entry::default());
    }

    #[tokio::test]
    async fn what_was_written_is_read_again() {
        let client = answers([(200, "{}")]);
        table(&client).await.write(&owner(Book::Live), &entry()).await.unwrap();
        let written = bodies(&client).remove(0);
        assert_eq!(read(200, json!({"Item": written["Item"]})).await.unwrap(), entry());
    }

    #[tokio::test]
    async fn an_entry_has_the_attributes_people_read() {
        let client = answers([(200, "{}")]);
        table(&client).await.write(&owner(Book::Live), &entry()).await.unwrap();
        let item = &bodies(&client)[0]["Item"];
        let notice = |date: &str| {
            json!({"M": {
                "run_id": {"S": "2026-03-01T06:00:00Z"}, "as_of_date": {"S": date}, "stage": {"N": "1"},
                "key_ids": {"L": [{"S": "AKIAAAAAAAAAAAAAAAAA"}]}, "mailbox": {"S": "8c87b489ce35cf2e2f39f80e282cb2e8"}
            }})
        };
        let kept_until = (now().date_naive() + TimeDelta::days(7 + 414)).and_time(chrono::NaiveTime::MIN);
        assert_eq!(
            *item,
            json!({
                "pk": {"S": "owner#123456789012#AIDAAAAAAAAAAAAAAAAA"},
                "sk": {"S": "ledger"},
                "revision": {"N": "3"},
                "claim": {"M": {
                    "id": {"S": "second"}, "lease_until": {"S": "2026-03-01T06:01:00Z"},
                    "unknown_before": {"N": "0"}, "notice": notice("2026-03-08")
                }},
                "history": {"L": [{"M": {
                    "claim_id": {"S": "first"}, "sent_at": {"S": "2026-03-01T06:00:00Z"}, "notice": notice("2026-03-01")
                }}]},
                "takeovers": {"N": "0"},
                "not_reached": {"M": {"reason": {"S": "bounce"}, "at": {"S": "2026-03-01T06:00:00Z"}}},
                "expires_at": {"N": kept_until.and_utc().timestamp().to_string()}
            })
        );
    }

    #[tokio::test]
    async fn an_entry_is_written_only_as_the_next_revision() {
        let client = answers([(200, "{}"), (200, "{}")]);
        let table = table(&client).await;
        for revision in [1, 42] {
            table.write(&owner(Book::Live), &Entry { revision, ..entry() }).await.unwrap();
        }
        let [first, later] = bodies(&client).try_into().unwrap();
        assert_eq!(first["ConditionExpression"], "attribute_not_exists(pk)");
        assert_eq!(first["ExpressionAttributeValues"], Value::Null);
        assert_eq!(later["ConditionExpression"], "#revision = :previous");
        assert_eq!(later["ExpressionAttributeNames"], json!({"#revision": "revision"}));
        assert_eq!(later["ExpressionAttributeValues"], json!({":previous": {"N": "41"}}));
    }

    #[tokio::test]
    async fn a_write_that_comes_second_is_a_conflict() {
        let client = answers([REFUSED]);
        let error = table(&client).await.write(&owner(Book::Live), &entry()).await.unwrap_err();
        assert!(matches!(error, WriteFailed::Conflict), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_repeated_after_a_lost_answer_is_a_conflict_with_itself() {
        let client = answers([(500, r#"{"__type":"InternalServerError"}"#), REFUSED]);
        let error = table(&client).await.write(&owner(Book::Live), &entry()).await.unwrap_err();
        assert!(matches!(error, WriteFailed::Conflict), "{error:?}");
        assert_eq!(requests(&client).len(), 2);
    }

    #[tokio::test]
    async fn a_write_that_fails_otherwise_is_no_conflict() {
        let answer = (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}"#);
        let error = table(&answers([answer])).await.write(&owner(Book::Live), &entry()).await.unwrap_err();
        let WriteFailed::Call(error) = error else { panic!("{error:?}") };
        assert_eq!(format!("{error:?}"), "dynamodb:PutItem failed: ResourceNotFoundException (Operator)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_read_is_repeated_and_then_fails_as_throttled() {
        let throttled =
            (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#);
        let client = answers([throttled; 3]);
        let error = table(&client).await.read(&owner(Book::Live)).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry);
        assert_eq!(error.to_string(), "dynamodb:GetItem failed: ProvisionedThroughputExceededException");
        assert_eq!(requests(&client).len(), 3);
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_read_is_not_taken_for_none() {
        for item in [
            json!({}),
            json!({"revision": {"S": "jane@example.com"}}),
            json!({"revision": {"N": "1"}, "history": {"L": [{"M": {"mailed": {"S": "jane@example.com"}}}]}}),
            json!({"revision": {"N": "1"}, "claim": {"M": {"id": {"S": "jane@example.com"}}}}),
        ] {
            let error = read(200, json!({"Item": item})).await.unwrap_err();
            assert_eq!(format!("{error:?}"), "dynamodb:GetItem failed: unreadable entry (Operator)");
        }
    }

    #[tokio::test]
    async fn what_a_newer_version_adds_keeps_no_entry_from_being_read() {
        let item = json!({"revision": {"N": "1"}, "pk": {"S": "x"}, "later": {"BOOL": true}});
        assert_eq!(read(200, json!({"Item": item})).await.unwrap().revision, 1);
    }

    /// A run far ahead, so that its date alone decides how long its records are kept.
    fn run() -> Run {
        Run::at("2126-03-01T06:00:00Z".parse().unwrap(), Mode::DryRun)
    }

    fn account() -> AccountId {
        "123456789012".parse().unwrap()
    }

    #[tokio::test]
    async fn a_runs_first_start_is_kept_in_the_list_of_runs() {
        let client = answers([(200, "{}")]);
        table(&client).await.start(&run(), 20, now()).await.unwrap();
        let update = bodies(&client).remove(0);
        assert_eq!(update["TableName"], "keynudge-ledger");
        assert_eq!(update["Key"], json!({"pk": {"S": "runs"}, "sk": {"S": "2126-03-01T06:00:00Z-dry-run"}}));
        let expression = update["UpdateExpression"].as_str().unwrap();
        for name in ["as_of", "mode", "started_at", "accounts", "expires_at"] {
            assert!(
                expression.contains(&format!("#{name} = if_not_exists(#{name}, :{name})")),
                "{expression}"
            );
            assert_eq!(update["ExpressionAttributeNames"][format!("#{name}")], name);
        }
        assert!(expression.starts_with("SET #") && !expression.contains("ADD"), "{expression}");
        let kept_until = run().as_of + TimeDelta::days(400);
        assert_eq!(
            update["ExpressionAttributeValues"],
            json!({
                ":as_of": {"S": "2126-03-01T06:00:00Z"},
                ":mode": {"S": "dry_run"},
                ":started_at": {"S": "2026-03-01T06:00:00Z"},
                ":accounts": {"N": "20"},
                ":expires_at": {"N": kept_until.timestamp().to_string()}
            })
        );
    }

    #[tokio::test]
    async fn counts_are_set_whatever_they_were() {
        let client = answers([(200, "{}")]);
        let counts = Counts::from([("UsersListed", 5_000), ("UsersEnqueued", 4_000)]);
        table(&client).await.set(&run(), &account(), &counts).await.unwrap();
        let update = bodies(&client).remove(0);
        assert_eq!(
            update["Key"],
            json!({"pk": {"S": "run#2126-03-01T06:00:00Z-dry-run"}, "sk": {"S": "123456789012"}})
        );
        let expression = update["UpdateExpression"].as_str().unwrap();
        assert!(expression.ends_with(", #UsersEnqueued = :UsersEnqueued, #UsersListed = :UsersListed"));
        assert_eq!(update["ExpressionAttributeValues"][":UsersListed"], json!({"N": "5000"}));
        let names = ["UsersEnqueued", "UsersListed", "as_of", "expires_at", "mode"];
        let names: HashMap<String, &str> = names.into_iter().map(|name| (format!("#{name}"), name)).collect();
        assert_eq!(update["ExpressionAttributeNames"], json!(names));
    }

    #[tokio::test]
    async fn counts_are_added_to_what_is_there() {
        let client = answers([(200, "{}")]);
        let counts = Counts::from([("MailsSent", 3), ("Redeliveries", 1)]);
        table(&client).await.add(&run(), &account(), &counts).await.unwrap();
        let update = bodies(&client).remove(0);
        let expression = update["UpdateExpression"].as_str().unwrap();
        assert!(
            expression.starts_with("SET #") && expression.contains("#mode = if_not_exists(#mode, :mode)")
        );
        assert!(
            expression.ends_with(" ADD #MailsSent :MailsSent, #Redeliveries :Redeliveries"),
            "{expression}"
        );
        assert_eq!(update["ExpressionAttributeValues"][":MailsSent"], json!({"N": "3"}));
        assert_eq!(update["ExpressionAttributeNames"]["#MailsSent"], "MailsSent");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_added_is_added_once_and_what_is_set_is_tried_again() {
        let lost = (500, r#"{"__type":"InternalServerError"}"#);
        let counts = Counts::from([("MailsSent", 3)]);
        let client = answers([lost]);
        let error = table(&client).await.add(&run(), &account(), &counts).await.unwrap_err();
        assert_eq!(error.code, "InternalServerError");
        assert_eq!(requests(&client).len(), 1);
        let client = answers([lost, (200, "{}")]);
        table(&client).await.set(&run(), &account(), &counts).await.unwrap();
        assert_eq!(requests(&client).len(), 2);
    }

    #[tokio::test]
    async fn the_record_of_a_run_that_judges_the_past_is_kept_from_now_on() {
        let client = answers([(200, "{}")]);
        let past = Run::at("2020-01-01T00:00:00Z".parse().unwrap(), Mode::DryRun);
        table(&client).await.set(&past, &account(), &Counts::new()).await.unwrap();
        let update = bodies(&client).remove(0);
        let expires_at = update["ExpressionAttributeValues"][":expires_at"]["N"].as_str().unwrap();
        assert!(expires_at.parse::<i64>().unwrap() > (Utc::now() + TimeDelta::days(399)).timestamp());
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_kept_is_told() {
        let denied = (400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#);
        let table = table(&answers([denied])).await;
        let error = table.add(&run(), &account(), &Counts::from([("MailsSent", 1)])).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "dynamodb:UpdateItem failed: AccessDeniedException (Operator)");
    }

    #[tokio::test]
    async fn an_account_that_denies_its_role_is_asked_since_when() {
        let first = now() - TimeDelta::minutes(9);
        let item =
            json!({"Attributes": {"scan_denied_at": {"S": first.to_rfc3339()}, "UsersListed": {"N": "1"}}});
        let client = answers([(200, item.to_string()), (200, "{}".to_owned())]);
        let table = table(&client).await;
        let ask = async |role_use| table.first_denied(&run(), &account(), role_use, now()).await.unwrap();
        assert_eq!((ask(RoleUse::Scan).await, ask(RoleUse::Checks).await), (first, now()));
        let [scan, checks] = bodies(&client).try_into().unwrap();
        for (update, name) in [(scan, "scan_denied_at"), (checks, "checks_denied_at")] {
            assert_eq!(update["Key"]["sk"]["S"], "123456789012");
            let expression = update["UpdateExpression"].as_str().unwrap();
            assert!(
                expression.contains(&format!("#{name} = if_not_exists(#{name}, :{name})")),
                "{expression}"
            );
            assert_eq!(update["ExpressionAttributeValues"][format!(":{name}")]["S"], "2026-03-01T06:00:00Z");
            assert_eq!(update["ReturnValues"], "ALL_NEW");
        }
    }

    #[tokio::test]
    async fn a_denial_at_no_instant_is_told_and_not_taken_for_none() {
        let item = json!({"Attributes": {"scan_denied_at": {"S": "jane@example.com"}}});
        let table = table(&answers([(200, item.to_string())])).await;
        let error = table.first_denied(&run(), &account(), RoleUse::Scan, now()).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "dynamodb:UpdateItem failed: unreadable entry (Operator)");
    }

    fn listed(run_id: &str, mode: &str, started_at: &str) -> Value {
        json!({
            "pk": {"S": "runs"}, "sk": {"S": run_id}, "as_of": {"S": "2126-03-01T06:00:00Z"}, "mode": {"S": mode},
            "started_at": {"S": started_at}, "accounts": {"N": "20"}, "expires_at": {"N": "1"}
        })
    }

    #[tokio::test]
    async fn the_last_runs_are_those_started_last_whatever_they_judge_by() {
        let key = json!({"pk": {"S": "runs"}, "sk": {"S": "b"}});
        let first = json!({"LastEvaluatedKey": key, "Items": [
            listed("a", "live", "2026-03-02T06:00:00Z"), listed("b", "live", "2026-03-04T06:00:00Z"),
        ]});
        let second = json!({"Items": [listed("c-dry-run", "dry_run", "2026-03-03T06:00:00Z")]});
        let client = answers([(200, first.to_string()), (200, second.to_string())]);
        let runs = table(&client).await.last_runs(2).await.unwrap().runs;
        let ids: Vec<&str> = runs.iter().map(|run| run.run.run_id.as_str()).collect();
        assert_eq!(ids, ["b", "c-dry-run"]);
        assert_eq!((runs[1].run.mode, runs[1].accounts), (Mode::DryRun, 20));
        let [query, next] = bodies(&client).try_into().unwrap();
        assert_eq!(
            query,
            json!({
                "TableName": "keynudge-ledger", "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": "runs"}}, "ConsistentRead": true
            })
        );
        assert_eq!(next["ExclusiveStartKey"], key);
    }

    #[tokio::test]
    async fn a_mail_is_counted_for_its_account_in_its_run_and_for_its_day() {
        let attributes = r#"{"Attributes": {"mails_begun": {"N": "7"}, "mails_not_reached": {"N": "2"}}}"#;
        let client = answers([(200, attributes), (200, attributes)]);
        let day = now().date_naive();
        let counts = table(&client).await.begin_mail(&run(), &account(), day).await.unwrap();
        assert_eq!(counts, MailCounts { of_account: 7, today: 7, not_reached_today: 2 });
        let keys: BTreeSet<_> =
            bodies(&client).iter().map(|body| body["Key"]["pk"]["S"].to_string()).collect();
        let expected = [json!(format!("run#{}", run().run_id)), json!("run##mails")];
        assert_eq!(keys, expected.iter().map(ToString::to_string).collect());
    }

    #[tokio::test]
    async fn a_mail_that_only_one_item_counts_is_taken_back() {
        let refused = (400, r#"{"__type": "ValidationException"}"#);
        for answers_of in [[(200, "{}"), refused, (200, "{}")], [refused, (200, "{}"), (200, "{}")]] {
            let client = answers(answers_of);
            let day = now().date_naive();
            table(&client).await.begin_mail(&run(), &account(), day).await.unwrap_err();
            let asked = bodies(&client);
            let counted = &asked[usize::from(answers_of[0].0 != 200)];
            assert_eq!(asked.len(), 3);
            assert_eq!(asked[2]["Key"], counted["Key"]);
            assert_eq!(asked[2]["ExpressionAttributeValues"][":mails_begun"], json!({"N": "-1"}));
        }
    }

    #[tokio::test]
    async fn what_a_run_came_to_is_read_per_account_and_what_is_not_known_is_left_out() {
        let record = json!({
            "pk": {"S": "run#a"}, "sk": {"S": "123456789012"}, "mode": {"S": "live"}, "UsersListed": {"N": "5000"},
            "UsersForgotten": {"N": "7"}, "MailsSent": {"S": "many"}
        });
        let client = answers([(200, json!({"Items": [record]}).to_string())]);
        let records = table(&client).await.records(&"a".parse().unwrap()).await.unwrap();
        let counts = [(Metric::UsersListed, 5_000)].into();
        assert_eq!(records, [AccountRecord { account_id: account(), counts }]);
        assert_eq!(bodies(&client)[0]["ExpressionAttributeValues"], json!({":pk": {"S": "run#a"}}));
    }

    #[tokio::test]
    async fn a_run_that_cannot_be_read_is_told_and_hides_no_other() {
        let mut far = listed("+12026-03-01T06:00:00Z", "live", "2026-03-02T06:00:00Z");
        far["as_of"] = json!({"S": "+12026-03-01T06:00:00Z"});
        let items = [
            json!({"pk": {"S": "runs"}, "sk": {"S": "a"}}),
            far,
            listed("b", "live", "2026-03-04T06:00:00Z"),
        ];
        let client = answers([(200, json!({"Items": items}).to_string())]);
        let list = table(&client).await.last_runs(5).await.unwrap();
        assert_eq!((list.runs.len(), list.runs[0].run.run_id.as_str()), (1, "b"));
        assert_eq!(list.unreadable, 2);
    }
}
