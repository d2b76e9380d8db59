"""What the functions share: the messages of an SQS event, and what a run came to."""

import json


def messages(event: dict) -> list[dict]:
    return [json.loads(record["body"]) for record in event["Records"]]


def count(table, message: dict, operation: str, **counts: int) -> None:
    """Writes counts into the run's record: `ADD` or `SET`."""
    sign = " = " if operation == "SET" else " "
    clause = ", ".join(f"#{name}{sign}:{name}" for name in counts)
    table.update_item(
        Key={"pk": f"run#{message['run_id']}", "sk": message["account_id"]},
        UpdateExpression=f"{operation} {clause}",
        ExpressionAttributeNames={f"#{name}": name for name in counts},
        ExpressionAttributeValues={f":{name}": number for name, number in counts.items()},
    )
