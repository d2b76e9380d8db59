//! How old the oldest messages of queues are, as CloudWatch has it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::primitives::DateTime as Instant;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy};
use chrono::{DateTime, Utc};

use super::Aws;
use super::errors::failed;

const ACTION: &str = "cloudwatch:GetMetricData";

/// SQS tells once a minute.
const PERIOD_SECONDS: i32 = 60;

/// An age that takes longer is not worth waiting for.
const TIMEOUT: Duration = Duration::from_secs(3);

/// An age that was told at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datapoint {
    pub(crate) at: DateTime<Utc>,
    pub(crate) age_seconds: u64,
}

impl Aws {
    /// What was told of these queues' oldest messages between the two instants, by queue. Asks once and not for long.
    pub(crate) async fn told_of_oldest(
        &self,
        queues: &[String],
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<BTreeMap<String, Vec<Datapoint>>> {
        ask(&self.config, queues, since, until).await
    }
}

async fn ask(
    config: &SdkConfig,
    queues: &[String],
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<BTreeMap<String, Vec<Datapoint>>> {
    let config = aws_sdk_cloudwatch::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build())
        .build();
    let answer = aws_sdk_cloudwatch::Client::from_conf(config)
        .get_metric_data()
        .set_metric_data_queries(Some(queues.iter().enumerate().map(query).collect()))
        .start_time(Instant::from_secs(since.timestamp()))
        .end_time(Instant::from_secs(until.timestamp()))
        .scan_by(ScanBy::TimestampDescending)
        .send()
        .await
        .map_err(|error| failed(ACTION, "*", error))?;
    let results = answer.metric_data_results.unwrap_or_default().into_iter();
    Ok(results.filter_map(|result| Some((queue_of(&result, queues)?.clone(), datapoints(&result)))).collect())
}

/// An answer names the question, and a question cannot be named like a queue: its name begins with a small letter and has
/// no hyphens.
fn query((place, queue): (usize, &String)) -> MetricDataQuery {
    let queue = Dimension::builder().name("QueueName").value(queue).build();
    let metric = Metric::builder()
        .namespace("AWS/SQS")
        .metric_name("ApproximateAgeOfOldestMessage")
        .dimensions(queue)
        .build();
    let maximum = MetricStat::builder().metric(metric).period(PERIOD_SECONDS).stat("Maximum").build();
    MetricDataQuery::builder().id(format!("q{place}")).metric_stat(maximum).build()
}

fn queue_of<'a>(result: &MetricDataResult, queues: &'a [String]) -> Option<&'a String> {
    queues.get(result.id()?.strip_prefix('q')?.parse::<usize>().ok()?)
}

fn datapoints(result: &MetricDataResult) -> Vec<Datapoint> {
    let datapoint = |(at, age): (&Instant, &f64)| {
        let at = DateTime::from_timestamp_secs(at.secs())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is no age of a message becomes the nearest number"
        )]
        let age_seconds = *age as u64;
        Some(Datapoint { at, age_seconds })
    };
    result.timestamps().iter().zip(result.values()).filter_map(datapoint).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
    use aws_smithy_cbor::Encoder;
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::StatusCode;
    use chrono::TimeDelta;
    use tokio::net::TcpListener;

    use super::*;

    const PROTOCOL: [(&str, &str); 2] =
        [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];

    /// Requests as text, as far as they are: CBOR keeps the text of strings.
    type Requests = Arc<Mutex<Vec<String>>>;

    /// Answers every request with this.
    async fn cloudwatch(status: StatusCode, body: Vec<u8>) -> (String, Requests) {
        let requests = Requests::default();
        let seen = requests.clone();
        let answer = async move |request: Bytes| {
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            (status, PROTOCOL, body)
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
        (endpoint, requests)
    }

    async fn asked(endpoint: &str) -> Result<BTreeMap<String, Vec<Datapoint>>> {
        let credentials = Credentials::new("AKID", "secret", None, None, "tests");
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .load()
            .await;
        let queues = ["keynudge-users-1".to_owned(), "keynudge-findings-2".to_owned()];
        ask(&config, &queues, at(0), at(15)).await
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
    }

    fn answer(results: &[(&str, &[(i64, f64)])]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(1).str("MetricDataResults").array(results.len());
        for (id, told) in results {
            encoder.map(4).str("Id").str(id).str("StatusCode").str("Complete");
            encoder.str("Timestamps").array(told.len());
            for (minutes, _) in *told {
                encoder.timestamp(&Instant::from_secs(at(*minutes).timestamp()));
            }
            encoder.str("Values").array(told.len());
            for (_, age) in *told {
                encoder.double(*age);
            }
        }
        encoder.into_writer()
    }

    #[tokio::test]
    async fn ages_come_back_by_queue_from_one_question() {
        let body = answer(&[("q1", &[(13, 90.0), (12, 30.0)]), ("q0", &[]), ("q7", &[(1, 1.0)])]);
        let (endpoint, requests) = cloudwatch(StatusCode::OK, body).await;
        let told = asked(&endpoint).await.unwrap();
        let findings =
            vec![Datapoint { at: at(13), age_seconds: 90 }, Datapoint { at: at(12), age_seconds: 30 }];
        let expected =
            [("keynudge-findings-2".to_owned(), findings), ("keynudge-users-1".to_owned(), vec![])];
        assert_eq!(told, expected.into());
        let requests = requests.lock().unwrap();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        let asked_for =
            ["ApproximateAgeOfOldestMessage", "Maximum", "keynudge-users-1", "keynudge-findings-2"];
        assert!(asked_for.iter().all(|text| request.contains(text)), "{request}");
    }

    #[tokio::test]
    async fn whoever_may_not_ask_is_told_the_action_and_asks_once() {
        let mut denied = Encoder::new(Vec::new());
        denied.map(2).str("__type").str("com.amazonaws.cloudwatch#AccessDenied").str("message").str("no");
        let (endpoint, requests) = cloudwatch(StatusCode::FORBIDDEN, denied.into_writer()).await;
        let error = asked(&endpoint).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "access denied: these credentials need the action cloudwatch:GetMetricData on *"
        );
        assert_eq!(requests.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_names_the_action_and_is_not_asked_for_again() {
        for status in [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR] {
            let (endpoint, requests) = cloudwatch(status, b"{\"MetricDataResults\": []}".to_vec()).await;
            let error = asked(&endpoint).await.unwrap_err().to_string();
            assert!(error.starts_with(ACTION), "{error}");
            assert_eq!(requests.lock().unwrap().len(), 1);
        }
    }

    /// In a time that stands still but for what waits.
    #[tokio::test(start_paused = true)]
    async fn silence_is_not_waited_for() {
        let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let began = tokio::time::Instant::now();
        let error = asked(&endpoint).await.unwrap_err().to_string();
        assert!(error.contains("got no answer"), "{error}");
        assert!(began.elapsed() <= TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
