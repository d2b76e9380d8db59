//! AWS, as this tool uses it: the only folder that names its SDK. Every error says what to do.

mod dead_letters;
mod errors;
pub(crate) mod iam;
mod inspection;
pub(crate) mod oldest;
mod playground;
mod roots;
pub(crate) mod runs;
mod test_mail;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::default_provider::region::DefaultRegionChain;

use aws_config::profile::{self, ProfileFileCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_sqs::config::{ProvideCredentials, SharedHttpClient};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_types::os_shim_internal::{Env, Fs};
use clap::Args;
use http::Uri;

use self::errors::{failed, from_endpoint, message_of, name_endpoints_of};
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
    #[arg(long, global = true, value_name = "URL", value_parser = endpoint_url)]
    endpoint_url: Option<String>,
    /// Show every cause of an error of the AWS SDK
    #[arg(long, global = true)]
    pub(crate) debug: bool,
}

/// The URL of a server, as it is: the SDK would print a whole request where it is none.
fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let url: Option<Uri> = text.parse().ok();
    let is_server =
        url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
    if is_server { Ok(text.to_owned()) } else { Err("not a URL such as http://127.0.0.1:4566") }
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
        if args.endpoint_url.is_none() {
            playground::check()?;
        }
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT);
        let http_client = roots::http_client(args.profile.as_deref()).await?;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client.clone())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard());
        if let Some(region) = &region {
            loader = loader.region(region.clone());
        }
        if let Some(url) = &args.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &args.profile {
            require_profile(profile).await?;
            loader = loader.profile_name(profile).credentials_provider(credentials_of(
                profile,
                region,
                http_client,
            ));
        }
        let config = loader.load().await;
        name_endpoints_of(&config);
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
                "there is no stack {:?} in {}{}: name it with --stack, its region with --region, its account with \
                 --profile",
                self.stack,
                self.region,
                from_endpoint("cloudformation:DescribeStacks")
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

/// Says so where the files of the AWS CLI have no such profile: the SDK only says that it found no
/// credentials. Files that cannot be read are for the SDK to complain of.
async fn require_profile(profile: &str) -> Result<()> {
    let Ok(profiles) = profile::load(&Fs::default(), &Env::default(), &EnvConfigFiles::default(), None).await
    else {
        return Ok(());
    };
    if profiles.get_profile(profile).is_none() {
        let mut known: Vec<&str> = profiles.profiles().collect();
        known.sort_unstable();
        let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
        bail!("there is no profile {profile:?} in ~/.aws/config or ~/.aws/credentials, which have: {known}");
    }
    Ok(())
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
fn credentials_of(
    profile: &str,
    region: Option<Region>,
    http_client: SharedHttpClient,
) -> ProfileFileCredentialsProvider {
    let config = ProviderConfig::default().with_region(region).with_http_client(http_client);
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_url_of_a_server() {
        for url in ["http://127.0.0.1:4566", "https://sqs.example.com/path", "http://[::1]:1"] {
            assert_eq!(endpoint_url(url).as_deref(), Ok(url));
        }
        for no_url in ["127.0.0.1:1", "localhost", "http://", "ftp://example.com", "", "http://a b"] {
            assert!(endpoint_url(no_url).is_err(), "{no_url}");
        }
    }
}
