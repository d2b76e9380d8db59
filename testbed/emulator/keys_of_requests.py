"""Condition keys in MiniStack: what policies say of a request's content, and it does not look at.

* `dynamodb:LeadingKeys` is the partition key of the item that a request is about. A request about no single item, such as a
  Scan, has none.
* `ses:FromAddress` and `ses:Recipients` are who a mail is from, and everybody it goes to.
"""

import json
from urllib.parse import parse_qs

from ministack.core import iam_actions
from ministack.services import dynamodb

from pinned import require

require(iam_actions, "dynamodb_service_context", "request_tag_context")
require(dynamodb, "_tables")

RECIPIENTS = tuple(f"Destination.{kind}Addresses.member." for kind in ("To", "Cc", "Bcc"))

_of_dynamodb = iam_actions.dynamodb_service_context
_of_tags = iam_actions.request_tag_context


def leading_keys(body: bytes) -> list | None:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    table = dynamodb._tables.get(str(request.get("TableName", "")).rpartition("/")[2])
    item = request.get("Key") or request.get("Item")
    if not table or not isinstance(item, dict):
        return None
    hash_key = next(key["AttributeName"] for key in table["KeySchema"] if key["KeyType"] == "HASH")
    value = item.get(hash_key)
    return [str(next(iter(value.values())))] if isinstance(value, dict) and value else None


def of_dynamodb(body: bytes) -> dict:
    keys = leading_keys(body)
    return {**_of_dynamodb(body), **({"dynamodb:LeadingKeys": keys} if keys else {})}


def of_mail(body: bytes) -> dict:
    form = parse_qs(body.decode("utf-8", errors="replace"))
    recipients = [value for name, values in form.items() if name.startswith(RECIPIENTS) for value in values]
    senders = form.get("Source", [])
    return {
        **({"ses:Recipients": recipients} if recipients else {}),
        **({"ses:FromAddress": senders[0]} if senders else {}),
    }


def of_tags(service: str, action: str, body: bytes, parameters: dict) -> dict:
    mail = of_mail(body) if action == "ses:SendEmail" else {}
    return {**_of_tags(service, action, body, parameters), **mail}


iam_actions.dynamodb_service_context = of_dynamodb
iam_actions.request_tag_context = of_tags
