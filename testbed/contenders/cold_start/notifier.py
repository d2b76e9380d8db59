"""Mails owners, each under a claim in the ledger: the calls of Keynudge's notifier, one after the other."""

import os
import uuid

import boto3

from records import count, messages

ses = boto3.client("ses")
table = boto3.resource("dynamodb").Table(os.environ["LEDGER_TABLE"])

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
        count(table, finding, "ADD", MailsSent=1)
    return {"batchItemFailures": []}


def mail(finding: dict) -> None:
    owner = {"pk": f"owner#{finding['account_id']}#{finding['user']['id']}", "sk": "ledger"}
    if "Item" in table.get_item(Key=owner, ConsistentRead=True):
        return
    ses.get_send_quota()
    claim_id = uuid.uuid4().hex
    table.put_item(
        Item={**owner, "revision": 1, "claim": claim_id}, ConditionExpression="attribute_not_exists(pk)"
    )
    send(finding, claim_id)
    table.put_item(
        Item={**owner, "revision": 2, "sent": claim_id},
        ConditionExpression="#revision = :previous",
        ExpressionAttributeNames={"#revision": "revision"},
        ExpressionAttributeValues={":previous": 1},
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
