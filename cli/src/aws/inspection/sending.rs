//! SES, and what the last run says of how many mails it will be asked for.

use aws_config::Region;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{DkimStatus, EventDestination, ReviewStatus};
use futures::future::{OptionFuture, join_all};

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::{Answer, Unanswered};
use crate::doctor::sending::{Account, ConfigurationSet, Destination, Expected, Found, Identity, Quota};

const QUERY: &str = "dynamodb:Query";

/// An organization has at most 10,000 accounts, each of which has a record: far fewer pages than this.
const RECORD_PAGES_MAX: usize = 20;

impl Aws {
    /// What `region`'s SES knows of the identities and of the set, and in which of the `other_regions` one is verified.
    pub(crate) async fn sending(
        &self,
        region: &str,
        other_regions: &[String],
        identities: &[String],
        configuration_set: Option<&str>,
    ) -> Found {
        let ses = self.ses_in(region);
        let set = OptionFuture::from(configuration_set.map(|name| ses.configuration_set(name)));
        let destinations = OptionFuture::from(configuration_set.map(|name| ses.destinations(name)));
        let known = join_all(identities.iter().map(|name| ses.identity(name)));
        let elsewhere = join_all(other_regions.iter().map(async |region| {
            let ses = self.ses_in(region);
            let known = join_all(identities.iter().map(|name| ses.identity(name))).await;
            known.into_iter().any(|one| one.is_ok_and(|one| one.is_verified)).then(|| region.clone())
        }));
        let (account, known, elsewhere, configuration_set, destinations) =
            futures::join!(ses.account(), known, elsewhere, set, destinations);
        Found {
            account,
            identities: identities.iter().cloned().zip(known).collect(),
            verified_in: elsewhere.into_iter().flatten().collect(),
            configuration_set,
            destinations,
        }
    }

    fn ses_in(&self, region: &str) -> Ses {
        let config =
            aws_sdk_sesv2::config::Builder::from(&self.config).region(Region::new(region.to_owned()));
        Ses(aws_sdk_sesv2::Client::from_conf(config.build()))
    }

    /// How many owners of stale keys the last run found.
    pub(crate) async fn owners_in_last_run(&self, table: &str) -> Expected {
        match self.last_run(table).await {
            Ok(Some(run_id)) => match self.stale_owners(table, &run_id).await {
                Ok(owners) => Expected::LastRun { run_id, owners },
                Err(unanswered) => Expected::Unanswered(unanswered),
            },
            Ok(None) => Expected::NoRunYet,
            Err(unanswered) => Expected::Unanswered(unanswered),
        }
    }

    async fn last_run(&self, table: &str) -> Answer<Option<String>> {
        let call = records(&self.config, table, "runs").scan_index_forward(false).limit(1);
        let answer = ask(QUERY, call.send()).await?;
        let run = answer.items.unwrap_or_default().into_iter().next();
        Ok(run.and_then(|run| run.get("sk")?.as_s().ok().cloned()))
    }

    async fn stale_owners(&self, table: &str, run_id: &str) -> Answer<u64> {
        let call = records(&self.config, table, &format!("run#{run_id}"));
        let mut owners = 0;
        let mut from = None;
        for _ in 0..RECORD_PAGES_MAX {
            let page = ask(QUERY, call.clone().set_exclusive_start_key(from).send()).await?;
            let counts = page.items().iter().filter_map(|record| record.get("StaleOwners")?.as_n().ok());
            owners += counts.filter_map(|count| count.parse::<u64>().ok()).sum::<u64>();
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(owners);
            }
        }
        Err(Unanswered::Failed { action: QUERY, why: "there are too many records".to_owned() })
    }
}

fn records(
    config: &aws_config::SdkConfig,
    table: &str,
    partition: &str,
) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
    aws_sdk_dynamodb::Client::new(config)
        .query()
        .table_name(table)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
}

struct Ses(aws_sdk_sesv2::Client);

impl Ses {
    async fn account(&self) -> Answer<Account> {
        let answer = ask("ses:GetAccount", self.0.get_account().send()).await?;
        let quota = answer.send_quota.as_ref().map(|quota| Quota {
            a_day: quota.max24_hour_send,
            a_second: quota.max_send_rate,
            sent_today: quota.sent_last24_hours,
        });
        let review = answer.details().and_then(|details| details.review_details());
        Ok(Account {
            is_access_under_review: review.and_then(|review| review.status()) == Some(&ReviewStatus::Pending),
            has_production_access: answer.production_access_enabled,
            may_send: answer.sending_enabled,
            enforcement: answer.enforcement_status.unwrap_or_default(),
            quota,
        })
    }

    async fn identity(&self, name: &str) -> Answer<Identity> {
        let call = self.0.get_email_identity().email_identity(name);
        ask("ses:GetEmailIdentity", call.send()).await.map(|answer| identity(&answer))
    }

    async fn configuration_set(&self, name: &str) -> Answer<ConfigurationSet> {
        let call = self.0.get_configuration_set().configuration_set_name(name);
        let answer = ask("ses:GetConfigurationSet", call.send()).await?;
        // What was never said otherwise sends.
        Ok(ConfigurationSet {
            may_send: answer.sending_options.is_none_or(|options| options.sending_enabled),
        })
    }

    async fn destinations(&self, name: &str) -> Answer<Vec<Destination>> {
        let call = self.0.get_configuration_set_event_destinations().configuration_set_name(name);
        let answer = ask("ses:GetConfigurationSetEventDestinations", call.send()).await?;
        Ok(answer.event_destinations().iter().map(destination).collect())
    }
}

fn identity(answer: &GetEmailIdentityOutput) -> Identity {
    let dkim = answer.dkim_attributes();
    Identity {
        is_verified: answer.verified_for_sending_status,
        is_signed: dkim.is_some_and(|dkim| dkim.signing_enabled),
        dkim_status: dkim.and_then(|dkim| dkim.status()).map_or("NOT_STARTED", DkimStatus::as_str).to_owned(),
    }
}

fn destination(destination: &EventDestination) -> Destination {
    Destination {
        is_enabled: destination.enabled,
        topic: destination.sns_destination().map(|topic| topic.topic_arn().to_owned()),
        events: destination.matching_event_types().iter().map(|event| event.as_str().to_owned()).collect(),
    }
}
