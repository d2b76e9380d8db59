"""What the functions share: the messages of an SQS event, and what a run came to."""

import json
import os

LEDGER_TABLE = os.environ["LEDGER_TABLE"]


def messages(event: dict) -> list[dict]:
    return [json.loads(record["body"]) for record in event["Records"]]


def count(dynamodb, message: dict, operation: str, **counts: int) -> None:
    """Writes counts into the run's record: `ADD` or `SET`."""
    sign = " = " if operation == "SET" else " "
    clause = ", ".join(f"#{name}{sign}:{name}" for name in counts)
    dynamodb.update_item(
        TableName=LEDGER_TABLE,
        Key={"pk": {"S": f"run#{message['run_id']}"}, "sk": {"S": message["account_id"]}},
        UpdateExpression=f"{operation} {clause}",
        ExpressionAttributeNames={f"#{name}": name for name in counts},
        ExpressionAttributeValues={f":{name}": {"N": str(number)} for name, number in counts.items()},
    )
