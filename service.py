"""Lastgang, the service: the way of a request, from token to answer.

    ProblemMiddleware    whatever goes wrong on the way: one shape
    AuthMiddleware       token to user                                     401
    UploadMiddleware     body to the bytes of one file, bounded            400, 408, 413, 415
    an endpoint below    query to wishes, name to model                    404, 409, 422
                         bytes to load profile                             422, with every problem's row
                         load profile to forecast, forecast to answer      503

What a worker holds (models, users, keys, routes without a file) is made in `worker.py`.
"""

import logging
from typing import Any, cast

import bentoml

from auth.middleware import AuthMiddleware
from config import stopping_the_start
from edge import anomaly_answers, answers, backtest_answers, csv_answers, pages
from edge.answers import SiteAnswer
from edge.problems import ProblemMiddleware, answering
from edge.queries import ANOMALIES, BACKTEST, FORECAST, PREDICT, prefers_csv, read_query
from edge.uploads import UploadMiddleware
from first_start import announce, prepare
from forecasting.bulk import site_forecasts
from forecasting.hindsight import LEVEL, backtests, reader_of_past, surprises, usual_levels
from forecasting.power import power
from forecasting.rolling import intervals, prior
from models.watching import Watch
from processing.reading import Reader
from processing.sites import Site, Sites, read_sites
from processing.table import read_table
from worker import PROBES, app, authenticate, catalogue, settings

logger = logging.getLogger("bentoml.lastgang")  # BentoML configures the loggers below its own name

OPEN_ROUTES = {("POST", "/token"), *(("GET", path) for path in PROBES)}
if settings.docs_are_open:
    OPEN_ROUTES |= {("GET", path) for path in pages.DOCUMENTATION}
UPLOADS = {"/predict/": settings.max_body_bytes}
UPLOADS |= dict.fromkeys(("/forecast/", "/backtest/", "/anomalies/"), settings.max_bulk_bytes)
MIDDLEWARES: tuple[tuple[Any, dict[str, Any]], ...] = (  # the outermost first
    (ProblemMiddleware, {"seconds": settings.request_seconds}),
    (AuthMiddleware, {"authenticate": authenticate, "open_routes": OPEN_ROUTES}),
    (UploadMiddleware, {"limits": UPLOADS, "seconds": settings.body_seconds}),
)


@bentoml.service(
    name="lastgang",
    workers=settings.workers,
    threads=settings.threads,
    traffic={"timeout": 2 * settings.request_seconds},  # never reached: ProblemMiddleware gives up before, in our shape
    metrics={"enabled": False},  # BentoML's labels hold the raw path: anyone could make thousands of series
    logging={"access": {"enabled": False}},  # it prints the decoded path: %0a would forge a line
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
        with stopping_the_start():
            announce(prepare(settings))

    def __init__(self) -> None:
        catalogue().load()
        if not catalogue().names():
            logger.error("No model serves. Import one: python import_models.py")
        if settings.watch_seconds:
            Watch(catalogue(), settings.watch_seconds).start()

    async def __is_ready__(self) -> bool:
        """Tell `/readyz` whether every model has been loaded and has run once."""
        return catalogue().ready

    # BentoML makes a schema from what a method says that it returns, and knows none for a Response: hence Any.
    @bentoml.api(route="/predict/{model}")
    @answering
    def predict(self, ctx: bentoml.Context) -> Any:
        """Answer with the bare matrix `[[8 numbers in kW]]`, as the clients of the source thesis expect it."""
        query = read_query(ctx.request.query_params.multi_items(), PREDICT)
        model = catalogue().get(ctx.request.path_params["model"], query.version)
        zone = query.time_zone or model.card.time_zone
        reader = Reader(zone, model.card.window, query.rules(model.card.known_mean_kw))
        profile = reader.read(read_table(ctx.request.state.upload))
        return answers.json_response(power(model, [profile]).tolist())

    @bentoml.api(route="/forecast/{model}")
    @answering
    def forecast(self, ctx: bentoml.Context) -> Any:
        """Answer with the same numbers, their time stamps and what they were made from; for one site or many."""
        query = read_query(ctx.request.query_params.multi_items(), FORECAST)
        as_csv = prefers_csv(ctx.request.headers.get("accept"))
        model = catalogue().get(ctx.request.path_params["model"], query.version)
        if query.levels:
            prior(model)  # a model without intervals is told before a large file is read
        zone = query.time_zone or model.card.time_zone
        read = read_sites(
            ctx.request.state.upload, Reader(zone, model.card.window, query.rules(model.card.known_mean_kw))
        )
        if isinstance(read, Sites):
            forecasts = site_forecasts(model, read.sites, query.levels)
            if as_csv:
                return csv_answers.response(model, read.notes, forecasts, query.levels)
            return answers.site_forecasts(model, zone, read.notes, forecasts)
        steps = power(model, [read])
        sure = intervals(model, [read], steps, query.levels)[0] if query.levels else None
        if as_csv:
            return csv_answers.response(model, (), [SiteAnswer(Site("", read), steps[0], sure)], query.levels)
        return answers.forecast(model, read, steps[0], sure)

    @bentoml.api(route="/backtest/{model}")
    @answering
    def backtest(self, ctx: bentoml.Context) -> Any:
        """Answer with how good the model would have been over the past of one site or many, beside naive forecasts."""
        query = read_query(ctx.request.query_params.multi_items(), BACKTEST)
        as_csv = prefers_csv(ctx.request.headers.get("accept"))
        model = catalogue().get(ctx.request.path_params["model"], query.version)
        zone = query.time_zone or model.card.time_zone
        levels = query.levels or usual_levels(model.card)
        reader = reader_of_past(model, zone, query.rules(model.card.known_mean_kw), levels)
        read = read_sites(ctx.request.state.upload, reader)
        results = backtests(model, read, levels, query.stride)
        if as_csv:
            return backtest_answers.table(model, read, results, levels)
        return backtest_answers.response(model, zone, read, results)

    @bentoml.api(route="/anomalies/{model}")
    @answering
    def anomalies(self, ctx: bentoml.Context) -> Any:
        """Answer with the quarter-hours of one site or many that were not as forecast."""
        query = read_query(ctx.request.query_params.multi_items(), ANOMALIES)
        as_csv = prefers_csv(ctx.request.headers.get("accept"))
        model = catalogue().get(ctx.request.path_params["model"], query.version)
        zone = query.time_zone or model.card.time_zone
        level = query.only_level(LEVEL)
        reader = reader_of_past(model, zone, query.rules(model.card.known_mean_kw), [level])
        read = read_sites(ctx.request.state.upload, reader)
        results = surprises(model, read, level)
        if as_csv:
            return anomaly_answers.table(read, results, level)
        return anomaly_answers.response(model, zone, read, results, level)


for middleware, options in MIDDLEWARES:
    # BentoML does not tell a type checker that its decorator made a Service of the class.
    cast("Any", Lastgang).add_asgi_middleware(middleware, **options)
