"""What one worker of the service holds: its models, its view of the users, its keys, its routes.

Each is made when it is first needed, so that importing this module makes nothing: `bentoml build` and the parent
of the workers import it, too, and have neither keys nor users. A setting that cannot be used ends the process here.
"""

import gc
import os
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditing import actor, open_trail
from auth.admin import add_admin
from auth.administration import Administration
from auth.app import LogIn, create_app
from auth.budgets import Budget
from auth.clients import ClientStore
from auth.counters import Counters, beside
from auth.database import Database, connect, open_database
from auth.desk import TokenDesk
from auth.grants import Grants
from auth.metadata import describe
from auth.middleware import Authenticator, Identity
from auth.passwords import Passwords
from auth.places import KnownPlaces
from auth.published import publish_keys
from auth.refresh import RefreshTokens
from auth.throttle import Throttle
from auth.tokens import Tokens
from auth.users import UserStore
from config import SettingsError, cores, load_settings, stopping_the_start
from edge import pages
from edge.audited import Auditor
from edge.draining import Drain
from edge.metrics import Metrics
from edge.model_changes import add_model_changes
from edge.problems import handle_errors
from edge.sampling import Sampler
from edge.scraping import serve
from edge.shedding import Load
from edge.timing import stage
from edge.turns import Turns
from first_start import derived_secret, tokens_of, trusted_issuer
from models.batching import Batches
from models.catalogue import Catalogue
from models.slim_tensorflow import limit_retained_memory, limit_threads
from models.store import Store

if TYPE_CHECKING:
    from edge.tracing import Tracing

SWITCH = 0.0005  # seconds; Python's 0.005 let a short request wait three times as long beside 10,000 sites
BATCH_SIZES = (1, 16)  # windows that a model is compiled for; after the start, some seconds and 18 MB for each

with stopping_the_start():
    settings = load_settings()
limit_retained_memory()
drain = Drain(settings.drain_seconds)


@cache
def catalogue() -> Catalogue:
    """Return the models of this worker; `Lastgang.__init__` loads them."""
    # XLA computes in TensorFlow's threads: with a single one, the two of a backtest would wait for each other.
    limit_threads(max(min(2, cores()), cores() // settings.workers))
    return Catalogue(
        Store(),
        batch_sizes=BATCH_SIZES,
        gather=lambda runner: Batches(runner, metrics().batch),
        took=lambda name, label, version: note("model.serve", model=name, label=label, version=version),
    )


def call_endpoints_directly() -> None:
    """Let BentoML make its applications by `edge.endpoints`; its server, 11 MB, is loaded by who makes one alone."""
    from _bentoml_sdk.service.factory import Service  # noqa: PLC0415  # imported before, where it is needed

    def to_asgi(service: Any, *, is_main: bool = True) -> Any:
        from edge.endpoints import DirectApp  # noqa: PLC0415

        service.inject_config()
        return DirectApp(service, is_main=is_main)()

    Service.to_asgi = to_asgi


def prefer_short_requests() -> None:
    """Let nothing hold the interpreter for long while a short request waits for it; after all has been loaded."""
    sys.setswitchinterval(SWITCH)
    # What there is now stays: to look through it for garbage takes a tenth of a second.
    gc.collect()
    gc.freeze()


@cache
def metrics() -> Metrics:
    """Return what counts in this worker."""
    from bentoml import server_context  # noqa: PLC0415  # imported before, where it is needed

    return Metrics(worker=server_context.worker_index or 1, build=server_context.bento_version)


def serve_metrics() -> None:
    """Serve the metrics of all workers on a port of their own, if one is set; in the parent of the workers.

    Raises:
        SettingsError: it cannot be listened on.
    """
    if not settings.metrics_port:
        return
    from bentoml._internal.configuration.containers import BentoMLContainer  # noqa: PLC0415  # see above

    try:
        # BentoML names the folder to its workers only.
        folder = Path(BentoMLContainer.prometheus_multiproc_dir.get())
        serve(str(settings.metrics_host), settings.metrics_port, folder)
    except OSError as error:
        raise SettingsError(
            f"LASTGANG_METRICS_PORT: {settings.metrics_host} port {settings.metrics_port} cannot be listened on "
            f"({error.strerror}). Stop what uses it, or set another; 0 has none."
        ) from None


@cache
def tracing() -> "Tracing | None":
    """Return what traces the requests of this worker, if a collector is set."""
    if settings.otlp_endpoint is None:
        return None
    from bentoml import server_context  # noqa: PLC0415  # as above

    from edge.tracing import Tracing  # noqa: PLC0415  # it loads a lot

    build = server_context.bento_version
    return Tracing(settings.otlp_endpoint, settings.trace_ratio, settings.collector_headers, build)


@cache
def auditor() -> Auditor:
    """Return what records the requests of this worker."""
    return Auditor(open_trail(settings), actor(), os.getpid(), metrics().audited)


def note(event: str, **facts: str) -> None:
    """Record what this worker does by itself, unless nothing is recorded."""
    if settings.audit:
        auditor().note(event, **facts)


@cache
def load() -> Load:
    """Return what bounds the work of this worker."""
    return Load(settings.max_requests, settings.max_queue, settings.body_room)


@cache
def turns() -> Turns:
    """Return what does the work of this worker's requests."""
    return Turns(settings.threads, settings.max_requests // 2)


@cache
def sampler() -> Sampler:
    """Return what watches this worker from within."""
    return Sampler(metrics(), turns(), lambda: catalogue().known())


@cache
def tokens() -> Tokens:
    """Return what issues and verifies the tokens of this worker."""
    return tokens_of(settings)


@cache
def database() -> Database:
    """Return this worker's connections to the database of users."""
    return open_database(settings.user_database)


@cache
def counters() -> Counters:
    """Return the counters that this worker shares with all others."""
    return Counters(connect(beside(settings.user_database)))


@cache
def requests() -> Budget | None:
    """Return what a user may send; None for any number."""
    limit = settings.requests_per_minute
    return Budget(counters(), "requests", limit, 60) if limit else None


@cache
def sites() -> Budget | None:
    """Return what a user may ask about; None for any number."""
    limit = settings.sites_per_hour
    return Budget(counters(), "sites", limit, 3_600) if limit else None


@cache
def throttle() -> Throttle:
    """Return what makes log-ins wait after failed ones."""
    return Throttle(counters(), KnownPlaces(database()), derived_secret(settings, "throttle"))


@cache
def users() -> UserStore:
    """Return this worker's view of the shared user store."""
    return UserStore(database())


@cache
def refresh_tokens() -> RefreshTokens | None:
    """Return what keeps refresh tokens; None where the settings allow none."""
    if not settings.refresh_days:
        return None
    return RefreshTokens(database(), timedelta(hours=settings.refresh_hours), timedelta(days=settings.refresh_days))


@cache
def administration() -> Administration:
    """Return what changes users and clients over HTTP."""
    return Administration(users(), ClientStore(database()), passwords())


@cache
def passwords() -> Passwords:
    """Return what hashes and checks the passwords of this worker."""
    return Passwords()


@cache
def desk() -> TokenDesk:
    """Return what gives tokens, takes them back and tells of them."""
    log_in, refresh = LogIn(users(), passwords(), throttle()), refresh_tokens()
    grants = Grants(log_in, users(), tokens(), refresh, password_grant=settings.password_grant)
    stores = database(), ClientStore(database())
    return TokenDesk(grants, *stores, tokens(), throttle(), refresh=refresh, requests=requests())


@cache
def authenticator() -> Authenticator:
    """Return what finds who is behind a token."""
    return Authenticator(tokens(), database(), trusted=trusted_issuer(settings))


async def authenticate(token: str) -> Identity:
    """Return who bears the token."""
    with stage("token"):
        return await authenticator()(token)


app = create_app(desk)
describe(app, settings.issuer, settings.address, lambda: desk().grants.names)
publish_keys(app, tokens)
add_admin(app, administration)
add_model_changes(app, Store)
pages.add_routes(app, catalogue)
handle_errors(app)
