"""Fault-injecting proxies (microburst), one for each service, all in this process.

    faults.py PLAN

PLAN is a JSON file, `{"seed": 7, "proxies": [[rule, …], …]}`: for each proxy its rules, as microburst knows them. Once
all are warm, one line is printed: `listening on [port, …]`, in the plan's order. Where a proxy passes calls on to is
told it later, by a PUT of the address to `/_testbed/upstream`: whoever listens there has to be told of the proxy first.
"""

import asyncio
import json
import random
import sys

from aiohttp import web
from foreign import is_foreign
from microburst.core.pipeline import Microburst
from microburst.detection import detect
from microburst.protocols import render_error

# Refuses connections: nothing listens on the port that TCP gave to discarding.
NOWHERE = "http://127.0.0.1:9"
# SQS takes a batch of 1 MiB, and JSON writes a quote as two bytes; by default, more than 1 MiB is refused here.
REQUEST_BYTES_MAX = 8 * 1024 * 1024
SERVICES = ("dynamodb", "iam", "ses", "sqs")


def warm_up() -> None:
    """Has the services' models read, which otherwise takes the first call seconds, more than callers wait."""
    for service in SERVICES:
        credential = f"Credential=1/20000101/us-east-1/{service}/aws4_request"
        context = detect({"Authorization": credential, "X-Amz-Target": "Warm.Up"}, "POST", "/", {}, b"")
        render_error(context.service, "Throttling", protocol=context.protocol)


@web.middleware
async def refuse_web_pages(request: web.Request, handler):
    """As the emulator behind it, and for the proxies' own settings."""
    if is_foreign({name.lower(): value for name, value in request.headers.items()}):
        raise web.HTTPForbidden(text="requests of web pages are refused")
    return await handler(request)


def application(rules: list) -> web.Application:
    proxy = Microburst(NOWHERE, rules=rules)

    async def set_upstream(request: web.Request) -> web.Response:
        proxy.upstream.base_url = await request.text()
        return web.Response(status=204)

    served = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[refuse_web_pages])
    served.on_startup.append(proxy.start)
    served.on_cleanup.append(proxy.stop)
    # The first route that fits is taken: whatever is none of the first two is a call to be passed on.
    served.router.add_put("/_testbed/upstream", set_upstream)
    served.router.add_route("*", "/_microburst/{tail:.*}", proxy.handle_control)
    served.router.add_route("*", "/{tail:.*}", proxy.handle_proxy)
    return served


async def listen(rules: list) -> int:
    runner = web.AppRunner(application(rules), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    # microburst draws from the one generator that all of Python shares.
    random.seed(plan["seed"])
    warm_up()
    print("listening on", [await listen(rules) for rules in plan["proxies"]], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
