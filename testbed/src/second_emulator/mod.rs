//! A second AWS emulator beside MiniStack: moto, as a child process. A mistake of one emulator shows only on
//! another.
//!
//! `second_emulator/serve.py` starts moto unchanged but for what it says itself. moto 5.2.5 lacks the
//! following, and the testbed makes up for it:
//!
//! * `CloudFormation` knows no transform, so `second_emulator/expand.py` expands the template first. It
//!   creates roles, queues, the table, functions, log groups and event source mappings. It skips the
//!   schedule, the alarms, `EventInvokeConfig`, the queue policy and the subscription to SES's topic;
//!   [`deploy`] subscribes.
//! * Lambda runs functions in containers and deletes whole batches. [`deploy`] disables the mappings, and
//!   [`crate::lambda_runtime`] feeds the functions.
//! * SES always has a quota of 200 mails a day and one a second, and has no tags, no configuration sets and
//!   no events. [`crate::simulated_ses`] stands in front of it for rate and events. The tests read mails from
//!   moto's own memory, so moto says what was sent. Of a mail's two bodies it keeps the HTML one.
//! * IAM creates users and keys now, and knows no sign-in: runs judge keys in the future.
//! * STS's `AssumeRole` does not check the role's trust policy. Its credentials do belong to the other
//!   account.
//! * moto knows an account by the access keys it created, and takes every other key for account 123456789012,
//!   which is Keynudge's account here. The testbed's own calls name their account in a header.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::aws::{Account, Client, REGION, SNS, SQS, http_client};
use crate::deployment::{Deployment, Parameters};
use crate::emulator::free_port;
use crate::functions::{Function, Packages};
use crate::launcher::Launched;
use crate::outbox::{Mail, Message};
use crate::run_directory::RunDirectory;
use crate::{Error, Result, venv};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/second_emulator");

/// How long it may take to answer. It takes some seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A port that was free a moment ago may be taken by the time moto binds it.
const START_ATTEMPTS: usize = 3;

/// The account that moto takes every key for that it does not know.
const HOME: &str = "123456789012";

/// A running moto. Dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    program: Launched,
    port: u16,
    run: RunDirectory,
}

impl Moto {
    /// Starts it and waits until it answers. `report` gets the steps that take time.
    ///
    /// # Errors
    ///
    /// [`Error::Emulator`] if it does not come up, and whatever [`venv::python`] says.
    pub async fn start(report: &impl Fn(&str)) -> Result<Self> {
        let python = venv::python(venv::SECOND_EMULATOR, report).await?;
        let mut attempt = 1;
        loop {
            let mut moto = Self::spawn(&python)?;
            match moto.wait_until_it_answers().await {
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                started => return started.map(|()| moto),
            }
        }
    }

    fn spawn(python: &Path) -> Result<Self> {
        let port = free_port(0)?;
        let run = RunDirectory::create(&format!("moto-{port}"))?;
        let program = [format!("{FOLDER}/serve.py"), port.to_string()];
        let program = Launched::start(python, &program.each_ref().map(AsRef::as_ref), &[], &run)?;
        Ok(Self { program, port, run })
    }

    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let http = http_client();
        let address = format!("{}/moto-api/data.json", self.endpoint());
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.program.has_ended() {
                return Err(self.failed("ended at its start"));
            }
            if http.get(&address).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(self.failed("did not answer in time"))
    }

    fn failed(&self, what: &str) -> Error {
        Error::Emulator { what: what.to_owned(), log: self.run.log(), tail: self.run.log_tail() }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// A client for the account that the functions are in.
    #[must_use]
    pub fn home(&self) -> Client {
        self.client(HOME.parse().unwrap_or_else(|_| Account::nth(1)))
    }

    /// A client for any account.
    #[must_use]
    pub fn client(&self, account: Account) -> Client {
        Client::new(self.endpoint(), account)
    }
}

/// Deploys the template into the client's account without feeding the functions yet, and subscribes the
/// feedback queue to the topic of SES's events.
///
/// # Errors
///
/// [`Error::Template`] if the template cannot be expanded, [`Error::Stack`] if it cannot be deployed, and
/// whatever a call may answer.
pub async fn deploy(
    aws: Client,
    packages: &Packages,
    parameters: &Parameters,
    events_topic_arn: &str,
) -> Result<Deployment> {
    let expand = async |template: String| expand(&template, parameters).await;
    let deployment = Deployment::create_expanded(aws, packages, parameters, expand).await?;
    for function in Function::ALL {
        deployment.set_fed(function, false).await?;
    }
    let queue_url = &deployment.outputs.feedback_queue_url;
    let request = json!({ "QueueUrl": queue_url, "AttributeNames": ["QueueArn"] });
    let answer = deployment.aws.json(SQS, "GetQueueAttributes", &request).await?;
    let queue_arn = answer["Attributes"]["QueueArn"].as_str().unwrap_or_default();
    let subscription = [
        ("TopicArn", events_topic_arn),
        ("Protocol", "sqs"),
        ("Endpoint", queue_arn),
        ("Attributes.entry.1.key", "RawMessageDelivery"),
        ("Attributes.entry.1.value", "true"),
    ];
    let _: IgnoredAny = deployment.aws.query(SNS, "Subscribe", &subscription).await?;
    Ok(deployment)
}

/// Makes a topic for SES's events. Returns its ARN.
///
/// # Errors
///
/// Whatever the call to SNS answers.
pub async fn create_events_topic(aws: &Client) -> Result<String> {
    let named = [("Name", "keynudge-ses-events")];
    let response: CreateTopicResponse = aws.query(SNS, "CreateTopic", &named).await?;
    Ok(response.result.topic_arn)
}

#[derive(Deserialize)]
struct CreateTopicResponse {
    #[serde(rename = "CreateTopicResult")]
    result: CreateTopicResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateTopicResult {
    topic_arn: String,
}

/// The template as the transform leaves it.
async fn expand(template: &str, parameters: &Parameters) -> Result<String> {
    let problem = |problem: String| Error::Template { template: "infra/template.yaml".into(), problem };
    let python = venv::python(venv::SECOND_EMULATOR, &|_| ()).await?;
    let mut expand = Command::new(&python);
    expand
        .arg(format!("{FOLDER}/expand.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_DEFAULT_REGION", REGION)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut expand = expand.spawn().map_err(Error::file("starting", &python))?;
    let parameters: BTreeMap<&str, &str> = parameters.iter().collect();
    let request = json!({ "template": template, "parameters": parameters }).to_string();
    if let Some(mut stdin) = expand.stdin.take() {
        stdin.write_all(request.as_bytes()).await.map_err(Error::file("writing to", &python))?;
    }
    let output = expand.wait_with_output().await.map_err(Error::file("waiting for", &python))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| problem(error.to_string()))
    } else {
        Err(problem(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Every mail that moto's SES has taken, in its order. Of each it kept one body, which stands for both.
///
/// # Errors
///
/// [`Error::NoAnswer`] or [`Error::Unreadable`].
pub async fn mails(aws: &Client) -> Result<Vec<Mail>> {
    let call = || "mails".to_owned();
    let answer = http_client().get(format!("{}/_testbed/mails", aws.endpoint())).send().await;
    let text = match answer {
        Ok(answer) => answer.text().await,
        Err(error) => Err(error),
    };
    let text = text.map_err(|source| Error::NoAnswer { call: call(), source })?;
    let unreadable = |error: serde_json::Error| Error::Unreadable { call: call(), detail: error.to_string() };
    let kept: Vec<Kept> = serde_json::from_str(&text).map_err(unreadable)?;
    Ok(kept.into_iter().map(Mail::from).collect())
}

/// A mail as moto shows it.
#[derive(Deserialize)]
struct Kept {
    source: String,
    subject: String,
    body: String,
    destinations: BTreeMap<String, Vec<String>>,
}

impl From<Kept> for Mail {
    fn from(Kept { source, subject, body, destinations }: Kept) -> Self {
        let to = destinations.into_iter().flat_map(|(kind, addresses)| {
            addresses.into_iter().map(move |address| match &*kind {
                "ToAddresses" => address,
                "CcAddresses" => format!("cc:{address}"),
                _ => format!("bcc:{address}"),
            })
        });
        Self { source, to: to.collect(), subject, text: body.clone(), html: Some(body) }
    }
}

/// Takes all messages out of a queue, as an operator could.
///
/// # Errors
///
/// Whatever the calls to SQS answer.
pub async fn take_messages(aws: &Client, queue_url: &str) -> Result<Vec<Message>> {
    let request = json!({
        "QueueUrl": queue_url,
        "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 3600,
        "MessageAttributeNames": ["All"],
    });
    let mut messages = Vec::new();
    loop {
        let answer = aws.json(SQS, "ReceiveMessage", &request).await?;
        let received = answer["Messages"].as_array().map_or(&[][..], Vec::as_slice);
        if received.is_empty() {
            return Ok(messages);
        }
        messages.extend(received.iter().map(|message| Message {
            body: message["Body"].as_str().unwrap_or_default().to_owned(),
            message_attributes:
                serde_json::from_value(message["MessageAttributes"].clone()).unwrap_or_default(),
            is_visible: true,
            receive_count: 1,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_include_copies() {
        let kept = json!({
            "id": "1",
            "source": "keynudge@corp.example",
            "subject": "Rotate",
            "body": "<p>Your keys.</p>",
            "destinations": { "ToAddresses": ["ada@corp.example"], "CcAddresses": ["bob@corp.example"] },
        });
        let mail = Mail::from(serde_json::from_value::<Kept>(kept).unwrap());
        let mut to = mail.to;
        to.sort_unstable();
        assert_eq!(to, ["ada@corp.example", "cc:bob@corp.example"]);
    }
}
