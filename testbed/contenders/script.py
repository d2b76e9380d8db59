"""The script everyone writes: one Lambda function that goes through the account's users one by one.

A contender of `cargo bench-pipeline`. It does what Keynudge does for a plain account, and no more: no exemptions, no record
of who was mailed when, no second attempt if it fails or runs into Lambda's fifteen minutes. The mail names the keys.
"""

from datetime import datetime, timedelta, timezone

import boto3
from botocore.config import Config

MAX_AGE = timedelta(days=90)
CONTACT_TAG = "keynudge:contact"
SENDER = "keynudge@corp.example"

# The defaults, five attempts of the legacy mode, do not survive an account that throttles; this is what people set then.
CONFIG = Config(retries={"mode": "standard", "max_attempts": 10})

iam = boto3.client("iam", config=CONFIG)
ses = boto3.client("ses", config=CONFIG)


def handler(event, context):
    now = datetime.now(timezone.utc)
    for page in iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1000}):
        for user in page["Users"]:
            stale = stale_keys(user["UserName"], now)
            if stale:
                remind(user["UserName"], stale)


def stale_keys(user_name, now):
    keys = iam.list_access_keys(UserName=user_name)["AccessKeyMetadata"]
    return [key for key in keys if key["Status"] == "Active" and now - key["CreateDate"] >= MAX_AGE]


def remind(user_name, keys):
    tags = iam.list_user_tags(UserName=user_name)["Tags"]
    contact = next((tag["Value"] for tag in tags if tag["Key"] == CONTACT_TAG), None)
    if contact is None:
        print(f"{user_name} has no contact")
        return
    lines = [f"{key['AccessKeyId']}, created on {key['CreateDate']:%Y-%m-%d}" for key in keys]
    ses.send_email(
        Source=SENDER,
        Destination={"ToAddresses": [contact]},
        Message={
            "Subject": {"Data": "Please rotate your AWS access keys"},
            "Body": {"Text": {"Data": f"Old access keys of {user_name}:\n\n" + "\n".join(lines) + "\n"}},
        },
    )


if __name__ == "__main__":
    handler({}, None)
