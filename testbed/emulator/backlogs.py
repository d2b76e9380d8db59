"""Long queues in MiniStack: taking a batch from one costs no more than from a short one.

MiniStack looks at every message of a queue three times for each batch that it receives, and copies the list of them for
each batch that is deleted. A hundred thousand messages would take it half an hour of that alone. Here a look ends where
the batch is full, and what is done is taken out of the list in place.
"""

import json
import time

from ministack.services import sqs

from pinned import require

require(sqs, "_collect_msgs", "_collect_fifo", "_dlq_sweep", "_expire_retained", "_delete_messages_for_esm")
require(sqs, "_ensure_msg_fields", "_receive_messages_for_esm", "_queues_lock", "_get_q", "new_uuid")

BATCH_MAX = 10
# Messages are kept for days.
EXPIRY_INTERVAL_SECONDS = 60

_expired_at: dict = {}
_dlq_sweep = sqs._dlq_sweep
_expire_retained = sqs._expire_retained


def first_visible(queue: dict, count: int) -> list:
    now = time.time()
    found = []
    for message in queue["messages"]:
        sqs._ensure_msg_fields(message)
        if message["visible_at"] <= now:
            found.append(message)
            if len(found) == count:
                break
    return found


def collect(queue: dict, count: int, visibility_timeout: int) -> list:
    now = time.time()
    if queue["is_fifo"]:
        return sqs._collect_fifo(queue, count, visibility_timeout, now)
    received = first_visible(queue, count)
    for message in received:
        message["receipt_handle"] = sqs.new_uuid()
        message["visible_at"] = now + visibility_timeout
        message["receive_count"] += 1
        if message["first_receive_at"] is None:
            message["first_receive_at"] = now
    return received


def sweep(queue: dict) -> None:
    """Moves messages that were received too often, if the next batch would have one of them."""
    policy = queue["attributes"].get("RedrivePolicy")
    if not policy:
        return
    received_max = int(json.loads(policy)["maxReceiveCount"])
    if any(message["receive_count"] >= received_max for message in first_visible(queue, BATCH_MAX)):
        _dlq_sweep(queue)


def expire(queue: dict) -> None:
    arn = queue["attributes"]["QueueArn"]
    if time.time() - _expired_at.get(arn, 0) > EXPIRY_INTERVAL_SECONDS:
        _expired_at[arn] = time.time()
        _expire_retained(queue)


def delete(queue_url: str, receipt_handles: set) -> None:
    with sqs._queues_lock:
        messages = sqs._get_q(queue_url)["messages"]
        left = set(receipt_handles)
        position = 0
        while left and position < len(messages):
            handle = messages[position].get("receipt_handle")
            if handle in left:
                left.remove(handle)
                del messages[position]
            else:
                position += 1


sqs._collect_msgs = collect
sqs._dlq_sweep = sweep
sqs._expire_retained = expire
sqs._delete_messages_for_esm = delete
