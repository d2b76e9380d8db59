"""Tells the functions' calls apart in MiniStack, so that each message says which role has sent it.

SQS gives each message the attribute `SenderId`: the unique id of the role and the session's name, which for a function is the
function's. MiniStack gives the account's number to every receiver. A function's calls are known here by their session
token, without `AUTH`, too, and the testbed's by the same header: it can send as a role.

`lambda:SourceFunctionArn` is the function whose session it is, and nothing for any other session of the same role.
"""

import contextvars
import re

from ministack import app as gateway
from ministack.core import lambda_runtime
from ministack.services import iam, lambda_svc, sqs, sts

from pinned import require

require(gateway, "app", "AUTH")
require(lambda_runtime, "execution_credentials")
require(lambda_svc, "execution_credentials", "_run_sqs_batch")
require(sqs, "_build_send_sys_attrs")
require(sts, "_sessions")
require(iam, "_roles")

TOKEN = b"x-amz-security-token"
# A role's unique id, and the name of a session.
SENDER_ID = re.compile(r"AROA[A-Z0-9]{17}:[\w+=,.@-]{2,64}")

_sender: contextvars.ContextVar = contextvars.ContextVar("testbed_sender", default=None)
# The senders by the functions' tokens, and the functions' ARNs by those of their sessions.
_senders: dict = {}
_functions: dict = {}

_app = gateway.app
_execution_credentials = lambda_runtime.execution_credentials
_build_send_sys_attrs = sqs._build_send_sys_attrs
_run_sqs_batch = lambda_svc._run_sqs_batch


def execution_credentials(config: dict) -> dict:
    credentials = _execution_credentials(config)
    function_arn, role_arn = config.get("FunctionArn", ""), config.get("Role", "")
    account, role_name = function_arn.split(":")[4], role_arn.rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, role_name)
    if role is None:
        return credentials
    session_name = config.get("FunctionName", "")[:64]
    sender_id = f"{role['RoleId']}:{session_name}"
    # Without AUTH there is no session, and the token is not looked at by anybody else.
    token = credentials["AWS_SESSION_TOKEN"] if gateway.AUTH else sender_id
    _senders[token] = sender_id
    session = sts._sessions.get(credentials["AWS_ACCESS_KEY_ID"])
    if session is not None:
        session["UserId"] = sender_id
        # Versions and aliases of a function are the same function here.
        _functions[session["Arn"]] = ":".join(function_arn.split(":")[:7])
    return {**credentials, "AWS_SESSION_TOKEN": token}


def source_function_arn(session_arn: str) -> str | None:
    """The function whose session this is."""
    return _functions.get(session_arn)


def sender_of(token: str) -> str | None:
    return _senders.get(token) or (token if SENDER_ID.fullmatch(token) else None)


async def app(scope, receive, send) -> None:
    if scope["type"] == "http":
        token = dict(scope["headers"]).get(TOKEN, b"").decode("latin-1")
        _sender.set(sender_of(token))
    await _app(scope, receive, send)


def build_send_sys_attrs(*arguments) -> dict:
    attributes = _build_send_sys_attrs(*arguments)
    return {**attributes, "SenderId": _sender.get() or attributes["SenderId"]}


def run_sqs_batch(esm, func_rec, event, batch, *arguments):
    senders = {message["id"]: message["sys"]["SenderId"] for message in batch if "SenderId" in message.get("sys", {})}
    for record in event["Records"]:
        attributes = record["attributes"]
        attributes["SenderId"] = senders.get(record["messageId"], attributes["SenderId"])
    return _run_sqs_batch(esm, func_rec, event, batch, *arguments)


gateway.app = app
lambda_runtime.execution_credentials = execution_credentials
lambda_svc.execution_credentials = execution_credentials
sqs._build_send_sys_attrs = build_send_sys_attrs
lambda_svc._run_sqs_batch = run_sqs_batch
