//! SES, and what the last run says of how many mails it will be asked for.

use aws_config::Region;
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{DkimStatus, EventDestination, ReviewStatus};
use chrono::{TimeDelta, Utc};
use futures::future::{OptionFuture, join_all};
use keynudge_core::counting::Metric;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::RunId;
use keynudge_core::messages::Mode;
use keynudge_core::ports::RunLog;
use tokio::time::timeout;

use super::{PATIENCE, ask, no_answer, refused};
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::sending::{Account, ConfigurationSet, Destination, Expected, Found, Identity, Quota};

const QUERY: &str = "dynamodb:Query";

/// One of them has been checked users, as a rule the first.
const RUNS_LOOKED_AT: usize = 10;

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

    /// How many owners of stale keys the last run found that was no dry run about a day ahead.
    pub(crate) async fn owners_in_last_run(&self, table: &str) -> Expected {
        match timeout(PATIENCE, self.last_run_with_owners(table)).await {
            Ok(Ok(Some((run_id, owners)))) => Expected::LastRun { run_id: run_id.to_string(), owners },
            Ok(Ok(None)) => Expected::NoRunYet,
            Ok(Err(error)) => Expected::Unanswered(refused(QUERY, &error.code, &error.to_string())),
            Err(_) => Expected::Unanswered(no_answer(QUERY)),
        }
    }

    async fn last_run_with_owners(&self, table: &str) -> Result<Option<(RunId, u64)>, CallFailed> {
        let log = self.ledger(table);
        let latest = Utc::now() + TimeDelta::days(1);
        for started in log.last_runs(RUNS_LOOKED_AT).await?.runs {
            let records = log.records(&started.run.run_id).await?;
            let counted =
                |metric| records.iter().filter_map(|record| record.counts.get(&metric)).sum::<u64>();
            let is_forecast = started.run.mode == Mode::DryRun && started.run.as_of > latest;
            if !is_forecast && counted(Metric::UsersChecked) > 0 {
                return Ok(Some((started.run.run_id, counted(Metric::StaleOwners))));
            }
        }
        Ok(None)
    }
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
