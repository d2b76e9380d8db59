"""Queues in MiniStack's CloudWatch: how old the oldest message of each is.

SQS tells that once a minute, and CloudWatch has it some minutes later. MiniStack's SQS tells nothing. Here whoever asks
for metrics gets the ages of now, as points of the minute before.
"""

import time

from ministack.services import cloudwatch, sqs

from pinned import require

require(cloudwatch, "_get_metric_data", "_metrics", "_dims_key")
require(sqs, "_queues", "_queues_lock")

NAMESPACE = "AWS/SQS"
METRIC = "ApproximateAgeOfOldestMessage"
LAG_SECONDS = 60


def age_of_oldest(messages: list, now: float) -> int:
    # A letter is as old as its stay among the dead letters.
    return int(now - min(message.get("enqueued_at", message.get("sent_at", now)) for message in messages))


def tell_ages() -> None:
    now = time.time()
    with sqs._queues_lock:
        ages = {url: age_of_oldest(queue["messages"], now) for url, queue in sqs._queues.items() if queue["messages"]}
    for url, age in ages.items():
        dimensions = {"QueueName": url.rpartition("/")[2]}
        point = {"Timestamp": now - LAG_SECONDS, "Value": float(age), "Unit": "Seconds", "Dimensions": dimensions}
        cloudwatch._metrics[(NAMESPACE, METRIC, cloudwatch._dims_key(dimensions))] = [point]


_get_metric_data = cloudwatch._get_metric_data


def get_metric_data(*arguments, **named):
    tell_ages()
    return _get_metric_data(*arguments, **named)


cloudwatch._get_metric_data = get_metric_data
