"""Sends requests through the very middlewares and application that a worker serves, and prints the answers as JSON.

Standard input is a JSON list of requests, each the values of its headers `Authorization`; every one of them asks for
``GET /users/me``. What the service logs goes to standard error. A process of its own, because importing the service
configures BentoML for good.
"""

import asyncio
import json
import sys
from typing import Any


async def send(app: Any, values: list[str]) -> dict[str, Any]:
    """Return the answer to a request with these headers: status, headers, body."""
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: dict[str, Any]) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/users/me",
        "raw_path": b"/users/me",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", value.encode("latin-1")) for value in values],
        "client": ("192.0.2.7", 1),
        "server": ("localhost", 443),
    }
    await app(scope, receive, keep)
    headers = {name.decode().lower(): value.decode() for name, value in told[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in told[1:])
    return {"status": told[0]["status"], "headers": headers, "body": body.decode()}


async def send_all(app: Any, requests: list[list[str]]) -> list[dict[str, Any]]:
    """Return the answers, one after the other."""
    return [await send(app, values) for values in requests]


def main() -> None:
    """Read, send, print."""
    sys.path.insert(0, "")
    import service  # noqa: PLC0415 - importing this module has no effect
    import worker  # noqa: PLC0415

    app: Any = worker.app
    for middleware, options in reversed(service.MIDDLEWARES):
        app = middleware(app, **options)
    answers = asyncio.run(send_all(app, json.load(sys.stdin)))
    sys.stdout.write("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
