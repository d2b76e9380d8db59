"""Runs moto's server on a port of this machine, one request at a time.

    serve.py PORT

* Requests wait for one another. moto's threads read a table or a queue and then change it without a lock, so that of
  two conditional writes at once both may succeed.
* `GET /_testbed/mails` returns every mail that SES has taken, as JSON: the dashboard's `/moto-api/data.json` fails as
  soon as a Lambda function exists.
* A message's `SenderId` is the session token of who sends it, where that is a role's unique id and a session's name: so the
  testbed starts its functions. moto gives all messages one and the same.
* Requests of web pages are refused, as by the first emulator.
* A list in a template is without what is AWS::NoValue. moto leaves a null there, and refuses managed policies for it.
* Two lists that never change are made once instead of with every request: the folders of moto's package, and the methods
  of a service. That halves the time of a call. Nothing else of moto is changed.
"""

import functools
import json
import os
import re
import sys
import threading

from moto import backends
from moto.cloudformation import parsing
from moto.core import responses
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.ses.models import ses_backends
from moto.sqs import models as sqs
from werkzeug.serving import run_simple

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "emulator"))

from foreign import is_foreign  # noqa: E402

MAILS = "/_testbed/mails"
SENDER_ID = re.compile(r"AROA[A-Z0-9]{17}:[\w+=,.@-]{2,64}")

clean_json = parsing.clean_json


def without_no_values(*arguments):
    value = clean_json(*arguments)
    return [one for one in value if one is not None] if isinstance(value, list) else value


parsing.clean_json = without_no_values
services = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: services
responses.method_names_from_class = functools.cache(responses.method_names_from_class)


def mails() -> list:
    """Every mail that SES has taken, in all accounts and regions."""
    of_regions = (backend for regions in ses_backends.values() for backend in regions.values())
    return [vars(message) for backend in of_regions for message in backend.sent_messages]


def headers_of(environ) -> dict:
    names = (name for name in environ if name.startswith("HTTP_"))
    return {name.removeprefix("HTTP_").replace("_", "-").lower(): environ[name] for name in names}


ANYBODY = sqs.DEFAULT_SENDER_ID


class OneAtATime:
    """A WSGI application that handles one request at a time."""

    def __init__(self, application) -> None:
        self.application = application
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        if is_foreign(headers_of(environ)):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"requests of web pages are refused"]
        with self.lock:
            token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
            sqs.DEFAULT_SENDER_ID = token if SENDER_ID.fullmatch(token) else ANYBODY
            if environ["PATH_INFO"] == MAILS:
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(mails()).encode()]
            return [b"".join(self.application(environ, start_response))]


application = OneAtATime(DomainDispatcherApplication(create_backend_app))
run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
