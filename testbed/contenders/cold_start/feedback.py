"""Writes into the ledger what SES says of mails: the calls of Keynudge's feedback, one after the other."""

import os
from datetime import datetime, timezone

import boto3

from records import count, messages

table = boto3.resource("dynamodb").Table(os.environ["LEDGER_TABLE"])


def handler(event: dict) -> dict:
    for ses_event in messages(event):
        hear(ses_event)
    return {"batchItemFailures": []}


def hear(ses_event: dict) -> None:
    tags = {name: values[0] for name, values in ses_event["mail"]["tags"].items()}
    owner = {"pk": f"owner#{tags['account_id']}#{tags['user_id']}", "sk": "ledger"}
    entry = table.get_item(Key=owner, ConsistentRead=True)["Item"]
    last = entry["history"][0]
    if last["claim_id"] != tags["claim_id"]:
        return
    revision = entry["revision"]
    entry["revision"] = revision + 1
    entry["not_reached"] = {
        "reason": ses_event["eventType"].lower(),
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    table.put_item(
        Item=entry,
        ConditionExpression="#revision = :previous",
        ExpressionAttributeNames={"#revision": "revision"},
        ExpressionAttributeValues={":previous": revision},
    )
    run = {"run_id": last["notice"]["run_id"], "account_id": tags["account_id"]}
    count(table, run, "ADD", OwnersNotReached=1)
