"""Writes into the ledger what SES says of mails: the calls of Keynudge's feedback, one after the other."""

from datetime import datetime, timezone

import boto3

from records import LEDGER_TABLE, count, messages

dynamodb = boto3.client("dynamodb")


def handler(event: dict) -> dict:
    for ses_event in messages(event):
        hear(ses_event)
    return {"batchItemFailures": []}


def hear(ses_event: dict) -> None:
    tags = {name: values[0] for name, values in ses_event["mail"]["tags"].items()}
    owner = {"pk": {"S": f"owner#{tags['account_id']}#{tags['user_id']}"}, "sk": {"S": "ledger"}}
    entry = dynamodb.get_item(TableName=LEDGER_TABLE, Key=owner, ConsistentRead=True)["Item"]
    last = entry["history"]["L"][0]["M"]
    if last["claim_id"]["S"] != tags["claim_id"]:
        return
    revision = entry["revision"]
    not_reached = {
        "reason": {"S": ses_event["eventType"].lower()},
        "at": {"S": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    entry.update(revision={"N": str(int(revision["N"]) + 1)}, not_reached={"M": not_reached})
    dynamodb.put_item(
        TableName=LEDGER_TABLE,
        Item=entry,
        ConditionExpression="#revision = :previous",
        ExpressionAttributeNames={"#revision": "revision"},
        ExpressionAttributeValues={":previous": revision},
    )
    run = {"run_id": last["notice"]["M"]["run_id"]["S"], "account_id": tags["account_id"]}
    count(dynamodb, run, "ADD", OwnersNotReached=1)
