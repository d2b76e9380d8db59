"""Mails owners, each under a claim in the ledger: the calls of Keynudge's notifier, one after the other."""

import os
import uuid

import boto3

from records import LEDGER_TABLE, count, messages

ses = boto3.client("ses")
dynamodb = boto3.client("dynamodb")

TEXT = """Hello,

these access keys of {name} in account {account} are older than {days} days:

{keys}

Please replace them.
"""
HTML = "<html><body><p>Hello,</p><p>these access keys of {name} in account {account} are older than {days} days:</p>\
<p>{keys}</p><p>Please replace them.</p></body></html>"


def handler(event: dict) -> dict:
    for finding in messages(event):
        mail(finding)
        count(dynamodb, finding, "ADD", MailsSent=1)
    return {"batchItemFailures": []}


def mail(finding: dict) -> None:
    owner = {"pk": {"S": f"owner#{finding['account_id']}#{finding['user']['id']}"}, "sk": {"S": "ledger"}}
    if "Item" in dynamodb.get_item(TableName=LEDGER_TABLE, Key=owner, ConsistentRead=True):
        return
    ses.get_send_quota()
    claim_id = uuid.uuid4().hex
    dynamodb.put_item(
        TableName=LEDGER_TABLE,
        Item={**owner, "revision": {"N": "1"}, "claim": {"S": claim_id}},
        ConditionExpression="attribute_not_exists(pk)",
    )
    send(finding, claim_id)
    dynamodb.put_item(
        TableName=LEDGER_TABLE,
        Item={**owner, "revision": {"N": "2"}, "sent": {"S": claim_id}},
        ConditionExpression="#revision = :previous",
        ExpressionAttributeNames={"#revision": "revision"},
        ExpressionAttributeValues={":previous": {"N": "1"}},
    )


def send(finding: dict, claim_id: str) -> None:
    values = {
        "name": finding["user"]["name"],
        "account": finding["account_id"],
        "days": os.environ["ALERT_AFTER_DAYS"],
        "keys": ", ".join(key["id"] for key in finding["keys"]),
    }
    ses.send_email(
        Source=os.environ["SENDER"],
        Destination={"ToAddresses": [finding["recipient"]["to"]]},
        Message={
            "Subject": {"Data": "Old access keys of {name}".format(**values)},
            "Body": {"Text": {"Data": TEXT.format(**values)}, "Html": {"Data": HTML.format(**values)}},
        },
        Tags=[
            {"Name": "account_id", "Value": finding["account_id"]},
            {"Name": "user_id", "Value": finding["user"]["id"]},
            {"Name": "claim_id", "Value": claim_id},
        ],
    )
