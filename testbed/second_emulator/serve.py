"""Runs moto's server on a port of this machine, one request at a time.

    serve.py PORT

* Requests wait for one another. moto's threads read a table or a queue and then change it without a lock, so that of
  two conditional writes at once both may succeed.
* `GET /_testbed/mails` returns every mail that SES has taken, as JSON: the dashboard's `/moto-api/data.json` fails as
  soon as a Lambda function exists.
* Two lists that never change are made once instead of with every request: the folders of moto's package, and the methods
  of a service. That halves the time of a call. Nothing else of moto is changed.
"""

import functools
import json
import sys
import threading

from moto import backends
from moto.core import responses
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.ses.models import ses_backends
from werkzeug.serving import run_simple

MAILS = "/_testbed/mails"

services = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: services
responses.method_names_from_class = functools.cache(responses.method_names_from_class)


def mails() -> list:
    """Every mail that SES has taken, in all accounts and regions."""
    of_regions = (backend for regions in ses_backends.values() for backend in regions.values())
    return [vars(message) for backend in of_regions for message in backend.sent_messages]


class OneAtATime:
    """A WSGI application that handles one request at a time."""

    def __init__(self, application) -> None:
        self.application = application
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            if environ["PATH_INFO"] == MAILS:
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(mails()).encode()]
            return [b"".join(self.application(environ, start_response))]


application = OneAtATime(DomainDispatcherApplication(create_backend_app))
run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
