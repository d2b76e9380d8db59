"""Requests that web pages make, which MiniStack would answer: refused.

MiniStack takes any request, and runs a function's code as the user who started it. A browser lets every page send requests
to this machine, so without this, a page that finds the port runs code here. Browsers say so themselves: with `Origin`, with
`Sec-Fetch-Site`, or, where a page's own name was made to lead here, with that name as `Host`. The AWS CLI and the SDKs send
none of these.
"""

import http.server

from ministack import app as gateway

from foreign import is_foreign
from pinned import require

require(gateway, "app")

REFUSAL = b"requests of web pages are refused"

_app = gateway.app


async def app(scope, receive, send) -> None:
    if scope["type"] not in ("http", "websocket"):
        return await _app(scope, receive, send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if not is_foreign(headers):
        return await _app(scope, receive, send)
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close"})
    length = str(len(REFUSAL)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})


_parse_request = http.server.BaseHTTPRequestHandler.parse_request


def parse_request(self) -> bool:
    """For the servers from which MiniStack's functions take their events."""
    if not _parse_request(self):
        return False
    if is_foreign({name.lower(): value for name, value in self.headers.items()}):
        self.send_error(403, REFUSAL.decode())
        return False
    return True


gateway.app = app
http.server.BaseHTTPRequestHandler.parse_request = parse_request
