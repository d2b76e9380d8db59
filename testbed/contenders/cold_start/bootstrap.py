"""What Lambda's Python runtime does, as short as it gets: imports the handler, which makes its clients, and asks the
Runtime API for one event after the other."""

import importlib
import json
import os
from urllib.request import Request, urlopen

handler = importlib.import_module(os.environ["_HANDLER"]).handler
invocations = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"

while True:
    with urlopen(f"{invocations}/next") as answer:
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(answer)
    outcome = json.dumps(handler(event)).encode()
    urlopen(Request(f"{invocations}/{request_id}/response", data=outcome)).close()
