"""Queues in MiniStack: no message is lost in them, and each may be delivered more than once.

MiniStack answers calls on one thread and feeds functions on others. Both replace a queue's list of messages by one
without those that are done; a message that is sent between the look at the old list and its replacement is gone. Here
whoever changes a queue holds its one lock.

SQS delivers at least once. Mostly it is once; with `DELIVERIES_PER_MESSAGE` in the environment, each message is
delivered so often: the copies have its id, as the second delivery of a message has in SQS. Half of them come at once,
so that a function sees one message twice in a batch, and half later, when the first may still be worked on or done.
"""

import asyncio
import functools
import os
import threading
import time

from ministack.services import sns, sqs

from pinned import require

require(sqs, "_queues_lock", "_HANDLERS", "_act_send_message", "_collect_msgs", "_dlq_sweep", "_expire_retained")
require(sqs, "_get_q", "_queue_by_arn")
require(sns, "_deliver_to_sqs")

DELIVERIES = int(os.environ.get("DELIVERIES_PER_MESSAGE", "1"))
LATER_SECONDS = 2

# A batch is sent message by message, each under the lock that the batch holds already.
_lock = threading.RLock()


def locked(function):
    @functools.wraps(function)
    def with_lock(*arguments, **named):
        with _lock:
            return function(*arguments, **named)

    return with_lock


def repeat_last(messages: list) -> None:
    """Has the message that was added last delivered as often as all are to be."""
    message = messages[-1]
    for copy in range(1, DELIVERIES):
        later = LATER_SECONDS if copy % 2 == 0 else 0
        messages.append({**message, "visible_at": max(message["visible_at"], time.time()) + later})


_send = sqs._act_send_message


@locked
def send(data: dict, queue_url: str) -> dict:
    answer = _send(data, queue_url)
    repeat_last(sqs._get_q(data.get("QueueUrl", queue_url))["messages"])
    return answer


_deliver = sns._deliver_to_sqs


@locked
def deliver(endpoint: str, *arguments, **named) -> None:
    queue = sqs._queue_by_arn(endpoint)
    before = len(queue["messages"]) if queue else 0
    _deliver(endpoint, *arguments, **named)
    if queue and len(queue["messages"]) > before:
        repeat_last(queue["messages"])


sqs._queues_lock = _lock
sqs._act_send_message = send
sqs._HANDLERS["SendMessage"] = send
sns._deliver_to_sqs = deliver
# ReceiveMessage waits, so that it cannot hold the lock as a whole; these are the parts of it that change a queue.
for name in ("_collect_msgs", "_dlq_sweep", "_expire_retained"):
    setattr(sqs, name, locked(getattr(sqs, name)))
for action, handler in sqs._HANDLERS.items():
    if not asyncio.iscoroutinefunction(handler):
        sqs._HANDLERS[action] = locked(handler)
