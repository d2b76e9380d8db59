//! The IAM of each account: of its own with the function's credentials, of any other with a role there.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_sdk_iam::config::retry::RetryPartition;
use aws_sdk_iam::config::{Builder, ProvideCredentials};
use keynudge_core::accounts::{MemberRole, RoleSession};
use keynudge_core::ids::AccountId;
use keynudge_core::ports::IamByAccount;
use lru::LruCache;
use serde_json::json;

use crate::iam::Iam;
use crate::sdk;

/// For how many accounts clients are kept. One takes 42 KB, with its STS and its credentials, so these take 84 MB of the
/// 256 MB that functions have. With more accounts than that, roles are assumed more often.
const MAX_CLIENTS: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

/// One attempt to assume a role.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// All attempts to assume a role: less than an attempt of the call that waits for it, so that it is STS that is said to
/// have failed, and not IAM.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(9);
const _: () = assert!(OPERATION_TIMEOUT.as_nanos() < sdk::ATTEMPT_TIMEOUT.as_nanos());

/// How long before they expire credentials are replaced; the SDK takes off up to half of it at random. Enough for an
/// attempt of the call they sign, and for clocks that differ.
const RENEW_BEFORE: Duration = Duration::from_mins(2);

/// The IAM of every account.
#[derive(Debug)]
pub struct IamAccounts {
    own: (AccountId, Iam),
    /// What the clients for other accounts have in common.
    iam: Builder,
    sts: SdkConfig,
    role: Option<MemberRole>,
    others: Mutex<LruCache<AccountId, Iam>>,
}

impl IamAccounts {
    /// The IAM of account `own` with `config`'s credentials, and of all others with `role`. Without one, every call to
    /// another account fails.
    #[must_use]
    pub fn new(config: &SdkConfig, own: AccountId, role: Option<MemberRole>) -> Self {
        Self::with(config, own, role, Builder::from(config))
    }

    /// The same, for a caller who keeps to a pace of its own: each call to IAM is one request. Roles are assumed at
    /// STS's pace, and tried again.
    #[must_use]
    pub fn without_retries(config: &SdkConfig, own: AccountId, role: Option<MemberRole>) -> Self {
        Self::with(config, own, role, Builder::from(config).retry_config(RetryConfig::disabled()))
    }

    fn with(config: &SdkConfig, own: AccountId, role: Option<MemberRole>, iam: Builder) -> Self {
        let timeouts = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let timeouts =
            timeouts.operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT);
        Self {
            own: (own, Iam::with(iam.clone())),
            iam,
            sts: config.to_builder().timeout_config(timeouts.build()).build(),
            role,
            others: Mutex::new(LruCache::new(MAX_CLIENTS)),
        }
    }

    async fn credentials(&self, account_id: &AccountId) -> SharedCredentialsProvider {
        let Some(role) = &self.role else {
            return SharedCredentialsProvider::new(NoRole);
        };
        // At the endpoint of STS in this region, as the SDK does by default.
        let mut provider = AssumeRoleProvider::builder(role.arn(account_id))
            .configure(&self.sts)
            .session_name(role.session.name)
            .policy(session_policy(role.session));
        if let Some(external_id) = &role.external_id {
            provider = provider.external_id(external_id);
        }
        SharedCredentialsProvider::new(provider.build().await)
    }
}

impl IamByAccount for IamAccounts {
    type Iam = Iam;

    /// The role is assumed with the first call, and again before its credentials expire.
    async fn iam(&self, account_id: &AccountId) -> Iam {
        let (own, iam) = &self.own;
        if account_id == own {
            return iam.clone();
        }
        let cached = || self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(iam) = cached().get(account_id) {
            return iam.clone();
        }
        let config = self
            .iam
            .clone()
            .credentials_provider(self.credentials(account_id).await)
            // One that all accounts shared would keep the credentials of 64 at most.
            .identity_cache(IdentityCache::lazy().buffer_time(RENEW_BEFORE).max_partitions(1).build())
            // What one account's throttling leaves of the client's retries is nobody else's business.
            .retry_partition(RetryPartition::custom(account_id.to_string()).build());
        // Whoever came first meanwhile has the client that everybody gets.
        cached().get_or_insert(account_id.clone(), || Iam::with(config)).clone()
    }
}

/// What the session may do, of what its role may: "it only reads" holds whatever an account attaches to the role.
fn session_policy(session: RoleSession) -> String {
    let statement = json!({ "Effect": "Allow", "Action": session.actions, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Stands for the role where there is none.
#[derive(Debug)]
struct NoRole;

impl ProvideCredentials for NoRole {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::ready(Err(CredentialsError::invalid_configuration("no role for other accounts is set")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use aws_config::Region;
    use aws_smithy_async::test_util::ManualTimeSource;
    use aws_smithy_http_client::test_util::{NeverClient, StaticReplayClient};
    use chrono::{DateTime, Utc};
    use keynudge_core::failure::{ASSUME_ROLE, CallFailed, FailureClass};
    use keynudge_core::ports::AccountAliases;

    use crate::replay::{answers, loader, requests, signers};

    const OWN: &str = "123456789012";
    const SHOP: &str = "111111111111";
    const BANK: &str = "222222222222";

    const ALIASES: &str = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases/>\
                           <IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>";

    fn id(account: &str) -> AccountId {
        account.parse().unwrap()
    }

    fn now() -> SystemTime {
        "2026-03-01T06:00:00Z".parse::<DateTime<Utc>>().unwrap().into()
    }

    fn alias() -> (u16, String) {
        (200, ALIASES.to_owned())
    }

    /// Credentials for an hour after six.
    fn role(access_key_id: &str) -> (u16, String) {
        role_until(access_key_id, "2026-03-01T07:00:00Z")
    }

    fn role_until(access_key_id: &str, expiration: &str) -> (u16, String) {
        let answer = format!(
            "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId>\
             <Arn>arn:aws:sts::111111111111:assumed-role/keynudge-member/x</Arn></AssumedRoleUser><Credentials>\
             <AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>"
        );
        (200, answer)
    }

    fn refused(status: u16, code: &str) -> (u16, String) {
        let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>no</Message>");
        (status, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
    }

    fn member_role(partition: &str) -> MemberRole {
        MemberRole {
            partition: partition.parse().unwrap(),
            name: "keynudge-member".parse().unwrap(),
            external_id: Some("e-42".to_owned()),
            session: RoleSession { name: "keynudge-tests", actions: &["iam:ListUsers", "iam:ListUserTags"] },
        }
    }

    async fn sdk(client: &StaticReplayClient) -> SdkConfig {
        loader().http_client(client.clone()).time_source(ManualTimeSource::new(now())).load().await
    }

    async fn accounts(client: &StaticReplayClient) -> IamAccounts {
        IamAccounts::new(&sdk(client).await, id(OWN), Some(member_role("aws")))
    }

    async fn ask(accounts: &IamAccounts, account: &str) -> Result<(), CallFailed> {
        accounts.iam(&id(account)).await.alias().await.map(drop)
    }

    fn assert_failed(error: &CallFailed, call: &str, code: &str, class: FailureClass) {
        assert_eq!((error.call, error.code.as_str(), error.class), (call, code, class), "{:?}", error.source);
    }

    #[tokio::test]
    async fn its_own_account_is_asked_without_a_role() {
        let client = answers([alias()]);
        ask(&accounts(&client).await, OWN).await.unwrap();
        assert_eq!(signers(&client), ["AKID"]);
    }

    #[tokio::test]
    async fn a_role_is_assumed_once_for_many_calls() {
        let client = answers([role("SHOP"), alias(), alias(), alias()]);
        let accounts = accounts(&client).await;
        for _ in 0..3 {
            ask(&accounts, SHOP).await.unwrap();
        }
        assert_eq!(signers(&client), ["AKID", "SHOP", "SHOP", "SHOP"]);
    }

    #[tokio::test]
    async fn a_role_is_assumed_once_for_calls_made_at_once() {
        let client = answers([role("SHOP"), alias(), alias(), alias()]);
        let accounts = accounts(&client).await;
        let (first, second, third) =
            tokio::join!(ask(&accounts, SHOP), ask(&accounts, SHOP), ask(&accounts, SHOP));
        first.and(second).and(third).unwrap();
        assert_eq!(signers(&client), ["AKID", "SHOP", "SHOP", "SHOP"]);
    }

    #[tokio::test]
    async fn the_role_says_who_asks_and_why() {
        let client = answers([role("SHOP"), alias()]);
        ask(&accounts(&client).await, SHOP).await.unwrap();
        let [(uri, assume_role), _] = requests(&client).try_into().unwrap();
        assert_eq!(uri, "https://sts.eu-west-1.amazonaws.com/");
        for parameter in [
            "Action=AssumeRole",
            "RoleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2Fkeynudge-member",
            "RoleSessionName=keynudge-tests",
            "ExternalId=e-42",
        ] {
            assert!(assume_role.split('&').any(|given| given == parameter), "{parameter}: {assume_role}");
        }
        let policy = assume_role.split('&').find_map(|given| given.strip_prefix("Policy=")).unwrap();
        let policy = percent_encoding::percent_decode_str(policy).decode_utf8().unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&policy).unwrap(),
            serde_json::json!({
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Action": ["iam:ListUsers", "iam:ListUserTags"], "Resource": "*"}
                ],
            })
        );
    }

    #[tokio::test]
    async fn without_an_external_id_none_is_sent() {
        let client = answers([role("SHOP"), alias()]);
        let role = MemberRole { external_id: None, ..member_role("aws") };
        ask(&IamAccounts::new(&sdk(&client).await, id(OWN), Some(role)), SHOP).await.unwrap();
        assert!(!requests(&client)[0].1.contains("ExternalId"));
    }

    #[tokio::test]
    async fn each_partition_has_its_own_arns_and_its_own_sts() {
        for (partition, region, sts, iam) in [
            ("aws-cn", "cn-north-1", "sts.cn-north-1.amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn"),
            ("aws-us-gov", "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com", "iam.us-gov.amazonaws.com"),
            ("aws", "us-east-1", "sts.us-east-1.amazonaws.com", "iam.amazonaws.com"),
        ] {
            let client = answers([role("SHOP"), alias()]);
            let time = ManualTimeSource::new(now());
            let region = Region::new(region);
            let sdk = loader().region(region).http_client(client.clone()).time_source(time).load().await;
            let accounts = IamAccounts::new(&sdk, id(OWN), Some(member_role(partition)));
            ask(&accounts, SHOP).await.unwrap();
            let [(sts_uri, assume_role), (iam_uri, _)] = requests(&client).try_into().unwrap();
            assert_eq!((sts_uri, iam_uri), (format!("https://{sts}/"), format!("https://{iam}/")));
            let arn = format!("RoleArn=arn%3A{partition}%3Aiam%3A%3A111111111111%3Arole%2Fkeynudge-member");
            assert!(assume_role.contains(&arn), "{assume_role}");
        }
    }

    #[tokio::test]
    async fn accounts_do_not_share_credentials() {
        let client = answers([role("SHOP"), alias(), role("BANK"), alias(), alias(), alias(), alias()]);
        let accounts = accounts(&client).await;
        for account in [SHOP, BANK, SHOP, OWN, BANK] {
            ask(&accounts, account).await.unwrap();
        }
        assert_eq!(signers(&client), ["AKID", "SHOP", "AKID", "BANK", "SHOP", "AKID", "BANK"]);
        assert!(requests(&client)[2].1.contains(BANK));
    }

    #[tokio::test]
    async fn a_role_is_assumed_anew_before_its_credentials_expire() {
        let time = ManualTimeSource::new(now());
        let later = role_until("LATER", "2026-03-01T08:00:00Z");
        let client = answers([role("SHOP"), alias(), alias(), later, alias()]);
        let sdk = loader().http_client(client.clone()).time_source(time.clone()).load().await;
        let accounts = IamAccounts::new(&sdk, id(OWN), Some(member_role("aws")));
        for minutes in [0, 57, 2] {
            time.advance(Duration::from_secs(minutes * 60));
            ask(&accounts, SHOP).await.unwrap();
        }
        assert_eq!(signers(&client), ["AKID", "SHOP", "SHOP", "AKID", "LATER"]);
    }

    #[tokio::test]
    async fn an_account_that_denies_the_role_is_told_from_one_that_denies_a_call() {
        let client = answers([
            refused(403, "AccessDenied"),
            refused(403, "AccessDenied"),
            role("SHOP"),
            refused(403, "AccessDenied"),
        ]);
        let accounts = accounts(&client).await;
        for _ in 0..2 {
            let error = ask(&accounts, SHOP).await.unwrap_err();
            assert!(error.is_role_denied(), "{:?}", error.source);
            assert_failed(&error, ASSUME_ROLE, "AccessDenied", FailureClass::Operator);
        }
        let error = ask(&accounts, SHOP).await.unwrap_err();
        assert!(!error.is_role_denied());
        assert_failed(&error, "iam:ListAccountAliases", "AccessDenied", FailureClass::Operator);
        assert_eq!(requests(&client).len(), 4, "nothing was repeated by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_is_not_assumed_for_another_reason_is_no_denied_role() {
        use FailureClass::{Operator, Retry};
        for (status, code, class, attempts) in [
            (400, "Throttling", Retry, 3),
            (403, "ExpiredToken", Retry, 1),
            (500, "InternalFailure", Retry, 3),
            (503, "ServiceUnavailable", Retry, 3),
            (403, "RegionDisabledException", Operator, 1),
            (403, "InvalidClientTokenId", Operator, 1),
            (403, "BrandNew", Operator, 1),
            // The role and the external id are settings.
            (400, "ValidationError", Operator, 1),
        ] {
            let client = answers(vec![refused(status, code); 9]);
            let error = ask(&accounts(&client).await, SHOP).await.unwrap_err();
            assert_failed(&error, ASSUME_ROLE, code, class);
            assert!(!error.is_role_denied());
            assert_eq!(requests(&client).len(), attempts, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sts_that_never_answers_is_a_timeout_of_sts() {
        for new in [IamAccounts::new, IamAccounts::without_retries] {
            let sdk = loader().http_client(NeverClient::new()).load().await;
            let accounts = new(&sdk, id(OWN), Some(member_role("aws")));
            let error = ask(&accounts, SHOP).await.unwrap_err();
            assert_failed(&error, ASSUME_ROLE, "timeout", FailureClass::Retry);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_a_pace_makes_one_request_and_still_tries_sts_again() {
        let client = answers([
            refused(503, "ServiceUnavailable"),
            role("SHOP"),
            refused(400, "Throttling"),
            alias(),
            refused(400, "Throttling"),
        ]);
        let sdk = sdk(&client).await;
        let accounts = IamAccounts::without_retries(&sdk, id(OWN), Some(member_role("aws")));
        let error = ask(&accounts, SHOP).await.unwrap_err();
        assert_failed(&error, "iam:ListAccountAliases", "Throttling", FailureClass::Retry);
        ask(&accounts, OWN).await.unwrap();
        assert_eq!(ask(&accounts, OWN).await.unwrap_err().code, "Throttling");
        assert_eq!(requests(&client).len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_throttled_uses_up_nobody_elses_retries() {
        const CALLS: usize = 60;
        let mut script = vec![role("SHOP")];
        script.extend(vec![refused(400, "Throttling"); 3 * CALLS]);
        let client = answers(script);
        let shop = accounts(&client).await;
        let mut made = 0;
        for _ in 0..CALLS {
            ask(&shop, SHOP).await.unwrap_err();
            made = requests(&client).len();
        }
        assert!(made < 1 + 3 * CALLS, "the client gave up trying again");

        let client = answers([role("BANK"), refused(400, "Throttling"), alias()]);
        ask(&accounts(&client).await, BANK).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_role_other_accounts_are_for_an_operator() {
        let client = answers([alias()]);
        let accounts = IamAccounts::new(&sdk(&client).await, id(OWN), None);
        let error = ask(&accounts, SHOP).await.unwrap_err();
        assert_failed(&error, "iam:ListAccountAliases", "credentials", FailureClass::Operator);
        ask(&accounts, OWN).await.unwrap();
        assert_eq!(signers(&client), ["AKID"]);
    }

    #[tokio::test]
    async fn a_client_that_was_dropped_to_make_room_is_made_again() {
        let client = answers([role("SHOP"), alias(), role("AGAIN"), alias()]);
        let accounts = accounts(&client).await;
        ask(&accounts, SHOP).await.unwrap();
        for other in 0..MAX_CLIENTS.get() {
            accounts.iam(&id(&format!("{other:012}"))).await;
        }
        ask(&accounts, SHOP).await.unwrap();
        assert_eq!(signers(&client), ["AKID", "SHOP", "AKID", "AGAIN"]);
    }
}
