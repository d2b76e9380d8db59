//! The queues, as SQS knows them.

use aws_sdk_sqs::types::QueueAttributeName;

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::queues::Queue;

impl Aws {
    /// The queue at this URL.
    pub(crate) async fn inspect_queue(&self, url: &str) -> Answer<Queue> {
        let call = self
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::QueueArn)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .attribute_names(QueueAttributeName::Policy);
        let attributes = ask("sqs:GetQueueAttributes", call.send()).await?.attributes.unwrap_or_default();
        let attribute = |name| attributes.get(&name);
        let redrive = attribute(QueueAttributeName::RedrivePolicy);
        Ok(Queue {
            arn: attribute(QueueAttributeName::QueueArn).cloned().unwrap_or_default(),
            messages: attribute(QueueAttributeName::ApproximateNumberOfMessages)
                .and_then(|count| count.parse().ok())
                .unwrap_or_default(),
            visibility_timeout_seconds: attribute(QueueAttributeName::VisibilityTimeout)
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or_default(),
            redrive: redrive.and_then(|policy| serde_json::from_str(policy).ok()),
            policy: attribute(QueueAttributeName::Policy).cloned(),
        })
    }
}
