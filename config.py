"""Every setting: its name, its default, its unit. The only place that reads the environment.

A setting NAME is read from the variable LASTGANG_NAME. A secret may come from a file instead, so that it
stands in no environment: LASTGANG_NAME_FILE names the file (a Docker or Kubernetes secret, say).
BENTOML_HOME is BentoML's own and is left to it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, SecretStr, ValidationError
from sqlalchemy import URL

PREFIX = "LASTGANG_"
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # Linux's own: microseconds that a container may use, and in how many
# The memory that a container may use, in bytes: of control groups 2, then 1.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
BESIDE_WORKERS, A_WORKER = 300_000_000, 400_000_000  # bytes: the supervisor and the files that all map; a busy worker
PROJECT = Path(__file__).resolve().parent
# A Bento is copied, exported and made into images: nothing of this machine may be written into it.
IN_A_BENTO = (PROJECT.parent / "bento.yaml").exists()


class SettingsError(Exception):
    """A setting is missing or unusable; the message says which variable to set, and to what."""


def cores() -> int:
    """Return how many processor cores this process may use: those it may run on, or less where a container says so."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = CPU_LIMIT.read_text(encoding="ascii").split()
        usable = min(usable, max(1, round(int(quota) / int(period))))  # "max" is no number: no limit
    return usable


def workers() -> int:
    """Return how many processes serve by default: one for each core, up to four, and no more than the memory is for."""
    fitting = 4
    for file in MEMORY_LIMITS:
        with suppress(OSError, ValueError):
            limit = int(file.read_text(encoding="ascii"))  # "max" is no number: no limit
            fitting = min(fitting, max(1, (limit - BESIDE_WORKERS) // A_WORKER))
    return min(cores(), fitting)


def _address(value: Any) -> Any:
    return "127.0.0.1" if value == "localhost" else value


def _listed(value: Any) -> Any:
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


class Settings(BaseModel):
    """The settings of one process, read once at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: Annotated[
        Literal["development", "production"],
        Field(description="`production` generates nothing and refuses to start with a missing or weak secret."),
    ] = "development"
    home: Annotated[
        Path,
        Field(description="Folder of all state of its own: users, keys, certificate, audit log, reports."),
    ] = (Path.home() if IN_A_BENTO else PROJECT) / ".lastgang"
    host: Annotated[
        IPv4Address | IPv6Address,
        BeforeValidator(_address),
        Field(description="Address to listen on; `0.0.0.0` for every interface."),
    ] = IPv4Address("127.0.0.1")
    port: Annotated[int, Field(ge=1, le=65_535, description="Port to listen on; it speaks TLS only.")] = 8443
    workers: Annotated[
        int,
        Field(ge=1, le=64, description="Processes that serve; by default one for each core, up to four, that fits."),
    ] = workers()
    threads: Annotated[
        int, Field(ge=1, le=256, description="Long requests (many sites, backtests) that one worker does at a time.")
    ] = 2

    first_user: Annotated[str | None, Field(description="Name of the user made at the first start.")] = None
    first_password: Annotated[
        SecretStr | None, Field(description="That user's password, instead of a generated one.")
    ] = None
    database_url: Annotated[
        SecretStr | None,
        Field(description="SQLAlchemy URL of the user store; SQLite in the home folder if unset."),
    ] = None
    signing_key: Annotated[
        SecretStr | None,
        Field(description="What signs the tokens: at least 32 random bytes, or a PEM private key for RS256 and ES256."),
    ] = None
    signing_algorithm: Annotated[
        Literal["HS256", "RS256", "ES256"],
        Field(description="How tokens are signed; RS256 and ES256 let others verify them by `/.well-known/jwks.json`."),
    ] = "HS256"
    verifying_keys: Annotated[
        SecretStr | None,
        Field(description="Keys that only verify, old and next ones: PEM blocks, or a secret on each line."),
    ] = None
    token_minutes: Annotated[int, Field(ge=1, le=1_440, description="Minutes for which a token is good.")] = 60
    password_grant: Annotated[
        bool, Field(description="Whether `POST /token` takes the names and passwords of users at all.")
    ] = True
    refresh_hours: Annotated[
        float, Field(gt=0, le=8_760, description="Hours for which a refresh token is good if it is not used.")
    ] = 24.0
    refresh_days: Annotated[
        float,
        Field(ge=0, le=365, description="Days after a log-in when its last refresh token ends; 0: there are none."),
    ] = 30.0
    issuer: Annotated[str, Field(description="Issuer that tokens name (claim `iss`).")] = "lastgang"
    audience: Annotated[str, Field(description="Audience that tokens are for (claim `aud`).")] = "lastgang"
    trusted_issuer: Annotated[
        str | None,
        Field(description="URL of another issuer (OpenID Connect) whose access tokens are good here as well."),
    ] = None
    trusted_audience: Annotated[str | None, Field(description="What that issuer calls this service (claim `aud`).")] = (
        None
    )
    trusted_keys_url: Annotated[
        str | None, Field(description="Where its key set is, if it has no discovery document that says so.")
    ] = None
    trusted_type: Annotated[
        Literal["at+jwt", "JWT"], Field(description="The `typ` of its access tokens; Entra ID and Keycloak send JWT.")
    ] = "at+jwt"
    trusted_scope_claims: Annotated[
        str, Field(description="Claims with its permissions, divided by commas, such as `scp,roles`.")
    ] = "scope"
    trusted_grants: Annotated[
        Json[dict[str, str]],
        Field(description='What its permissions open here, such as {"forecaster": "forecast models:read"}.'),
    ] = {}
    tls_cert_file: Annotated[Path | None, Field(description="PEM file with the certificate and its chain.")] = None
    tls_key_file: Annotated[
        Path | None, Field(description="PEM file with the certificate's private key, without a password.")
    ] = None

    max_body_bytes: Annotated[
        int, Field(ge=1_000, le=1_000_000_000, description="Largest upload to /predict, in bytes.")
    ] = 10_000_000
    max_bulk_bytes: Annotated[
        int, Field(ge=1_000, le=1_000_000_000, description="Largest upload to /forecast, which takes many sites.")
    ] = 50_000_000
    request_seconds: Annotated[
        float, Field(gt=0, le=3_600, description="Seconds after which a request is given up.")
    ] = 30.0
    watch_seconds: Annotated[
        float,
        Field(ge=0, le=3_600, description="Seconds between two looks for new or re-labelled models; 0 never looks."),
    ] = 1.0
    body_seconds: Annotated[
        float, Field(gt=0, le=3_600, description="Seconds within which a request's body must have arrived.")
    ] = 20.0
    drain_seconds: Annotated[
        float,
        Field(ge=0, le=300, description="Seconds for which a service that is told to stop is not ready, but answers."),
    ] = 0.0
    audit: Annotated[bool, Field(description="Whether the audit log is written.")] = True
    audit_key: Annotated[
        SecretStr | None,
        Field(description="Secret of at least 32 random bytes: who lacks it cannot make the audit log anew."),
    ] = None
    audit_sync: Annotated[
        Literal["line", "second", "never"],
        Field(description="When audit lines are on the disk: before each answer, within a second, or as it comes."),
    ] = "second"
    audit_max_bytes: Annotated[
        int, Field(ge=10_000, le=10_000_000_000, description="Size at which a new file of the audit log begins.")
    ] = 64_000_000
    audit_days: Annotated[
        int, Field(ge=0, le=100_000, description="Days after which a file of the audit log is deleted; 0 keeps all.")
    ] = 0
    head_seconds: Annotated[
        float, Field(gt=0, le=3_600, description="Seconds within which the head of a request must have arrived.")
    ] = 10.0
    answer_seconds: Annotated[
        float, Field(gt=0, le=3_600, description="Seconds within which a client must have read an answer.")
    ] = 60.0
    max_connections: Annotated[
        int, Field(ge=2, le=1_000_000, description="Connections of one worker at a time; of one address half of them.")
    ] = 1_000
    max_requests: Annotated[int, Field(ge=1, le=10_000, description="Requests that one worker works on at a time.")] = (
        64
    )
    max_queue: Annotated[
        int, Field(ge=0, le=100_000, description="Requests that may wait for a worker; one more is told to come again.")
    ] = 128
    requests_per_minute: Annotated[
        int, Field(ge=0, le=1_000_000_000, description="Requests that a user may send in a minute; 0 for any number.")
    ] = 100_000
    sites_per_hour: Annotated[
        int, Field(ge=0, le=1_000_000_000, description="Sites that a user may ask about in an hour; 0 for any number.")
    ] = 1_000_000
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        BeforeValidator(_listed),
        Field(description="Networks, parted by commas, whose X-Forwarded-For is believed; by default none."),
    ] = ()
    server_timing: Annotated[
        bool, Field(description="Whether each answer says where its time went, in the header Server-Timing.")
    ] = False
    log_format: Annotated[
        Literal["text", "json"] | None,
        Field(description="`json` logs an object a line, `text` columns; if unset, json in production only."),
    ] = None
    access_log: Annotated[
        bool, Field(description="Whether each request leaves a line in the log: route, status, duration, subject.")
    ] = False
    metrics_port: Annotated[
        int,
        Field(ge=0, le=65_535, description="Port that tells the metrics over plain HTTP, to anyone; 0 has none."),
    ] = 0
    metrics_host: Annotated[
        IPv4Address | IPv6Address,
        BeforeValidator(_address),
        Field(description="Address of that port; whoever reaches it reads the metrics."),
    ] = IPv4Address("127.0.0.1")
    otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
            description=(
                "Collector that takes OpenTelemetry traces, as in http://collector:4318; unset, none are made. "
                "Credentials belong into LASTGANG_OTLP_HEADERS."
            ),
        ),
    ] = None
    otlp_headers: Annotated[
        SecretStr | None,
        Field(description="Headers that the collector wants, as in `authorization=Bearer x`, separated by commas."),
    ] = None
    trace_ratio: Annotated[
        float, Field(ge=0, le=1, description="How many of the requests are traced, 0 to 1, if a collector is set.")
    ] = 0.1
    open_docs: Annotated[
        bool | None,
        Field(description="Whether `/` and `/docs.json` need no token; if unset, only in development."),
    ] = None

    @property
    def production(self) -> bool:
        """Whether nothing may be generated."""
        return self.env == "production"

    @property
    def address(self) -> str:
        """URL of the service as seen from where it runs."""
        if self.host.is_unspecified:
            return f"https://localhost:{self.port}"
        host = f"[{self.host}]" if self.host.version == 6 else self.host  # noqa: PLR2004
        return f"https://{host}:{self.port}"

    @property
    def docs_are_open(self) -> bool:
        """Whether the documentation page needs no token."""
        return not self.production if self.open_docs is None else self.open_docs

    @property
    def logs(self) -> Literal["text", "json"]:
        """The shape of the log's lines."""
        return self.log_format or ("json" if self.production else "text")

    @property
    def body_room(self) -> int:
        """Bytes of large bodies that one worker holds at a time."""
        return 4 * max(self.max_body_bytes, self.max_bulk_bytes)

    @property
    def collector_headers(self) -> dict[str, str]:
        """Name → value of the headers for the collector of traces."""
        given = self.otlp_headers.get_secret_value() if self.otlp_headers else ""
        pairs = (one.partition("=") for one in given.split(",") if one.strip())
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def user_database(self) -> str:
        """SQLAlchemy URL of the user store."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return URL.create("sqlite", database=str(self.home / "users.db")).render_as_string(hide_password=False)

    @property
    def certificate(self) -> Path:
        """PEM file with the certificate."""
        return self.tls_cert_file or self.home / "tls.crt"

    @property
    def private_key(self) -> Path:
        """PEM file with the certificate's private key."""
        return self.tls_key_file or self.home / "tls.key"

    @property
    def audit_folder(self) -> Path:
        """Folder of the audit log."""
        return self.home / "audit"

    @property
    def generated_signing_key(self) -> Path:
        """File of the signing key that a first start in development makes."""
        return self.home / "signing.key"

    @property
    def replaced_keys(self) -> Path:
        """File of the keys that `python -m auth key rotate` has replaced."""
        return self.home / "verifying.keys"


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment, or from a mapping like it.

    Raises:
        SettingsError: one sentence for each setting that cannot be used.
    """
    environ = os.environ if environ is None else environ
    given = {
        name: environ[variable] for name in Settings.model_fields if environ.get(variable := PREFIX + name.upper())
    }
    given |= {name: _from_file(environ, name) for name in SECRETS if environ.get(_file_variable(name))}
    if "home" in given:
        given["home"] = str(Path(given["home"]).expanduser().absolute())
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(fault) for fault in error.errors())) from None


@contextmanager
def stopping_the_start() -> Iterator[None]:
    """Turn a SettingsError into one sentence on standard error and exit status 1, without a traceback."""
    try:
        yield
    except SettingsError as error:
        sys.exit(f"Lastgang cannot start. {error}")


def _file_variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}_FILE"


def _from_file(environ: Mapping[str, str], name: str) -> str:
    variable = _file_variable(name)
    if environ.get(PREFIX + name.upper()):
        raise SettingsError(f"Both {PREFIX}{name.upper()} and {variable} are set. Set one of them.")
    try:
        secret = Path(environ[variable]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}={environ[variable]} cannot be read: {error}.") from None
    if not secret:
        raise SettingsError(f"{variable}={environ[variable]} is empty. Write the secret into it.")
    return secret


def _sentence(fault: Any) -> str:
    name = str(fault["loc"][0])
    # A user and password, or a key, may stand in a URL where none is wanted.
    given = "" if name in SECRETS or {"@", "?"} & set(str(fault["input"])) else f"={fault['input']}"
    said = f"{PREFIX}{name.upper()}{given} cannot be used: {fault['msg']}. {Settings.model_fields[name].description}"
    if name == "port" and str(fault["input"]).startswith("tcp://"):
        said += " Kubernetes sets it so for a Service named lastgang: put `enableServiceLinks: false` into the pod."
    return said
