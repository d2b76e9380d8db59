//! SES: the reminders themselves.

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_ses::Client;
use aws_sdk_ses::error::BuildError;
use aws_sdk_ses::types::{Body, Content, Destination, Message, MessageTag};
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::EmailAddress;
use keynudge_core::mail::Mail;
use keynudge_core::ports::{Envelope, Mailer};

use crate::failure::{not_built, unrepeatable_call_failed};

const SEND: &str = "ses:SendEmail";

/// Sends through SES, as one sender.
#[derive(Debug, Clone)]
pub struct SesMailer {
    client: Client,
    sender: EmailAddress,
    configuration_set: Option<String>,
}

impl SesMailer {
    /// Mails from `sender` through the SES of `region`, or of `config`'s own.
    ///
    /// The client never repeats a call by itself: SES has no idempotency token, so a repetition after a lost answer
    /// could mail an owner twice.
    #[must_use]
    pub fn new(
        config: &SdkConfig,
        region: Option<String>,
        sender: EmailAddress,
        configuration_set: Option<String>,
    ) -> Self {
        let mut config = aws_sdk_ses::config::Builder::from(config).retry_config(RetryConfig::disabled());
        if let Some(region) = region {
            config = config.region(Region::new(region));
        }
        Self { client: Client::from_conf(config.build()), sender, configuration_set }
    }
}

impl Mailer for SesMailer {
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed> {
        let (message, tags) = parts(envelope, mail).map_err(|error| not_built(SEND, error))?;
        self.client
            .send_email()
            .source(self.sender.as_str())
            .destination(Destination::builder().to_addresses(envelope.to.as_str()).build())
            .message(message)
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tags(Some(tags))
            .send()
            .await
            .map(drop)
            .map_err(|error| unrepeatable_call_failed(SEND, error))
    }
}

/// The message, and the tags by which SES's events are told apart.
fn parts(envelope: &Envelope<'_>, mail: &Mail) -> Result<(Message, Vec<MessageTag>), BuildError> {
    let content = |data: &str| Content::builder().data(data).charset("UTF-8").build();
    let tag = |name, value: &str| MessageTag::builder().name(name).value(value).build();
    let body = Body::builder().text(content(&mail.text)?).html(content(&mail.html)?).build();
    let message = Message::builder().subject(content(&mail.subject)?).body(body).build();
    let tags =
        vec![tag("account_id", envelope.account_id.as_str())?, tag("user_id", envelope.user_id.as_str())?];
    Ok((message, tags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_http_client::test_util::NeverClient;
    use keynudge_core::failure::FailureClass;

    use crate::replay::{answers, config, requests};

    fn mail() -> Mail {
        Mail { subject: "Your keys".to_owned(), text: "Hello é".to_owned(), html: "<p>Hello</p>".to_owned() }
    }

    async fn send(mailer: &SesMailer) -> Result<(), CallFailed> {
        let envelope = Envelope {
            to: &"jane@example.com".parse().unwrap(),
            account_id: &"123456789012".parse().unwrap(),
            user_id: &"AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
        };
        mailer.send(&envelope, &mail()).await
    }

    fn mailer(config: &SdkConfig, region: Option<&str>, set: Option<&str>) -> SesMailer {
        let sender = "keys@example.com".parse().unwrap();
        SesMailer::new(config, region.map(str::to_owned), sender, set.map(str::to_owned))
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
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
        assert!(!body.contains("member.3") && !body.contains("CcAddresses"), "{body}");
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
            (rejected(500, "InternalFailure", "oops"), FailureClass::Unknown),
            (rejected(400, "MessageRejected", "Email address is not verified."), FailureClass::Operator),
            (rejected(400, "MessageRejected", "Sending paused for this account."), FailureClass::Operator),
            (rejected(400, "MessageRejected", "Address blacklisted."), FailureClass::Never),
            (rejected(503, "Throttling", "Rate exceeded"), FailureClass::Retry),
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
        let error = send(&mailer(&config(client.clone()).await, None, None)).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "timeout"));
        assert_eq!(client.num_calls(), 1);
    }
}
