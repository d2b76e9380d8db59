"""Lists an account's users and enqueues each for a check: the calls of Keynudge's producer, one after the other."""

import json
import os

import boto3

from records import count, messages

iam = boto3.client("iam")
sqs = boto3.client("sqs")
dynamodb = boto3.client("dynamodb")

BATCH = 10


def handler(event: dict) -> dict:
    for scan in messages(event):
        users = [user for page in iam.get_paginator("list_users").paginate() for user in page["Users"]]
        aliases = iam.list_account_aliases()["AccountAliases"]
        checks = [check(scan, user, aliases) for user in users]
        for start in range(0, len(checks), BATCH):
            send(checks[start : start + BATCH])
        count(dynamodb, scan, "SET", UsersListed=len(users), UsersEnqueued=len(checks))
    return {"batchItemFailures": []}


def check(scan: dict, user: dict, aliases: list[str]) -> dict:
    about_user = {
        "name": user["UserName"],
        "id": user["UserId"],
        "arn": user["Arn"],
        "created_at": user["CreateDate"].isoformat(),
    }
    return {**scan, "account_name": next(iter(aliases), None), "user": about_user}


def send(checks: list[dict]) -> None:
    entries = [
        {"Id": str(position), "MessageBody": json.dumps(check), "MessageGroupId": check["account_id"]}
        for position, check in enumerate(checks)
    ]
    answer = sqs.send_message_batch(QueueUrl=os.environ["USERS_QUEUE_URL"], Entries=entries)
    if answer.get("Failed"):
        raise RuntimeError(answer["Failed"])
