//! The domain's ports on AWS: one file per service. The only place that names `aws_sdk_*`.

pub mod accounts;
pub mod credential_report;
pub mod dynamodb;
pub mod failure;
pub mod http_client;
pub mod iam;
pub mod organizations;
pub mod sdk;
pub mod ses;
pub mod sqs;

#[cfg(test)]
mod network;
#[cfg(test)]
mod replay;
