//! Mails one owner per record.
//!
//! A record is done once SES took its mail. One that is delivered again after that is mailed again; what is
//! promised about mail beyond that is the ledger's to keep.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use keynudge_core::mail::{MailTemplates, Reminder};
use keynudge_core::messages::{Mode, StaleKeys};
use keynudge_core::ports::{DeadLetters, Envelope, Mailer};
use keynudge_lambda::clock::Clock;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Reason};
use lambda_runtime::Error;

use crate::config::Rules;

/// Mails of one batch that are sent at a time. One, since SES's rate is the account's and often small.
const MAILS_AT_A_TIME: usize = 1;

/// The notifier, over its ports.
pub(crate) struct Notifier<M, L> {
    pub(crate) mailer: M,
    pub(crate) dead_letters: L,
    pub(crate) templates: MailTemplates,
    pub(crate) rules: Rules,
    pub(crate) clock: Clock,
}

impl<M: Mailer, L: DeadLetters> Notifier<M, L> {
    /// Mails the owners of a batch. The answer tells SQS which records are not done.
    pub(crate) async fn handle(
        &self,
        event: SqsEvent,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<SqsBatchResponse, Error> {
        let findings = records::read(event, self.rules.as_of.limit(self.clock))?;
        let task = async |finding| self.notify(&finding, metrics).await;
        let told = records::work(findings, MAILS_AT_A_TIME, deadline, task).await;
        Ok(records::respond(told, &self.dead_letters, deadline, metrics, self.clock).await)
    }

    async fn notify(&self, finding: &StaleKeys, metrics: &Metrics) -> Result<(), Failure> {
        // The worker keeps to the allowed domains already. This guards a setting narrowed since, and a finding that
        // did not come from the worker.
        if !self.rules.allowed_domains.allow(&finding.recipient.to) {
            let detail = "recipient.to is outside ALLOWED_DOMAINS";
            return Err(Failure::GiveUp(Reason::new("recipient_not_allowed", detail)));
        }
        let reminder = Reminder::new(finding, &self.rules.reminder);
        let mail = self
            .templates
            .render(&reminder)
            .map_err(|error| Failure::GiveUp(Reason::new("template_failed", error.to_string())))?;
        if finding.run.mode == Mode::DryRun {
            metrics.count(Metric::MailsNotSentDryRun);
            records::log_outcome("not_sent_dry_run", finding);
            return Ok(());
        }
        let envelope = Envelope {
            to: self.rules.reminder.redirect_all_to.as_ref().unwrap_or(&finding.recipient.to),
            account_id: &finding.account_id,
            user_id: &finding.user.id,
        };
        if let Err(error) = self.mailer.send(&envelope, &mail).await {
            metrics.count(Metric::MailsFailed);
            return Err(error.into());
        }
        metrics.count(Metric::MailsSent);
        records::log_outcome("sent", finding);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use keynudge_core::contact::{AllowedDomains, ContactSource, Recipient};
    use keynudge_core::failure::FailureClass;
    use keynudge_core::keys::StaleKey;
    use keynudge_core::mail::{ReminderSettings, TemplateSources};
    use keynudge_core::messages::Run;
    use keynudge_lambda::vars::AsOfRule;
    use keynudge_testing::{
        ACCOUNT, CLOCK, MemoryDeadLetters, MemoryMailer, event, given_back, no_time, now, plenty_of_time,
        run, user,
    };

    use crate::templates;

    type TestNotifier = Notifier<MemoryMailer, MemoryDeadLetters>;

    fn notifier() -> TestNotifier {
        Notifier {
            mailer: MemoryMailer::default(),
            dead_letters: MemoryDeadLetters::default(),
            templates: templates::built_in(),
            rules: Rules {
                allowed_domains: AllowedDomains::new(["example.com".parse().unwrap()]),
                reminder: ReminderSettings {
                    alert_after_days: 90.try_into().unwrap(),
                    remind_every_days: 7.try_into().unwrap(),
                    support_contact: None,
                    redirect_all_to: None,
                },
                as_of: AsOfRule::NotAhead,
            },
            clock: CLOCK,
        }
    }

    fn finding(name: &str, to: &str, run: Run) -> String {
        let finding = StaleKeys {
            run,
            account_id: ACCOUNT.parse().unwrap(),
            user: user(name),
            recipient: Recipient { to: to.parse().unwrap(), found_by: ContactSource::Tag },
            keys: vec![StaleKey {
                id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
                created_at: now() - TimeDelta::days(100),
                age_days: 100,
                last_used: None,
                description: None,
            }],
            stage: 1,
            checked_at: now(),
        };
        serde_json::to_string(&finding).unwrap()
    }

    async fn handle(notifier: &TestNotifier, findings: &[String], metrics: &Metrics) -> SqsBatchResponse {
        notifier.handle(event(findings), plenty_of_time(), metrics).await.unwrap()
    }

    fn mailed(notifier: &TestNotifier) -> Vec<String> {
        notifier.mailer.take().iter().map(|(to, ..)| to.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn each_owner_gets_one_mail_with_their_keys() {
        let notifier = notifier();
        let metrics = Metrics::default();
        let findings = [finding("jane", "jane@example.com", run()), finding("joe", "joe@example.com", run())];
        assert_eq!(given_back(&handle(&notifier, &findings, &metrics).await), Vec::<&str>::new());
        let mails = notifier.mailer.take();
        let to: Vec<_> = mails.iter().map(|(to, id, _)| (to.as_str(), id.clone())).collect();
        let id = |name| user(name).id.to_string();
        assert_eq!(to, [("jane@example.com", id("jane")), ("joe@example.com", id("joe"))]);
        let mail = &mails[0].2;
        assert!(mail.subject.contains("jane") && mail.subject.contains(ACCOUNT), "{}", mail.subject);
        assert!(mail.text.contains("AKIAIOSFODNN7EXAMPLE") && mail.html.contains("AKIAIOSFODNN7EXAMPLE"));
        assert_eq!(metrics.get(Metric::MailsSent), 2);
    }

    #[tokio::test]
    async fn a_dry_run_renders_and_counts_and_mails_nobody() {
        let notifier = notifier();
        let metrics = Metrics::default();
        let finding = finding("jane", "jane@example.com", Run::at(now(), Mode::DryRun));
        assert_eq!(given_back(&handle(&notifier, &[finding], &metrics).await), Vec::<&str>::new());
        assert_eq!(mailed(&notifier), Vec::<String>::new());
        assert_eq!((metrics.get(Metric::MailsNotSentDryRun), metrics.get(Metric::MailsSent)), (1, 0));
    }

    #[tokio::test]
    async fn a_pilot_sends_every_mail_to_one_mailbox_and_says_so() {
        let mut notifier = notifier();
        notifier.rules.reminder.redirect_all_to = Some("pilot@example.org".parse().unwrap());
        handle(&notifier, &[finding("jane", "jane@example.com", run())], &Metrics::default()).await;
        let [(to, _, mail)] = notifier.mailer.take().try_into().ok().unwrap();
        assert_eq!(to.as_str(), "pilot@example.org");
        assert!(mail.text.contains("jane@example.com") && mail.html.contains("jane@example.com"));
    }

    #[tokio::test]
    async fn mail_that_failed_is_tried_again_and_the_others_are_sent() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|to| match to.as_str() {
            "busy@example.com" => Some(FailureClass::Retry),
            "unverified@example.com" => Some(FailureClass::Operator),
            "lost@example.com" => Some(FailureClass::Unknown),
            _ => None,
        });
        let metrics = Metrics::default();
        let names = ["busy", "jane", "unverified", "lost"];
        let findings = names.map(|name| finding(name, &format!("{name}@example.com"), run()));
        let response = handle(&notifier, &findings, &metrics).await;
        assert_eq!(given_back(&response), ["record-0", "record-2", "record-3"]);
        assert_eq!(mailed(&notifier), ["jane@example.com"]);
        assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::MailsFailed)), (1, 3));
    }

    #[tokio::test]
    async fn a_mail_that_ses_will_never_take_is_put_aside() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Never));
        let findings = [finding("jane", "jane@example.com", run())];
        let response = handle(&notifier, &findings, &Metrics::default()).await;
        assert_eq!(given_back(&response), Vec::<&str>::new());
        let [letter] = notifier.dead_letters.take().try_into().unwrap();
        assert_eq!((letter.reason, letter.body.as_str()), ("call_failed", findings[0].as_str()));
    }

    #[tokio::test]
    async fn no_mail_leaves_the_allowed_domains_whoever_asks_for_it() {
        let notifier = notifier();
        handle(&notifier, &[finding("jane", "jane@evil.test", run())], &Metrics::default()).await;
        assert_eq!(mailed(&notifier), Vec::<String>::new());
        assert_eq!(notifier.dead_letters.take()[0].reason, "recipient_not_allowed");
    }

    #[tokio::test]
    async fn a_template_that_fails_shows_in_a_dry_run() {
        let mut notifier = notifier();
        let broken = TemplateSources { subject: "{{ nothing.there }}", text: "", html: "" };
        notifier.templates = MailTemplates::new(broken).unwrap();
        let finding = finding("jane", "jane@example.com", Run::at(now(), Mode::DryRun));
        handle(&notifier, &[finding], &Metrics::default()).await;
        assert_eq!(notifier.dead_letters.take()[0].reason, "template_failed");
    }

    #[tokio::test]
    async fn a_live_run_ahead_of_the_clock_mails_nobody() {
        let notifier = notifier();
        let ahead = Run::at(now() + TimeDelta::days(30), Mode::Live);
        handle(&notifier, &[finding("jane", "jane@example.com", ahead)], &Metrics::default()).await;
        assert_eq!(mailed(&notifier), Vec::<String>::new());
        assert_eq!(notifier.dead_letters.take()[0].reason, "invalid_message");
    }

    #[tokio::test]
    async fn what_there_is_no_time_for_is_given_back() {
        let notifier = notifier();
        let event = event(&[finding("jane", "jane@example.com", run())]);
        let response = notifier.handle(event, no_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(mailed(&notifier), Vec::<String>::new());
    }
}
