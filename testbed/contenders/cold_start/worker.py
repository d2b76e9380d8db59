"""Checks users' keys and enqueues findings: the calls of Keynudge's worker, one after the other."""

import json
import os
from datetime import datetime, timezone

import boto3

from records import count, messages

iam = boto3.client("iam")
sqs = boto3.client("sqs")
dynamodb = boto3.client("dynamodb")


def handler(event: dict) -> dict:
    checks = messages(event)
    findings = [finding for finding in map(check, checks) if finding]
    if findings:
        send(findings)
    count(dynamodb, checks[0], "ADD", UsersChecked=len(checks), StaleOwners=len(findings))
    return {"batchItemFailures": []}


def check(message: dict) -> dict | None:
    name = message["user"]["name"]
    as_of = datetime.fromisoformat(message["as_of"].replace("Z", "+00:00"))
    stale = []
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        age_days = (as_of - key["CreateDate"]).days
        if key["Status"] == "Active" and age_days >= int(os.environ["ALERT_AFTER_DAYS"]):
            stale.append({"id": key["AccessKeyId"], "created_at": key["CreateDate"].isoformat(), "age_days": age_days})
    if not stale:
        return None
    tags = {tag["Key"]: tag["Value"] for tag in iam.list_user_tags(UserName=name)["Tags"]}
    for key in stale:
        last_used = iam.get_access_key_last_used(AccessKeyId=key["id"])["AccessKeyLastUsed"]
        key["last_used"] = last_used["LastUsedDate"].isoformat() if "LastUsedDate" in last_used else "never"
    return {
        **message,
        "recipient": {"to": tags[os.environ["CONTACT_TAG"]], "found_by": "tag"},
        "keys": stale,
        "stage": 1,
        "checked_at": datetime.now(timezone.utc).isoformat(),
    }


def send(findings: list[dict]) -> None:
    entries = [
        {"Id": str(position), "MessageBody": json.dumps(finding), "MessageGroupId": finding["account_id"]}
        for position, finding in enumerate(findings)
    ]
    answer = sqs.send_message_batch(QueueUrl=os.environ["FINDINGS_QUEUE_URL"], Entries=entries)
    if answer.get("Failed"):
        raise RuntimeError(answer["Failed"])
