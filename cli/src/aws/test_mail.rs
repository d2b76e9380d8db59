//! A mail to try SES out with, and what to do where SES does not take it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use keynudge_aws::failure::{Cause, cause};
use keynudge_aws::ses::{Sending, SesMailer, words_of};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::EmailAddress;
use keynudge_core::mail::Mail;

use super::{Aws, SIGN_IN_AGAIN};

/// As long as the notifier waits.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

impl Aws {
    /// Sends `mail` to `to`, once.
    pub(crate) async fn send_test_mail(
        &self,
        sending: Sending,
        to: &EmailAddress,
        mail: &Mail,
    ) -> Result<()> {
        let region = sending.region.clone().unwrap_or_else(|| self.region().to_owned());
        let mailer = SesMailer::new(self.config(), sending.clone(), ATTEMPT_TIMEOUT);
        let refusal = match mailer.send_test(to, mail).await {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        let words = words_of(&refusal).unwrap_or_default();
        let said = if words.is_empty() { refusal.code.clone() } else { format!("{}: {words}", refusal.code) };
        let advice = advice(&refusal, words, &sending, &region, to);
        Err(anyhow!(said)).context(advice)
    }
}

/// What to do about a mail that SES did not take, by its code and its `words`.
fn advice(refusal: &CallFailed, words: &str, sending: &Sending, region: &str, to: &EmailAddress) -> String {
    let sender = sending.sender.as_str();
    let set = sending.configuration_set.as_deref().unwrap_or_default();
    let said = |part: &str| words.to_lowercase().contains(&part.to_lowercase());
    match refusal.code.as_str() {
        "MessageRejected" if said("not verified") && said(sender) => format!(
            "SES in {region} does not know the sender {sender}: verify it or its domain there (`aws sesv2 \
             create-email-identity --region {region} --email-identity {sender}`), or say where it is verified with \
             --ses-region"
        ),
        "MessageRejected" if said("not verified") => {
            let to = to.as_str();
            format!(
                "SES in {region} is in its sandbox, where it mails verified addresses alone: verify {to} (`aws sesv2 \
                 create-email-identity --region {region} --email-identity {to}`, then click the link in the mail it \
                 gets), or ask AWS for production access"
            )
        }
        "MessageRejected" | "AccountSendingPausedException" | "AccountSendingPaused"
            if said("paused") || said("suspended") || said("disabled") =>
        {
            format!("sending is paused for this account in {region}: SES's console says why")
        }
        "ConfigurationSetDoesNotExist" | "ConfigurationSetDoesNotExistException" => format!(
            "SES in {region} has no configuration set {set:?}: deploy infra/ses.yaml there, or give another \
             --configuration-set"
        ),
        "Throttling" | "ThrottlingException" if said("quota") => {
            format!(
                "the day's quota of SES in {region} is used up: try again tomorrow, or ask AWS to raise it"
            )
        }
        "Throttling" | "ThrottlingException" => {
            format!("SES in {region} has enough to do for this second: try again")
        }
        code if cause(code) == Cause::Denied => format!(
            "access denied: these credentials need the action ses:SendEmail on the sender's identity in {region}, and on \
             the configuration set"
        ),
        code if cause(code) == Cause::Credentials => {
            format!("ses:SendEmail does not accept these credentials: {SIGN_IN_AGAIN}")
        }
        _ if refusal.class == FailureClass::Unknown => {
            format!(
                "SES in {region} may have taken the mail, and its answer was lost: look into the mailbox first"
            )
        }
        "no connection" => {
            format!("no connection to SES in {region}: check the network, --ses-region and --endpoint-url")
        }
        _ => format!("SES in {region} did not take the mail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_about(code: &str, words: &str) -> String {
        let class = if code == "timeout" { FailureClass::Unknown } else { FailureClass::Operator };
        let refusal = CallFailed { call: "ses:SendEmail", class, code: code.to_owned(), source: None };
        let sending = Sending {
            region: None,
            sender: "keys@example.com".parse().unwrap(),
            reply_to: None,
            configuration_set: Some("keynudge".to_owned()),
        };
        advice(&refusal, words, &sending, "eu-west-1", &"me@example.org".parse().unwrap())
    }

    #[test]
    fn whatever_ses_refuses_somebody_is_told_what_to_do() {
        let check =
            "Email address is not verified. The following identities failed the check in region EU-WEST-1:";
        for (code, words, advised) in [
            (
                "MessageRejected",
                &*format!("{check} keys@example.com"),
                "does not know the sender keys@example.com",
            ),
            (
                "MessageRejected",
                &*format!("{check} Keys@example.com, me@example.org"),
                "does not know the sender",
            ),
            ("MessageRejected", &*format!("{check} me@example.org"), "in its sandbox"),
            ("MessageRejected", "Sending paused for this account.", "sending is paused"),
            ("ConfigurationSetDoesNotExist", "no", "no configuration set \"keynudge\""),
            ("Throttling", "Daily message quota exceeded.", "try again tomorrow"),
            ("Throttling", "Maximum sending rate exceeded.", "try again"),
            ("AccessDenied", "User is not authorized", "need the action ses:SendEmail"),
            ("ExpiredToken", "", "sign in again"),
            ("UnrecognizedClientException", "", "sign in again"),
            ("timeout", "", "look into the mailbox first"),
            ("no connection", "", "check the network"),
            ("InvalidParameterValue", "", "did not take the mail"),
        ] {
            let advice = advice_about(code, words);
            assert!(advice.contains(advised), "{code}: {advice}");
        }
    }
}
