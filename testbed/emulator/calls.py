"""Calls to MiniStack, counted: which operations the functions asked for, and how often.

Whoever signs is counted: the functions do, the testbed's own client does not. `GET /_testbed/calls` says the counts so
far.
"""

import json
from collections import Counter

from ministack import app as gateway

from pinned import require

require(gateway, "app")

PATH = "/_testbed/calls"
UNSIGNED = b"Signature=none"

_app = gateway.app
_counts: Counter = Counter()


def signed_service(headers: dict) -> str | None:
    """The service a request is signed for: the fourth part of its credential, after key, day and region."""
    authorization = headers.get(b"authorization", b"")
    parts = authorization.split(b"/")
    if UNSIGNED in authorization or len(parts) < 4:
        return None
    return parts[3].decode()


def action_in(form: bytes) -> str:
    _, _, rest = form.partition(b"Action=")
    return rest.partition(b"&")[0].decode()


async def answer(send) -> None:
    body = json.dumps(_counts).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send) -> None:
    if scope["type"] != "http":
        return await _app(scope, receive, send)
    if scope["path"] == PATH:
        return await answer(send)
    headers = dict(scope["headers"])
    service = signed_service(headers)
    if service is None:
        return await _app(scope, receive, send)
    if target := headers.get(b"x-amz-target"):
        _counts[f"{service}:{target.decode().rpartition('.')[2]}"] += 1
        return await _app(scope, receive, send)

    # Query services name the operation at the beginning of the form.
    is_first = True

    async def receive_and_count() -> dict:
        nonlocal is_first
        message = await receive()
        if is_first and message["type"] == "http.request":
            is_first = False
            _counts[f"{service}:{action_in(message.get('body', b''))}"] += 1
        return message

    await _app(scope, receive_and_count, send)


gateway.app = app
