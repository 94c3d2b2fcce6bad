"""Lastgang, the service: the way of a request, from token to answer.

A request meets, in this order: `ProblemMiddleware` (whatever goes wrong, one shape), `AuthMiddleware` (token to
user), `UploadMiddleware` (bounded body to the bytes of a file), then an endpoint below. Everything that a
worker holds is made when it first needs it; importing this module makes nothing.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, cast

import bentoml
import numpy as np
import numpy.typing as npt

from auth.app import LogIn, create_app
from auth.middleware import Authenticator, AuthMiddleware, Identity
from auth.passwords import Passwords
from auth.tokens import Tokens
from auth.users import UserStore
from config import load_settings, stopping_the_start
from edge import answers, csv_answers, pages
from edge.answers import SiteAnswer
from edge.problems import ProblemMiddleware, answering, handle_errors
from edge.queries import FORECAST, PREDICT, prefers_csv, read_query
from edge.uploads import UploadMiddleware
from first_start import announce, prepare, signing_key
from models.card import ModelCard
from models.catalogue import Catalogue, ServedModel
from models.errors import NonFiniteForecast
from models.store import Store
from models.watching import Watch
from processing.errors import Problem
from processing.pipeline import Preparation
from processing.reading import LoadProfile, Reader, read_load_profile
from processing.sites import Site, Sites, read_sites

logger = logging.getLogger("bentoml.lastgang")  # BentoML configures the loggers below its own name

PROBES = ("/livez", "/readyz", "/healthz")
BATCH_SIZES = (1, 32)  # windows that a model is compiled for; half a second and some MB for each at the start
AT_ONCE = 512  # sites of one request that a model gets at a time; 10 MB of input

with stopping_the_start():
    settings = load_settings()


@cache
def catalogue() -> Catalogue:
    """Return the models of this worker; `Lastgang.__init__` loads them."""
    return Catalogue(Store(), batch_sizes=BATCH_SIZES)


@cache
def tokens() -> Tokens:
    """Return what issues and verifies the tokens of this worker."""
    lifetime = timedelta(minutes=settings.token_minutes)
    return Tokens([signing_key(settings)], settings.issuer, settings.audience, lifetime)


@cache
def users() -> UserStore:
    """Return this worker's view of the shared user store."""
    return UserStore(settings.user_database)


@cache
def log_in() -> LogIn:
    """Return what turns a name and a password into a token."""
    return LogIn(users(), Passwords(), tokens())


@cache
def authenticator() -> Authenticator:
    """Return what finds the user behind a token."""
    return Authenticator(tokens(), users())


async def authenticate(token: str) -> Identity:
    """Return who bears the token."""
    return await authenticator()(token)


app = create_app(log_in)
pages.add_routes(app, catalogue)
handle_errors(app)

open_routes = {("GET", path) for path in PROBES} | {("POST", "/token")}
if settings.docs_are_open:
    open_routes |= {("GET", path) for path in pages.DOCUMENTATION}


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
        profile = read_load_profile(ctx.request.state.upload, time_zone=zone, at_least=model.card.window)
        return answers.json_response(_power(model, [profile]).tolist())

    @bentoml.api(route="/forecast/{model}")
    @answering
    def forecast(self, ctx: bentoml.Context) -> Any:
        """Answer with the same numbers, their time stamps and what they were made from; for one site or many."""
        query = read_query(ctx.request.query_params.multi_items(), FORECAST)
        as_csv = prefers_csv(ctx.request.headers.get("accept"))
        model = catalogue().get(ctx.request.path_params["model"], query.version)
        zone = query.time_zone or model.card.time_zone
        read = read_sites(ctx.request.state.upload, Reader(zone, model.card.window, query.rules()))
        if isinstance(read, Sites):
            forecasts = _forecasts(model, read.sites)
            if as_csv:
                return csv_answers.response(model, read.notes, forecasts)
            return answers.site_forecasts(model, zone, read.notes, forecasts)
        power = _power(model, [read])[0]
        if as_csv:
            return csv_answers.response(model, (), [SiteAnswer(Site("", read), power)])
        return answers.forecast(model, read, power)


def _power(model: ServedModel, profiles: Sequence[LoadProfile]) -> npt.NDArray[np.float64]:
    """Go the way from n load profiles to (n, horizon) kW."""
    preparation = _preparation(model.card)
    return preparation.power(model.runner.predict(preparation.model_inputs(profiles)))


def _forecasts(model: ServedModel, sites: Sequence[Site]) -> list[SiteAnswer]:
    """Forecast every site that can be, `AT_ONCE` at a time: so much memory, however many there are."""
    forecasts: list[SiteAnswer] = []
    for start in range(0, len(sites), AT_ONCE):
        part = list(sites[start : start + AT_ONCE])
        try:
            good = [site.profile for site in part if site.profile is not None]
            powers = iter(_power(model, good))
        except NonFiniteForecast as error:
            bad = {id(good[row]) for row in error.rows}
            part = [_without_forecast(site, error) if id(site.profile) in bad else site for site in part]
            powers = iter(_power(model, [site.profile for site in part if site.profile is not None]))
        forecasts += [SiteAnswer(site, None if site.profile is None else next(powers)) for site in part]
    return forecasts


def _without_forecast(site: Site, error: NonFiniteForecast) -> Site:
    return Site(site.name, None, (Problem(None, None, "no_finite_forecast", str(error)),), 1)


def _preparation(card: ModelCard) -> Preparation:
    """Return what the card says of a model's input and output."""
    return Preparation(
        columns=card.column_names,
        mean=[column.mean for column in card.columns],
        std=[column.std for column in card.columns],
        target_mean=card.target.mean,
        target_std=card.target.std,
        window=card.window,
    )


# The first one is the outermost. BentoML does not tell a type checker that its decorator made a Service of the class.
for middleware, options in (
    (ProblemMiddleware, {"seconds": settings.request_seconds}),
    (AuthMiddleware, {"authenticate": authenticate, "open_routes": open_routes}),
    (
        UploadMiddleware,
        {
            "limits": {"/predict/": settings.max_body_bytes, "/forecast/": settings.max_bulk_bytes},
            "seconds": settings.request_seconds,
        },
    ),
):
    cast("Any", Lastgang).add_asgi_middleware(middleware, **options)
