"""Schedules in MiniStack: they invoke a function as Lambda is invoked asynchronously.

MiniStack starts the function once, and a run whose start fails is lost. Lambda tries it again, as the function's
`EventInvokeConfig` says, and hands what fails in the end to its `OnFailure` destination. MiniStack can do that, and does
so for other sources of events.
"""

import json

from ministack.services import eventbridge, lambda_svc

from pinned import require

require(eventbridge, "_dispatch_to_lambda")
require(lambda_svc, "_get_func_record_for_ref", "_execution_record_for_config", "invoke_async_with_retry")


def dispatch(arn: str, payload: str) -> None:
    function, configuration, _ = lambda_svc._get_func_record_for_ref(arn)
    if function is None:
        raise LookupError(f"there is no function {arn}")
    event = json.loads(payload)
    record = lambda_svc._execution_record_for_config(function, configuration)
    lambda_svc.invoke_async_with_retry(record, event)


eventbridge._dispatch_to_lambda = dispatch
