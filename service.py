"""Lastgang, the service: the way of a request, from token to answer.

A request meets, in this order: `ProblemMiddleware` (whatever goes wrong, one shape), `AuthMiddleware` (token to
user), `UploadMiddleware` (bounded body to the bytes of a file), then an endpoint below. Everything that a
worker holds is made when it first needs it; importing this module makes nothing.
"""

import logging
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
from edge import answers, pages
from edge.problems import ProblemMiddleware, answering, handle_errors
from edge.uploads import UploadMiddleware
from first_start import announce, prepare, signing_key
from models.card import ModelCard
from models.catalogue import Catalogue, ServedModel
from models.store import Store
from models.watching import Watch
from processing.pipeline import Preparation
from processing.reading import LoadProfile, read_load_profile

logger = logging.getLogger("bentoml.lastgang")  # BentoML configures the loggers below its own name

PROBES = ("/livez", "/readyz", "/healthz")
UPLOADS = ("/predict/", "/forecast/")

with stopping_the_start():
    settings = load_settings()


@cache
def catalogue() -> Catalogue:
    """Return the models of this worker; `Lastgang.__init__` loads them."""
    return Catalogue(Store())


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
        _, _, power = _forecast(ctx)
        return answers.json_response(power.tolist())

    @bentoml.api(route="/forecast/{model}")
    @answering
    def forecast(self, ctx: bentoml.Context) -> Any:
        """Answer with the same numbers, their time stamps and what they were made from."""
        return answers.forecast(*_forecast(ctx))


def _forecast(ctx: bentoml.Context) -> tuple[ServedModel, LoadProfile, npt.NDArray[np.float64]]:
    """Go the way from an uploaded CSV to kW; return the model, what it was given, and (1, horizon) kW."""
    # Chosen once: whatever is labelled meanwhile, one version makes the whole answer.
    model = catalogue().get(ctx.request.path_params["model"], ctx.request.query_params.get("version"))
    preparation = _preparation(model.card)
    profile = read_load_profile(ctx.request.state.upload, time_zone=model.card.time_zone)
    output = model.runner.predict(preparation.model_input(profile))
    return model, profile, preparation.power(output)


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
        {"prefixes": UPLOADS, "max_bytes": settings.max_body_bytes, "seconds": settings.request_seconds},
    ),
):
    cast("Any", Lastgang).add_asgi_middleware(middleware, **options)
