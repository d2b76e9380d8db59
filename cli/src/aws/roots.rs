//! Root certificates: where the AWS CLI finds them, for people behind a proxy that intercepts TLS.

use std::borrow::Cow;
use std::fs;

use anyhow::{Context, Result};
use aws_config::profile;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sqs::config::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};
use keynudge_aws::http_client::OneHttpClient;

const VARIABLE: &str = "AWS_CA_BUNDLE";

/// The same in a profile.
const PROPERTY: &str = "ca_bundle";

/// The HTTP client of all calls. It trusts only the certificates in the file that `AWS_CA_BUNDLE` names, or
/// else `ca_bundle` of the profile. Without either, it trusts the system's.
pub(super) async fn http_client(profile: Option<&str>) -> Result<SharedHttpClient> {
    let client = match bundle(profile).await {
        Some((path, named_by)) => trusting(&path).with_context(|| format!("{named_by} {path:?}"))?,
        None => OneHttpClient::trusting_the_system(),
    };
    Ok(SharedHttpClient::new(client))
}

/// A file of certificates, and what names it.
async fn bundle(profile: Option<&str>) -> Option<(String, &'static str)> {
    let set = |path: &String| !path.is_empty();
    if let Some(path) = std::env::var(VARIABLE).ok().filter(set) {
        return Some((path, VARIABLE));
    }
    let profile = profile.map(|profile| Cow::Owned(profile.to_owned()));
    // What is wrong with the files, the search for credentials says.
    let profiles =
        profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), profile).await.ok()?;
    Some((profiles.get(PROPERTY).map(str::to_owned).filter(set)?, PROPERTY))
}

fn trusting(path: &str) -> Result<OneHttpClient> {
    let pem = fs::read(path).context("cannot be read")?;
    Ok(OneHttpClient::trusting(&pem)?)
}
