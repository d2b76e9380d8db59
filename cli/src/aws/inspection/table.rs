//! The ledger's table, as DynamoDB knows it.

use aws_sdk_dynamodb::types::{KeyType, PointInTimeRecoveryStatus, TableStatus, TimeToLiveStatus};

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::table::{Inspected, Table};

impl Aws {
    /// The table of this name.
    pub(crate) async fn inspect_table(&self, name: &str) -> Inspected {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let (table, expires_by, is_backed_up) =
            futures::join!(table(&client, name), expires_by(&client, name), is_backed_up(&client, name));
        Inspected { table, expires_by, is_backed_up }
    }
}

async fn table(client: &aws_sdk_dynamodb::Client, name: &str) -> Answer<Table> {
    let answer = ask("dynamodb:DescribeTable", client.describe_table().table_name(name).send()).await?;
    let table = answer.table();
    let mut keys = table.map(|table| table.key_schema().to_vec()).unwrap_or_default();
    keys.sort_by_key(|key| *key.key_type() != KeyType::Hash);
    Ok(Table {
        status: table.and_then(|table| table.table_status()).map_or("", TableStatus::as_str).to_owned(),
        keys: keys.into_iter().map(|key| key.attribute_name).collect(),
    })
}

async fn expires_by(client: &aws_sdk_dynamodb::Client, name: &str) -> Answer<Option<String>> {
    let call = client.describe_time_to_live().table_name(name);
    let answer = ask("dynamodb:DescribeTimeToLive", call.send()).await?;
    let expiry = answer.time_to_live_description;
    Ok(expiry.and_then(|expiry| match expiry.time_to_live_status {
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => expiry.attribute_name,
        _ => None,
    }))
}

async fn is_backed_up(client: &aws_sdk_dynamodb::Client, name: &str) -> Answer<bool> {
    let call = client.describe_continuous_backups().table_name(name);
    let answer = ask("dynamodb:DescribeContinuousBackups", call.send()).await?;
    let backups = answer.continuous_backups_description();
    let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description());
    let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status());
    Ok(status == Some(&PointInTimeRecoveryStatus::Enabled))
}
