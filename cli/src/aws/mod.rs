//! AWS, as this tool uses it: the only folder that names its SDK. Every error says what to do.

mod dead_letters;
mod errors;
pub(crate) mod iam;
mod inspection;
pub(crate) mod oldest;
pub(crate) mod runs;
mod test_mail;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_sqs::config::ProvideCredentials;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use clap::Args;

use self::errors::{failed, message_of};
use crate::dlq::queues::Outputs;

/// One attempt of a call, the second that a receive waits included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// A call with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(1);

/// What to do about credentials that do not work any more.
const SIGN_IN_AGAIN: &str = "sign in again, or give another --profile";

/// Which AWS, and whose.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The stack of Keynudge
    #[arg(long, global = true, value_name = "NAME", default_value = "keynudge")]
    stack: String,
    /// The profile of ~/.aws/config to use, rather than the environment's or the default one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// The region of the stack, rather than the environment's or the profile's
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Another AWS, such as an emulator
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// Parameters of a stack, by name.
pub(crate) type Parameters = BTreeMap<String, String>;

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    stack: String,
    region: String,
    config: SdkConfig,
    cloudformation: aws_sdk_cloudformation::Client,
    lambda: aws_sdk_lambda::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    /// Finds region and credentials, the way that the AWS CLI does.
    pub(crate) async fn connect(args: &ConnectionArgs) -> Result<Self> {
        Self::connect_in(args, region_of(args).await).await
    }

    /// The same for what is in no region, such as IAM. Where none is given, that of most endpoints is as good as any.
    pub(crate) async fn connect_anywhere(args: &ConnectionArgs) -> Result<Self> {
        let region = region_of(args).await;
        Self::connect_in(args, region.or(Some(Region::from_static("us-east-1")))).await
    }

    async fn connect_in(args: &ConnectionArgs, region: Option<Region>) -> Result<Self> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard());
        if let Some(region) = &region {
            loader = loader.region(region.clone());
        }
        if let Some(url) = &args.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile).credentials_provider(credentials_of(profile, region));
        }
        let config = loader.load().await;
        let Some(region) = config.region() else {
            bail!("no region: give --region, set AWS_REGION, or set a region in the profile");
        };
        let credentials = config.credentials_provider().context("no credentials")?;
        credentials.provide_credentials().await.with_context(|| no_credentials(args.profile.as_deref()))?;
        Ok(Self {
            stack: args.stack.clone(),
            region: region.to_string(),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
        })
    }

    /// The stack's name.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }

    /// The region asked.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// What clients of other services are made with: credentials, region, timeouts and retries.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The stack's outputs.
    pub(crate) async fn outputs(&self) -> Result<Outputs> {
        let outputs = self.describe().await?.outputs.unwrap_or_default().into_iter();
        Ok(outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect())
    }

    /// The values of the stack's parameters, by name.
    pub(crate) async fn parameters(&self) -> Result<Parameters> {
        let parameters = self.describe().await?.parameters.unwrap_or_default().into_iter();
        Ok(parameters.filter_map(|one| Some((one.parameter_key?, one.parameter_value?))).collect())
    }

    async fn describe(&self) -> Result<Stack> {
        let answer = self.cloudformation.describe_stacks().stack_name(&self.stack).send().await;
        let no_stack = || {
            format!(
                "there is no stack {:?} in {}: name it with --stack, its region with --region, its account with \
                 --profile",
                self.stack, self.region
            )
        };
        let answer = match answer {
            Err(error) if error.code() == Some("ValidationError") => {
                return Err(anyhow!(message_of(&error)).context(no_stack()));
            }
            answer => answer.map_err(|error| {
                failed("cloudformation:DescribeStacks", &format!("the stack {:?}", self.stack), error)
            })?,
        };
        answer.stacks.and_then(|stacks| stacks.into_iter().next()).with_context(no_stack)
    }
}

/// What to do where there are no credentials. Also if the SDK was refused to assume a profile's role: it asks nobody for
/// the code that `mfa_serial` stands for.
fn no_credentials(profile: Option<&str>) -> String {
    let missing = match profile {
        Some(profile) => format!(
            "no AWS credentials from the profile {profile:?}: check ~/.aws/config, or sign in with it again"
        ),
        None => "no AWS credentials: give --profile, set AWS_PROFILE, or sign in with `aws login` or `aws sso login`"
            .to_owned(),
    };
    let profile = profile.unwrap_or("NAME");
    format!(
        "{missing}; a profile with mfa_serial only works by `eval \"$(aws configure export-credentials --profile \
         {profile} --format env)\"`, and then without --profile"
    )
}

/// The region given, or else the environment's or the profile's.
async fn region_of(args: &ConnectionArgs) -> Option<Region> {
    if let Some(region) = &args.region {
        return Some(Region::new(region.clone()));
    }
    let mut chain = DefaultRegionChain::builder();
    if let Some(profile) = &args.profile {
        chain = chain.profile_name(profile);
    }
    chain.build().region().await
}

/// The credentials of a profile named on the command line. It wins over the environment's keys, which the SDK would
/// take first.
fn credentials_of(profile: &str, region: Option<Region>) -> ProfileFileCredentialsProvider {
    let config = ProviderConfig::default().with_region(region);
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build()
}
