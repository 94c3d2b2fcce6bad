"""The endpoints are called with the request, and answer with a response: BentoML's way there is shortened.

BentoML finds the route, makes the instance and calls its hooks. Around each request it does more, which takes a tenth
of it: a span that goes nowhere, a task with a timer that runs on long after the answer, an input model made from the
body, the signature of the method, a header with its name. None of it is for endpoints that take the file from an
`UploadMiddleware` and make responses, so it is left out. The errors of such an endpoint become problem
documents here; BentoML would log a traceback for each.
"""

from dataclasses import dataclass
from typing import cast

import _bentoml_impl.server.app as bento
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from edge.problems import KINDS, problem

# Spans are made by `edge.tracing`, requests given up by `ProblemMiddleware`, and the request is told by `_Context`.
LEFT_OUT = frozenset({"OpenTelemetryMiddleware", "TimeoutMiddleware", "ContextMiddleware"})


@dataclass(frozen=True, slots=True)
class _Context:
    """What an endpoint asks of its `bentoml.Context`."""

    request: Request


class DirectApp(bento.ServiceAppFactory):  # type: ignore[misc]  # BentoML is not typed
    """Makes the ASGI application of a service whose methods take a `bentoml.Context` and return a response."""

    @property
    def middlewares(self) -> list[Middleware]:
        """Those of the service, and of BentoML's own none that is left out."""
        return [one for one in super().middlewares if one.cls.__name__ not in LEFT_OUT]

    async def api_endpoint_wrapper(self, name: str, request: Request) -> Response:
        """Answer a request with what the endpoint of this name makes of it."""
        try:
            return cast("Response", await self.service.apis[name].func(self._service_instance, _Context(request)))
        except tuple(KINDS) as error:
            return problem(error)
