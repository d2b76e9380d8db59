//! `keynudge preview` as its user sees it: made-up mails with nothing but the program, mails about real users on the
//! simulated IAM, and tests that go through the emulator's SES.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chrono::{DateTime, Utc};
use keynudge_testbed::aws::{CLOUDFORMATION, Client, PUT_ACCOUNT_DETAILS, SES};
use keynudge_testbed::browser::{LOOKS, Look, Page};
use keynudge_testbed::outbox::{Mail, mails};
use keynudge_testbed::simulated_iam::account::Settings;
use keynudge_testbed::simulated_iam::directory::{AccessKey, LastUse, Tag, User};
use keynudge_testbed::simulated_iam::{Options, SimulatedIam};
use serde::de::IgnoredAny;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{emulator, eventually, fresh_account, keynudge, stderr, stdout};

const AS_OF: &str = "2026-03-01";

/// The program without credentials, and without any AWS that could be asked.
fn offline(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keynudge"));
    command.arg("preview").args(arguments).env_clear().env("HOME", directory).current_dir(directory);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn preview(arguments: &[&str]) -> Output {
    let directory = TempDir::new().unwrap();
    offline(directory.path(), arguments).output().unwrap()
}

#[test]
fn a_made_up_mail_needs_no_aws_and_is_whole() {
    let output = preview(&[
        "--as-of",
        AS_OF,
        "--sender",
        "keys@example.com",
        "--reply-to",
        "help@example.com",
        "--organization-name",
        "Example Corp",
        "--policy-link",
        "https://example.com/keys",
    ]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let shown = stdout(&output);
    let header = "From: keys@example.com\nTo: jane.doe@example.com\nReply-To: help@example.com\n\
                  Subject: 1 AWS access key of jane.doe in account 111122223333 is older than 90 days\n\nHello,\n";
    assert!(shown.starts_with(header), "{shown}");
    for words in [
        "    Created:      4 March 2025, 362 days ago\n",
        "\nTHE POLICY    https://example.com/keys\n",
        "\nKeynudge wrote this mail.\nExample Corp runs it",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
}

/// Good practice for whole pages. A mail program shows a mail within a page of its own.
const OF_WHOLE_PAGES: [&str; 2] = ["(axe: landmark-one-main)", "(axe: region)"];

/// Wide and narrow, light and dark. A mail has none of the rules of a page of ours: it is laid out by tables.
#[test]
fn axe_finds_nothing_wrong_with_any_mail() {
    let directory = TempDir::new().unwrap();
    let list = stdout(&preview(&["--list-made-up"]));
    let mut browser: Option<Page> = None;
    for kind in list.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
        let file = directory.path().join(format!("{kind}.html"));
        let output = preview(&["--made-up", kind, "--html", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", stderr(&output));
        let page = match &mut browser {
            Some(page) => {
                page.turn_to(&file).unwrap();
                page
            }
            None => browser.insert(Page::open(&file).unwrap_or_else(|error| panic!("{error}"))),
        };
        for (screen, look) in LOOKS.into_iter().filter(|(_, look)| *look != Look::Print) {
            page.show(screen, look).unwrap();
            let mut violations = page.violations().unwrap();
            violations.retain(|violation| !OF_WHOLE_PAGES.iter().any(|rule| violation.contains(rule)));
            assert_eq!(violations, [""; 0], "{kind}, {screen:?}, {look:?}");
        }
    }
}

#[test]
fn every_made_up_mail_that_is_listed_can_be_shown() {
    let list = stdout(&preview(&["--list-made-up"]));
    let kinds: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(kinds.len() > 10, "{list}");
    for kind in kinds {
        let output = preview(&["--made-up", kind]);
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", stderr(&output));
    }
    let output = preview(&["--made-up", "two-key"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("[possible values: one-key, two-keys, "), "{message}");
    assert!(message.contains("'two-keys'"), "what was meant: {message}");

    let pilot = stdout(&preview(&["--made-up", "pilot", "--redirect-all-to", "me@example.org"]));
    assert!(pilot.contains("To: me@example.org\nSubject: [Pilot] "), "{pilot}");
}

#[test]
fn the_html_is_written_or_opened_and_the_text_is_left_out() {
    let directory = TempDir::new().unwrap();
    let output = offline(directory.path(), &["--html", "mail.html"]).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
    let html = fs::read_to_string(directory.path().join("mail.html")).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("AKIAIOSFODNN7EXAMPLE"));

    let output = offline(directory.path(), &["--html", "mail.html", "--open", "--text"]).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("no display") && said.contains("/mail.html"), "{said}");
    assert!(stdout(&output).starts_with("From: "), "{}", stdout(&output));
}

#[tokio::test]
async fn the_browser_is_given_the_html() {
    let directory = TempDir::new().unwrap();
    let browser = directory.path().join("browser");
    fs::write(&browser, "#!/bin/sh\ncp \"$1\" opened.html.part && mv opened.html.part opened.html\n")
        .unwrap();
    executable(&browser);
    let mut command = offline(directory.path(), &["--open"]);
    command.env("BROWSER", &browser).env("TMPDIR", directory.path()).env("PATH", "/usr/bin:/bin");
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""), "{}", stderr(&output));
    let opened = directory.path().join("opened.html");
    eventually("the browser has opened it", async || opened.exists()).await;
    assert!(fs::read_to_string(opened).unwrap().contains("AKIAIOSFODNN7EXAMPLE"));
}

/// They name a person and their keys, and a browser needs them for longer than the tool runs.
#[test]
fn a_preview_that_is_opened_leaves_no_earlier_one_behind() {
    let directory = TempDir::new().unwrap();
    let other = directory.path().join("another.html");
    fs::write(&other, "").unwrap();
    for _ in 0..2 {
        let output = offline(directory.path(), &["--open"]).env("TMPDIR", directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let previews = files.filter(|name| name.to_string_lossy().starts_with("keynudge-preview-"));
    assert_eq!((previews.count(), other.exists()), (1, true));
}

fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn own_templates_are_written_changed_and_shown() {
    let directory = TempDir::new().unwrap();
    let run = |arguments: &[&str]| offline(directory.path(), arguments).output().unwrap();
    let output = run(&["--write-templates", "keynudge"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = "keynudge/reminder.subject.txt\nkeynudge/reminder.body.txt\nkeynudge/reminder.body.html\n";
    assert_eq!(stdout(&output), files);

    let usual = stdout(&run(&["--as-of", AS_OF]));
    let own = run(&["--as-of", AS_OF, "--templates", "keynudge"]);
    assert_eq!((own.status.code(), stdout(&own)), (Some(0), usual));
    assert!(stderr(&own).starts_with("Nothing is wrong with "), "{}", stderr(&own));

    fs::write(
        directory.path().join("keynudge/reminder.subject.txt"),
        "Schlüssel vom {{ keys[0].created_on | date(\"%d.%m.%Y\") }}",
    )
    .unwrap();
    let own = stdout(&run(&["--as-of", AS_OF, "--templates", "keynudge"]));
    assert!(own.contains("Subject: Schlüssel vom 04.03.2025\n"), "{own}");

    let again = run(&["--write-templates", "keynudge"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("is there already, and nothing was written"), "{}", stderr(&again));
    let subject = fs::read_to_string(directory.path().join("keynudge/reminder.subject.txt")).unwrap();
    assert!(subject.starts_with("Schlüssel"), "{subject}");
}

#[test]
fn whatever_is_wrong_with_templates_is_told_at_once_with_its_place() {
    let directory = TempDir::new().unwrap();
    let keynudge = directory.path().join("keynudge");
    fs::create_dir(&keynudge).unwrap();
    fs::write(keynudge.join("reminder.subject.txt"), "{{ key_count | date(\"%Q\") }}").unwrap();
    fs::write(
        keynudge.join("reminder.body.txt"),
        "a\n{{ key_cuont }}\n{% if redirected_from %}{{ nobody }}{% endif %}",
    )
    .unwrap();
    fs::write(keynudge.join("reminder.boddy.html"), "<p>").unwrap();
    let output = offline(directory.path(), &["--templates", "keynudge"]).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let said = stderr(&output);
    for problem in [
        "keynudge/reminder.boddy.html: nobody reads this file",
        "keynudge/reminder.subject.txt:1: invalid operation",
        "keynudge/reminder.body.txt:2: undefined value (tried on one-key)\n    {{ key_cuont }}\n",
    ] {
        assert!(said.contains(problem), "{said}");
    }

    fs::remove_dir_all(&keynudge).unwrap();
    let output = offline(directory.path(), &["--templates", "keynudge"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("keynudge: the directory cannot be read: "), "{}", stderr(&output));
}

#[test]
fn a_file_beside_the_templates_is_remarked_and_keeps_nobody_from_a_mail() {
    let directory = TempDir::new().unwrap();
    for (name, text) in [("README", "Ours."), ("reminder.subject.txt", "Our words")] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let output = offline(directory.path(), &["--templates", "."]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Subject: Our words\n"), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(said.contains("README: nobody reads this file") && said.contains("Nothing is wrong"), "{said}");
}

/// The program must refuse what the notifier refuses, which has a template engine of its own with fewer features.
#[test]
fn templates_that_include_others_are_refused() {
    let others = ["{% include \"subject\" %}", "{% extends \"text\" %}", "{% block a %}b{% endblock %}"];
    for other in others.into_iter().chain(["{% import \"html\" as html %}"]) {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("reminder.body.txt"), other).unwrap();
        let output = offline(directory.path(), &["--templates", "."]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{other}");
        assert!(stderr(&output).contains("reminder.body.txt:1: syntax error"), "{}", stderr(&output));
    }
}

#[test]
fn a_user_or_a_stack_needs_credentials_and_the_error_says_so() {
    for arguments in [&["jane", "--region", "eu-west-1"][..], &["--from-stack", "--region", "eu-west-1"]] {
        let output = preview(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("no AWS credentials"), "{}", stderr(&output));
    }
}

/// An account on the emulator, whose users are on the simulated IAM.
struct World {
    aws: Client,
    iam: SimulatedIam,
    directory: TempDir,
}

impl World {
    async fn new(users: Vec<User>) -> Self {
        let aws = Client::new(emulator().await.endpoint(), fresh_account());
        let iam = SimulatedIam::start(&Options::default()).unwrap();
        iam.set_users(aws.account(), users);
        Self { aws, iam, directory: TempDir::new().unwrap() }
    }

    fn preview(&self, arguments: &[&str]) -> Output {
        let mut command = keynudge(self.aws.account(), self.directory.path(), &["preview"]);
        command.args(arguments);
        command.env("AWS_ENDPOINT_URL", self.aws.endpoint()).env("AWS_ENDPOINT_URL_IAM", self.iam.endpoint());
        command.output().unwrap()
    }

    /// Deploys a stack that has parameters, and little else.
    async fn deploy(&self, parameters: &[(&str, &str)]) {
        let declared = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!({"Type": "String", "Default": value})));
        let template = json!({
            "Parameters": declared.collect::<serde_json::Map<_, _>>(),
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}
        });
        let request = [("StackName", "keynudge"), ("TemplateBody", &*template.to_string())];
        let _: IgnoredAny = self.aws.query(CLOUDFORMATION, "CreateStack", &request).await.unwrap();
        let name = [("StackName", "keynudge")];
        eventually("the stack is there", async || {
            self.aws.query::<IgnoredAny>(CLOUDFORMATION, "DescribeStacks", &name).await.is_ok()
        })
        .await;
    }

    async fn verify(&self, address: &str) {
        let identity = [("EmailAddress", address)];
        let _: IgnoredAny = self.aws.query(SES, "VerifyEmailIdentity", &identity).await.unwrap();
    }

    async fn mails(&self) -> Vec<Mail> {
        mails(&self.aws).await.unwrap()
    }
}

fn day(text: &str) -> DateTime<Utc> {
    format!("{text}T12:00:00Z").parse().unwrap()
}

/// Jane, whose one key was made on 1 November 2025 and last used for S3.
fn jane(tags: &[(&str, &str)]) -> User {
    User {
        name: "jane".to_owned(),
        path: "/people/".to_owned(),
        id: "AIDACKCEVSQ6C2EXAMPLE".to_owned(),
        created_at: day("2025-01-01"),
        password_last_used: Some(day("2026-01-01")),
        password_deleted: false,
        tags: tags
            .iter()
            .map(|(key, value)| Tag { key: (*key).to_owned(), value: (*value).to_owned() })
            .collect(),
        keys: vec![AccessKey {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            active: true,
            created_at: day("2025-11-01"),
            last_used: Some(LastUse {
                at: day("2026-02-01"),
                region: "eu-west-1".to_owned(),
                service: "s3".to_owned(),
            }),
        }],
    }
}

const CONTACT: (&str, &str) = ("keynudge:contact", "jane@example.com");

#[tokio::test]
async fn the_mail_about_a_real_user_says_what_iam_says() {
    let tags = [CONTACT, ("AKIAIOSFODNN7EXAMPLE", "my laptop")];
    let world = World::new(vec![jane(&tags)]).await;
    world.iam.set_account(
        world.aws.account(),
        Settings { alias: Some("payments".to_owned()), ..Settings::default() },
    );
    let output = world.preview(&["jane", "--as-of", AS_OF]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let shown = stdout(&output);
    for words in [
        "To: jane@example.com\n",
        &format!(
            "Subject: 1 AWS access key of jane in account {} (payments) is older than 90 days\n",
            world.aws.account()
        ),
        "    Created:      1 November 2025, 120 days ago\n",
        "    Last used:    1 February 2026, s3 in eu-west-1\n",
        "    Description:  my laptop\n",
        "a tag of the IAM user\njane names your address.\n",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[tokio::test]
async fn a_user_without_a_stale_key_gets_no_mail_and_is_told_until_when() {
    let world = World::new(vec![jane(&[CONTACT])]).await;
    let output = world.preview(&["jane", "--as-of", "2026-01-20"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let said = "No mail: jane has no stale key. The oldest, AKIAIOSFODNN7EXAMPLE, is 80 days old, and stale from \
                2026-01-30 on, at 90 days. --as-of 2026-01-30 shows the mail of that day.\n";
    assert_eq!(stderr(&output), said);
    assert_eq!(world.preview(&["jane", "--as-of", "2026-01-30"]).status.code(), Some(0));
    assert_eq!(world.preview(&["jane", "--as-of", "2026-01-29"]).status.code(), Some(1));
    assert_eq!(world.preview(&["jane", "--as-of", "2026-01-20", "--days", "80"]).status.code(), Some(0));

    let output = world.preview(&["joe"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("There is no IAM user joe in this account"), "{}", stderr(&output));
}

#[tokio::test]
async fn what_would_keep_a_run_from_telling_an_owner_is_said() {
    let service =
        User { password_last_used: None, ..jane(&[CONTACT, ("keynudge:exempt-until", "2026-05-01")]) };
    let world = World::new(vec![service]).await;
    let output = world.preview(&["jane", "--as-of", AS_OF]);
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(said.contains("never signed in") && said.contains("is exempt until 2026-05-01"), "{said}");
    let output = world.preview(&["jane", "--as-of", "2027-01-01", "--audience", "all"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let output =
        world.preview(&["jane", "--as-of", "2027-01-01", "--audience", "all", "--path-prefix", "/ci/"]);
    assert!(stderr(&output).contains("is under the path /people/"), "{}", stderr(&output));

    let output = world.preview(&["jane", "--as-of", AS_OF, "--allowed-domains", "example.org"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let said = stderr(&output);
    assert!(said.contains("never signed in") && said.contains("is exempt until 2026-05-01"), "{said}");
    assert!(said.contains("passed over") && said.contains("no address is known for jane"), "{said}");
}

#[tokio::test]
async fn a_stack_s_settings_are_those_of_its_mails() {
    let world = World::new(vec![jane(&[CONTACT])]).await;
    world
        .deploy(&[
            ("Sender", "keys@example.com"),
            ("ReplyTo", "help@example.com"),
            ("OrganizationName", "Example Corp"),
            ("PolicyLink", "https://example.com/keys"),
            ("SupportContact", ""),
            ("AlertAfterDays", "30"),
            ("RedirectAllTo", "pilot@example.com"),
        ])
        .await;
    let output = world.preview(&["jane", "--as-of", AS_OF, "--from-stack", "--support-contact", "#keys"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let shown = stdout(&output);
    for words in [
        "From: keys@example.com\nTo: pilot@example.com\nReply-To: help@example.com\nSubject: [Pilot] ",
        "older than 30 days",
        "QUESTIONS?    #keys\nTHE POLICY    https://example.com/keys\n",
        "Example Corp runs it",
        "would have gone to jane@example.com",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

/// A template may word a mail by its stage, as a run reckons it.
#[tokio::test]
async fn a_stack_s_stages_are_those_of_its_mails() {
    let world = World::new(vec![jane(&[CONTACT])]).await;
    world.deploy(&[("Sender", "keys@example.com"), ("StagesAfterDays", "90,120,150")]).await;
    let subject = "Stage {{ stage }}: {{ keys[0].age_days }} days";
    fs::write(world.directory.path().join("reminder.subject.txt"), subject).unwrap();
    let directory = world.directory.path().to_str().unwrap();
    let subject = |arguments: &[&str]| {
        let common = ["jane", "--as-of", "2028-09-30", "--audience", "all", "--templates", directory];
        let output = world.preview(&[&common[..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let shown = stdout(&output);
        shown.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
    };
    assert_eq!(subject(&["--from-stack"]), "Stage 3: 1064 days");
    assert_eq!(subject(&["--from-stack", "--stages-after-days", "90,2000"]), "Stage 1: 1064 days");
    assert_eq!(subject(&["--from-stack", "--days", "200"]), "Stage 1: 1064 days");
    assert_eq!(subject(&["--stages-after-days", "90,180,365,730"]), "Stage 4: 1064 days");
    assert_eq!(subject(&[]), "Stage 1: 1064 days");
}

#[tokio::test]
async fn a_test_mail_is_the_mail_that_was_shown() {
    let world = World::new(vec![jane(&[CONTACT])]).await;
    world.verify("keys@example.com").await;
    let arguments =
        ["jane", "--as-of", AS_OF, "--sender", "keys@example.com", "--send-test-to", "me@example.org"];
    let output = world.preview(&arguments);
    assert_eq!(output.status.code(), Some(2), "nobody is there to ask");
    assert!(stderr(&output).contains("add --yes") && world.mails().await.is_empty(), "{}", stderr(&output));

    let output = world.preview(&[&arguments[..], &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "SES took the mail to me@example.org.\n");
    let [mail] = world.mails().await.try_into().unwrap_or_else(|_| panic!("not one mail"));
    assert_eq!((mail.source.as_str(), mail.to), ("keys@example.com", vec!["me@example.org".to_owned()]));
    let subject = mail.subject.strip_prefix("[Test] ").unwrap();
    let shown = stdout(&output);
    assert!(shown.contains(&format!("Subject: {subject}\n")) && shown.ends_with(&mail.text), "{shown}");
    assert!(mail.html.unwrap().contains("AKIAIOSFODNN7EXAMPLE"));
}

#[tokio::test]
async fn what_ses_refuses_comes_with_what_to_do() {
    let world = World::new(Vec::new()).await;
    let send = |more: &[&str]| {
        let arguments = ["--send-test-to", "me@example.org", "--yes", "--sender", "keys@example.com"];
        let output = world.preview(&[&arguments[..], more].concat());
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    let said = send(&[]);
    assert!(said.contains("does not know the sender keys@example.com"), "{said}");
    assert!(said.contains("--email-identity keys@example.com") && said.contains("us-east-1"), "{said}");
    world.verify("keys@example.com").await;
    let said = send(&["--configuration-set", "keynudge"]);
    assert!(said.contains("no configuration set \"keynudge\""), "{said}");
    let sandbox = json!({"ProductionAccessEnabled": false, "MailType": "TRANSACTIONAL", "WebsiteURL": "https://example.com"});
    world.aws.rest(PUT_ACCOUNT_DETAILS, "/v2/email/account/details", Some(&sandbox)).await.unwrap();
    let said = send(&[]);
    assert!(said.contains("in its sandbox") && said.contains("verify me@example.org"), "{said}");
    let output = world.preview(&["--send-test-to", "me@example.org", "--yes"]);
    assert!(stderr(&output).contains("Give --sender, or --from-stack"), "{}", stderr(&output));
    assert!(world.mails().await.is_empty());
}
