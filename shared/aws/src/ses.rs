//! SES: the reminders themselves, and how many may be sent.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_ses::Client;
use aws_sdk_ses::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_ses::operation::send_email::SendEmailError;
use aws_sdk_ses::types::{Body, Content, Destination, Message, MessageTag};
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::EmailAddress;
use keynudge_core::mail::Mail;
use keynudge_core::ports::{Envelope, Mailer, SendQuota, SendQuotas};

use crate::failure::{call_failed, not_built, unrepeatable_call_failed};

const SEND: &str = "ses:SendEmail";

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The region of SES; `None` is that of the configuration.
    pub region: Option<String>,
    /// Who mails come from.
    pub sender: EmailAddress,
    /// Where an answer goes to that somebody writes; `None` is the sender.
    pub reply_to: Option<EmailAddress>,
    /// SES's configuration set.
    pub configuration_set: Option<String>,
}

/// Sends through the SES of one region, as one sender.
#[derive(Debug, Clone)]
pub struct SesMailer {
    /// Never repeats a call by itself: SES has no idempotency token, so a repetition after a lost answer could mail an
    /// owner twice.
    once: Client,
    /// Repeats calls as every client does.
    repeating: Client,
    sending: Sending,
}

impl SesMailer {
    /// Mails as `sending` says; SES has `attempt_timeout` to take one.
    #[must_use]
    pub fn new(config: &SdkConfig, sending: Sending, attempt_timeout: Duration) -> Self {
        let mut config = aws_sdk_ses::config::Builder::from(config);
        if let Some(region) = sending.region.clone() {
            config = config.region(Region::new(region));
        }
        let timeouts = TimeoutConfig::builder()
            // Well before the attempt's: a connection that is not made proves that nothing was sent.
            .connect_timeout(attempt_timeout / 2)
            .operation_attempt_timeout(attempt_timeout)
            .operation_timeout(attempt_timeout)
            .build();
        let once = config.clone().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        Self { once: Client::from_conf(once.build()), repeating: Client::from_conf(config.build()), sending }
    }

    /// Sends a mail that is nobody's reminder: without tags, so that whatever SES says of it concerns no owner.
    pub async fn send_test(&self, to: &EmailAddress, mail: &Mail) -> Result<(), CallFailed> {
        self.send_tagged(to, mail, None).await
    }

    async fn send_tagged(
        &self,
        to: &EmailAddress,
        mail: &Mail,
        tags: Option<Vec<MessageTag>>,
    ) -> Result<(), CallFailed> {
        let sending = &self.sending;
        let message = message(mail).map_err(|error| not_built(SEND, error))?;
        let reply_to = sending.reply_to.as_ref().map(|address| vec![address.as_str().to_owned()]);
        // `ses:Recipients` in a policy tells upper case from lower case.
        let to = to.with_domain_in_lower_case();
        self.once
            .send_email()
            .source(sending.sender.as_str())
            .set_reply_to_addresses(reply_to)
            .destination(Destination::builder().to_addresses(to.as_str()).build())
            .message(message)
            .set_configuration_set_name(sending.configuration_set.clone())
            .set_tags(tags)
            .send()
            .await
            .map(drop)
            .map_err(|error| unrepeatable_call_failed(SEND, error))
    }
}

/// What SES says of a mail that it did not take, in its own words. They may quote addresses.
#[must_use]
pub fn words_of(refusal: &CallFailed) -> Option<&str> {
    let error = refusal.source.as_deref()?.downcast_ref::<SdkError<SendEmailError>>()?;
    error.message()
}

impl Mailer for SesMailer {
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed> {
        let tags = tags(envelope).map_err(|error| not_built(SEND, error))?;
        self.send_tagged(envelope.to, mail, Some(tags)).await
    }
}

impl SendQuotas for SesMailer {
    async fn send_quota(&self) -> Result<SendQuota, CallFailed> {
        let quota = self.repeating.get_send_quota().send().await;
        let quota = quota.map_err(|error| call_failed("ses:GetSendQuota", error))?;
        let left = |max: f64| whole(max - quota.sent_last24_hours);
        Ok(SendQuota {
            per_second: limit(quota.max_send_rate),
            per_day: limit(quota.max24_hour_send).map(whole),
            left_today: limit(quota.max24_hour_send).map(left),
        })
    }
}

fn message(mail: &Mail) -> Result<Message, BuildError> {
    let content = |data: &str| Content::builder().data(data).charset("UTF-8").build();
    let body = Body::builder().text(content(&mail.text)?).html(content(&mail.html)?).build();
    Ok(Message::builder().subject(content(&mail.subject)?).body(body).build())
}

/// By which SES's events are told apart.
fn tags(envelope: &Envelope<'_>) -> Result<Vec<MessageTag>, BuildError> {
    let tag = |name, value: &str| MessageTag::builder().name(name).value(value).build();
    Ok(vec![
        tag("account_id", envelope.owner.account_id.as_str())?,
        tag("user_id", envelope.owner.user_id.as_str())?,
        tag("claim_id", envelope.claim_id.as_str())?,
        tag("ledger", envelope.owner.book.as_str())?,
    ])
}

/// -1 means that there is no limit (SES API, `GetSendQuota`).
fn limit(quota: f64) -> Option<f64> {
    (quota >= 0.0).then_some(quota)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative ones become 0, as they should"
)]
fn whole(mails: f64) -> u64 {
    mails as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_http_client::test_util::NeverClient;
    use keynudge_core::failure::FailureClass;
    use keynudge_core::ports::{Book, Owner};

    use crate::replay::{answers, config, requests};

    /// Another than the clients have by default.
    const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

    async fn send(mailer: &SesMailer) -> Result<(), CallFailed> {
        let owner = Owner {
            account_id: "123456789012".parse().unwrap(),
            user_id: "AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
            book: Book::Pilot,
        };
        let envelope = Envelope {
            to: &"jane@example.com".parse().unwrap(),
            owner: &owner,
            claim_id: &"5f0c-1".parse().unwrap(),
        };
        mailer.send(&envelope, &mail()).await
    }

    fn mail() -> Mail {
        Mail { subject: "Your keys".to_owned(), text: "Hello é".to_owned(), html: "<p>Hello</p>".to_owned() }
    }

    fn sending() -> Sending {
        Sending {
            region: None,
            sender: "keys@example.com".parse().unwrap(),
            reply_to: None,
            configuration_set: None,
        }
    }

    fn mailer(config: &SdkConfig, region: Option<&str>, set: Option<&str>) -> SesMailer {
        let (region, configuration_set) = (region.map(str::to_owned), set.map(str::to_owned));
        SesMailer::new(config, Sending { region, configuration_set, ..sending() }, ATTEMPT_TIMEOUT)
    }

    fn rejected(status: u16, code: &str, message: &str) -> (u16, String) {
        let error =
            format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        (status, format!("<ErrorResponse>{error}</ErrorResponse>"))
    }

    const SENT: &str =
        "<SendEmailResponse><SendEmailResult><MessageId>m</MessageId></SendEmailResult></SendEmailResponse>";

    #[tokio::test]
    async fn a_mail_goes_to_one_address_in_both_forms_with_its_tags() {
        let client = answers([(200, SENT)]);
        let mailer = mailer(&config(client.clone()).await, Some("eu-central-1"), Some("keynudge"));
        send(&mailer).await.unwrap();
        let [(uri, body)] = requests(&client).try_into().unwrap();
        assert_eq!(uri, "https://email.eu-central-1.amazonaws.com/");
        for part in [
            "Action=SendEmail",
            "Source=keys%40example.com",
            "Destination.ToAddresses.member.1=jane%40example.com",
            "Message.Subject.Data=Your%20keys",
            "Message.Body.Text.Data=Hello%20%C3%A9",
            "Message.Body.Text.Charset=UTF-8",
            "Message.Body.Html.Data=%3Cp%3EHello%3C%2Fp%3E",
            "ConfigurationSetName=keynudge",
            "Tags.member.1.Name=account_id",
            "Tags.member.1.Value=123456789012",
            "Tags.member.2.Name=user_id",
            "Tags.member.2.Value=AIDAAAAAAAAAAAAAAAAA",
            "Tags.member.3.Name=claim_id",
            "Tags.member.3.Value=5f0c-1",
            "Tags.member.4.Name=ledger",
            "Tags.member.4.Value=pilot",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
        assert!(!body.contains("member.5") && !body.contains("CcAddresses"), "{body}");
        assert!(!body.contains("ReplyTo"), "{body}");
    }

    #[tokio::test]
    async fn answers_go_where_they_are_wanted() {
        let client = answers([(200, SENT)]);
        let reply_to = Some("help@example.com".parse().unwrap());
        let sending = Sending { reply_to, ..sending() };
        send(&SesMailer::new(&config(client.clone()).await, sending, ATTEMPT_TIMEOUT)).await.unwrap();
        let [(_, body)] = requests(&client).try_into().unwrap();
        assert!(body.contains("ReplyToAddresses.member.1=help%40example.com"), "{body}");
    }

    #[tokio::test]
    async fn a_test_is_sent_without_tags_and_a_refusal_is_told_in_ses_s_own_words() {
        let refusal = "Email address is not verified.";
        let client = answers([(200, SENT.to_owned()), rejected(400, "MessageRejected", refusal)]);
        let ses = mailer(&config(client.clone()).await, None, Some("keynudge"));
        let me = "me@example.com".parse().unwrap();
        ses.send_test(&me, &mail()).await.unwrap();
        let error = ses.send_test(&me, &mail()).await.unwrap_err();
        assert_eq!((error.code.as_str(), words_of(&error)), ("MessageRejected", Some(refusal)));
        let [(_, body), _] = requests(&client).try_into().unwrap();
        for part in [
            "ToAddresses.member.1=me%40example.com",
            "Subject.Data=Your%20keys",
            "ConfigurationSetName=keynudge",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
        assert!(!body.contains("Tags."), "{body}");
    }

    #[tokio::test]
    async fn without_a_configuration_set_or_region_neither_is_sent() {
        let client = answers([(200, SENT)]);
        send(&mailer(&config(client.clone()).await, None, None)).await.unwrap();
        let [(uri, body)] = requests(&client).try_into().unwrap();
        assert_eq!(uri, "https://email.eu-west-1.amazonaws.com/");
        assert!(!body.contains("ConfigurationSetName"));
    }

    #[tokio::test]
    async fn a_failed_mail_is_never_sent_again_by_the_client() {
        for (answer, class) in [
            (rejected(400, "Throttling", "Maximum sending rate exceeded."), FailureClass::Retry),
            (rejected(400, "ThrottlingException", "Maximum sending rate exceeded."), FailureClass::Retry),
            (rejected(400, "Throttling", "Daily message quota exceeded."), FailureClass::Operator),
            (rejected(503, "Throttling", "Rate exceeded"), FailureClass::Retry),
            (rejected(400, "MessageRejected", "Email address is not verified."), FailureClass::Operator),
            (rejected(400, "MessageRejected", "Sending paused for this account."), FailureClass::Operator),
            (rejected(400, "MessageRejected", "Address blacklisted."), FailureClass::Never),
            (rejected(400, "ConfigurationSetDoesNotExist", "no"), FailureClass::Operator),
            (rejected(400, "InvalidParameterValue", "Missing final '@domain'"), FailureClass::Never),
            (
                rejected(403, "ExpiredToken", "The security token included in the request is expired"),
                FailureClass::Retry,
            ),
            (rejected(500, "InternalFailure", "oops"), FailureClass::Unknown),
            (rejected(503, "ServiceUnavailable", "oops"), FailureClass::Unknown),
            ((502, "<html>".to_owned()), FailureClass::Unknown),
        ] {
            let client = answers([answer.clone(), answer]);
            let error = send(&mailer(&config(client.clone()).await, None, None)).await.unwrap_err();
            assert_eq!((error.class, error.call), (class, "ses:SendEmail"));
            assert_eq!(requests(&client).len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_whose_answer_never_came_may_have_been_taken() {
        let client = NeverClient::new();
        let mailer = mailer(&config(client.clone()).await, None, None);
        let started = tokio::time::Instant::now();
        let error = send(&mailer).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "timeout"));
        assert_eq!((client.num_calls(), started.elapsed()), (1, ATTEMPT_TIMEOUT));
    }

    #[tokio::test]
    async fn a_mail_whose_answer_says_nothing_may_have_been_taken() {
        for answer in ["", "<html>Welcome</html>"] {
            let client = answers([(200, answer)]);
            let error = send(&mailer(&config(client.clone()).await, None, None)).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "HTTP 200"), "{answer}");
        }
    }

    fn quota(per_day: &str, per_second: &str, sent: &str) -> (u16, String) {
        let quota = format!(
            "<Max24HourSend>{per_day}</Max24HourSend><MaxSendRate>{per_second}</MaxSendRate>\
             <SentLast24Hours>{sent}</SentLast24Hours>"
        );
        let result = format!("<GetSendQuotaResult>{quota}</GetSendQuotaResult>");
        (200, format!("<GetSendQuotaResponse>{result}</GetSendQuotaResponse>"))
    }

    #[tokio::test]
    async fn the_quota_is_what_is_left_of_it() {
        for (answer, per_second, day) in [
            (quota("200.0", "1.0", "127.0"), Some(1.0), Some((200, 73))),
            (quota("200.0", "1.0", "200.0"), Some(1.0), Some((200, 0))),
            (quota("200.0", "0.5", "201.0"), Some(0.5), Some((200, 0))),
            (quota("-1.0", "-1.0", "50000.0"), None, None),
            (quota("50000.0", "-1.0", "0.0"), None, Some((50_000, 50_000))),
        ] {
            let client = answers([answer]);
            let ses = mailer(&config(client.clone()).await, Some("eu-central-1"), None);
            let (per_day, left_today) = day.unzip();
            let quota = SendQuota { per_second, per_day, left_today };
            assert_eq!(ses.send_quota().await.unwrap(), quota);
            let [(uri, body)] = requests(&client).try_into().unwrap();
            assert_eq!(uri, "https://email.eu-central-1.amazonaws.com/");
            assert!(body.contains("Action=GetSendQuota"), "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_quota_is_asked_for_again_when_ses_has_a_bad_moment() {
        let client = answers([rejected(500, "InternalFailure", "oops"), quota("200", "1", "0")]);
        let ses = mailer(&config(client.clone()).await, None, None);
        assert_eq!(ses.send_quota().await.unwrap().left_today, Some(200));

        let client = answers([
            rejected(400, "Throttling", "Rate exceeded"),
            rejected(400, "Throttling", "Rate exceeded"),
            rejected(400, "Throttling", "Rate exceeded"),
        ]);
        let error = mailer(&config(client).await, None, None).send_quota().await.unwrap_err();
        assert_eq!((error.class, error.call), (FailureClass::Retry, "ses:GetSendQuota"));
    }
}
