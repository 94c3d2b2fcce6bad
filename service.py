"""Lastgang, the service: the way of a request, from token to answer.

    DrainMiddleware      leaving: close the connection with the answer
    TelemetryMiddleware  an id for the request; what it took and came to
    AuditMiddleware      a line in the audit log before the answer leaves  503
    ProblemMiddleware    whatever goes wrong on the way: one shape
    SheddingMiddleware   too much at once: come again                      503
    AuthMiddleware       token to user, and what the route takes           401, 403
    LimitsMiddleware     what the user may still send                      429
    IntentMiddleware     a line before users or models are changed         503
    UploadMiddleware     body to the bytes of one file, bounded            400, 408, 413, 415, 503
    PlaceMiddleware      one of so many at a time                          503
    an endpoint below    query to wishes, name to model                    404, 409, 422
                         bytes to load profile                             422, with every problem's row
                         its sites, of what the user may still ask         429
                         load profile to forecast, forecast to answer      503

Short work is done where its request is, long work in a thread (`edge/turns.py`); windows that wait at the same moment
go to the model together (`models/batching.py`). What a worker holds (models, users, keys, routes without a file) is
made in `worker.py`.
"""

import asyncio
import logging
from typing import Any, cast

import bentoml
from anyio import from_thread
from starlette.datastructures import State
from starlette.responses import Response

import garbage  # noqa: F401  # first, as all that follows is quicker to import then
from auth.access import Access, Without
from auth.middleware import AuthMiddleware
from config import stopping_the_start
from edge import anomaly_answers, answers, backtest_answers, csv_answers, logs
from edge.access import PROBES, needs
from edge.answers import SiteAnswer
from edge.asking import Asked, understand
from edge.audited import AuditMiddleware, IntentMiddleware
from edge.draining import DrainMiddleware
from edge.limits import LimitsMiddleware, charge
from edge.problems import ProblemMiddleware
from edge.queries import ANOMALIES, BACKTEST, FORECAST, PREDICT
from edge.renewal import Renewal
from edge.routes import Routes
from edge.scraping import keep_apart
from edge.shedding import PlaceMiddleware, SheddingMiddleware
from edge.telemetry import TelemetryMiddleware
from edge.timing import stage
from edge.uploads import UploadMiddleware
from edge.wire import Bounds, install
from first_start import announce, prepare, tell_start
from forecasting.bulk import site_forecasts
from forecasting.hindsight import LEVEL, backtests, reader_of_past, surprises, usual_levels
from forecasting.power import power_soon
from forecasting.rolling import intervals, prior
from models.behind import behind
from models.watching import Watch
from processing.reading import LoadProfile
from processing.sites import Site, Sites, read_sites
from worker import (
    app,
    auditor,
    authenticate,
    call_endpoints_directly,
    catalogue,
    drain,
    load,
    metrics,
    note,
    prefer_short_requests,
    requests,
    sampler,
    serve_metrics,
    settings,
    sites,
    tracing,
    turns,
)

logger = logging.getLogger("lastgang")

ACCESS = needs(docs_are_open=settings.docs_are_open)
OPEN = {route for route, needed in ACCESS.items() if needed is Without.TOKEN}
UPLOADS = {"/predict/": settings.max_body_bytes}
UPLOADS |= dict.fromkeys(("/forecast/", "/backtest/", "/anomalies/"), settings.max_bulk_bytes)
ROUTES = Routes(path for _, path in ACCESS)
AUDIT = {"auditor": auditor, "routes": ROUTES, "unrecorded": OPEN}
MIDDLEWARES: tuple[tuple[Any, dict[str, Any]], ...] = (  # the outermost first
    (DrainMiddleware, {"drain": drain}),
    (
        TelemetryMiddleware,
        {
            "routes": ROUTES,
            "metrics": metrics,
            "tracing": tracing,
            "server_timing": settings.server_timing,
            "access_log": settings.access_log,
        },
    ),
    *(((AuditMiddleware, AUDIT),) if settings.audit else ()),
    (ProblemMiddleware, {"seconds": settings.request_seconds}),
    (SheddingMiddleware, {"load": load(), "probes": PROBES}),
    (AuthMiddleware, {"authenticate": authenticate, "access": Access(ACCESS)}),
    (LimitsMiddleware, {"requests": requests, "sites": sites}),
    *(((IntentMiddleware, {"auditor": auditor, "routes": ROUTES}),) if settings.audit else ()),
    (UploadMiddleware, {"limits": UPLOADS, "seconds": settings.body_seconds, "load": load()}),
    (PlaceMiddleware, {"load": load(), "probes": PROBES}),
)
# Before BentoML starts the server in this process.
install(
    Bounds(settings.max_connections, settings.head_seconds, settings.answer_seconds, settings.trusted_proxies),
    Renewal(settings.certificate, settings.private_key),
)
keep_apart()
call_endpoints_directly()


@bentoml.service(
    name="lastgang",
    workers=settings.workers,
    metrics={"enabled": False},  # BentoML's labels hold the raw path: anyone could make thousands of series
    logging={"access": {"enabled": False}},  # it prints the decoded path: %0a would forge a line; ours does not
    http={"host": str(settings.host), "port": settings.port},
    ssl={
        "enabled": True,
        "certfile": str(settings.certificate),
        "keyfile": str(settings.private_key),
        # For TLS 1.2 only AEAD suites with forward secrecy; BentoML's default would leave one without AEAD.
        "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20",
    },
)
@bentoml.asgi_app(app, path="/")
class Lastgang:
    """Forecasts of electric load for the next two hours, from the last seven days in quarter-hours."""

    @bentoml.on_deployment
    @staticmethod
    def first_start() -> None:
        """Check, and in development make, what the service needs; runs once, before the workers."""
        logs.configure(settings.logs)
        with stopping_the_start():
            announce(prepare(settings))
            tell_start(settings)
            serve_metrics()

    def __init__(self) -> None:
        logs.configure(settings.logs)
        note("worker.start")
        catalogue().load()
        if not catalogue().names():
            logger.error("No model serves. Import one: python import_models.py")
        prefer_short_requests()
        behind(catalogue().compile_rest)
        if settings.watch_seconds:
            Watch(catalogue(), settings.watch_seconds).start()
        drain.on_sigterm()

    @bentoml.on_startup
    async def watch_itself(self) -> None:
        """Begin to tell the metrics of this worker, for as long as it lives."""
        self._watching = asyncio.create_task(sampler().run())  # kept, or it could be collected as garbage

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Write the last counts, lines and traces of this worker; runs once, after its last answer."""
        with metrics().never_failing():
            metrics().write()
        if settings.audit:
            auditor().close()
        if (traces := tracing()) is not None:
            traces.close()

    async def __is_ready__(self) -> bool:
        """Tell `/readyz` whether every model has been loaded and has run once, and the worker is not leaving."""
        return catalogue().ready and not drain.begun

    # BentoML makes a schema from what a method says that it returns, and knows none for a Response: hence Any.
    @bentoml.api(route="/predict/{model}")
    async def predict(self, ctx: bentoml.Context) -> Any:
        """Answer with the bare matrix `[[8 numbers in kW]]`, as the clients of the source thesis expect it."""
        asked = understand(ctx.request, PREDICT, catalogue())
        with stage("read"):
            profile = await turns().by_size(asked.upload, lambda: asked.reader.read_file(asked.upload))
        await charge(sites(), ctx.request.state, 1)
        steps = await power_soon(asked.model, profile)
        with stage("answer"):
            return answers.json_response(steps.tolist())

    @bentoml.api(route="/forecast/{model}")
    async def forecast(self, ctx: bentoml.Context) -> Any:
        """Answer with the same numbers, their time stamps and what they were made from; for one site or many."""
        asked = understand(ctx.request, FORECAST, catalogue())
        model, levels = asked.model, asked.query.levels
        if levels:
            prior(model)  # a model without intervals is told before a large file is read
        with stage("read"):
            read = await turns().by_size(asked.upload, lambda: read_sites(asked.upload, asked.reader))
        await charge(sites(), ctx.request.state, _count(read))
        if isinstance(read, Sites):
            return await turns().long(lambda: _forecast_sites(asked, read))
        steps = await power_soon(model, read)
        sure = (await turns().long(lambda: intervals(model, [read], steps, levels)))[0] if levels else None
        with stage("answer"):
            if asked.as_csv:
                return csv_answers.response(model, (), [SiteAnswer(Site("", read), steps[0], sure)], levels)
            return answers.forecast(model, read, steps[0], sure)

    @bentoml.api(route="/backtest/{model}")
    async def backtest(self, ctx: bentoml.Context) -> Any:
        """Answer with how good the model would have been over the past of one site or many, beside naive forecasts."""
        asked = understand(ctx.request, BACKTEST, catalogue())
        return await turns().long(lambda: _backtest(asked, ctx.request.state))

    @bentoml.api(route="/anomalies/{model}")
    async def anomalies(self, ctx: bentoml.Context) -> Any:
        """Answer with the quarter-hours of one site or many that were not as forecast."""
        asked = understand(ctx.request, ANOMALIES, catalogue())
        return await turns().long(lambda: _anomalies(asked, ctx.request.state))


def _count(read: LoadProfile | Sites) -> int:
    return read.count if isinstance(read, Sites) else 1


def _forecast_sites(asked: Asked, read: Sites) -> Response:
    forecasts = site_forecasts(asked.model, read, asked.query.levels)
    with stage("answer"):
        if asked.as_csv:
            return csv_answers.response(asked.model, read.notes, forecasts, asked.query.levels)
        return answers.site_forecasts(asked.model, asked.time_zone, read.notes, forecasts)


def _backtest(asked: Asked, state: State) -> Response:
    levels = asked.query.levels or usual_levels(asked.model.card)
    with stage("read"):
        read = read_sites(asked.upload, reader_of_past(asked.model, asked.time_zone, asked.rules, levels))
    from_thread.run(charge, sites(), state, _count(read))
    results = backtests(asked.model, read, levels, asked.query.stride)
    with stage("answer"):
        if asked.as_csv:
            return backtest_answers.table(asked.model, read, results, levels)
        return backtest_answers.response(asked.model, asked.time_zone, read, results)


def _anomalies(asked: Asked, state: State) -> Response:
    level = asked.query.only_level(LEVEL)
    with stage("read"):
        read = read_sites(asked.upload, reader_of_past(asked.model, asked.time_zone, asked.rules, [level]))
    from_thread.run(charge, sites(), state, _count(read))
    results = surprises(asked.model, read, level)
    with stage("answer"):
        if asked.as_csv:
            return anomaly_answers.table(read, results, level)
        return anomaly_answers.response(asked.model, asked.time_zone, read, results, level)


for middleware, options in MIDDLEWARES:
    # BentoML does not tell a type checker that its decorator made a Service of the class.
    cast("Any", Lastgang).add_asgi_middleware(middleware, **options)
