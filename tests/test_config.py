"""Settings: where they come from, and what is said of a bad one."""

import os
import re
from pathlib import Path

import pytest

from config import PREFIX, PROJECT, SECRETS, Settings, SettingsError, cores, load_settings, stopping_the_start, workers

MIB = 2**20


def test_defaults_serve_in_development() -> None:
    """With nothing set the service listens on this machine only, and keeps its state in the project."""
    settings = load_settings({})
    assert (str(settings.host), settings.port, settings.env) == ("127.0.0.1", 8443, "development")
    assert settings.home == PROJECT / ".lastgang"
    assert settings.user_database == f"sqlite:///{PROJECT / '.lastgang' / 'users.db'}"
    assert settings.docs_are_open


def test_workers_and_threads_fit_the_machine() -> None:
    """There is a worker for each core that may be used, and no more than four."""
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert load_settings({}).workers == workers() <= min(cores(), 4)


@pytest.mark.parametrize(
    "limits, expected",
    [
        ((None, None), 4),
        (("max", None), 4),
        ((f"{768 * MIB}", None), 1),
        ((f"{1280 * MIB}", None), 2),
        ((None, f"{1280 * MIB}"), 2),
        ((None, "9223372036854771712"), 4),  # what control groups 1 call no limit
        ((f"{100 * MIB}", None), 1),
        ((f"{16_384 * MIB}", None), 4),
    ],
)
def test_workers_fit_the_memory(
    limits: tuple[str | None, ...], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with little memory gets fewer workers than cores, so that none is killed; one is left."""
    files = tuple(tmp_path / name for name in ("memory.max", "memory.limit_in_bytes"))
    monkeypatch.setattr("config.MEMORY_LIMITS", files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("config.CPU_LIMIT", tmp_path / "cpu.max")
    for file, limit in zip(files, limits, strict=True):
        if limit is not None:
            file.write_text(f"{limit}\n", encoding="ascii")
    assert workers() == expected


@pytest.mark.parametrize(
    "limit, expected", [("max 100000", 8), ("150000 100000", 2), ("10000 100000", 1), ("9e9 x", 8)]
)
def test_a_container_may_have_less_than_a_core(
    limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit that the kernel sets a container counts, rounded to whole cores, and at least one is left."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("config.CPU_LIMIT", tmp_path / "cpu.max")
    assert cores() == 8
    (tmp_path / "cpu.max").write_text(f"{limit}\n", encoding="ascii")
    assert cores() == expected


GIVEN = [
    ("PORT", "9000", "port", 9000),
    ("ENV", "production", "production", True),
    ("DATABASE_URL", "postgresql://db/users", "user_database", "postgresql://db/users"),
    ("TLS_CERT_FILE", "/run/secrets/tls.crt", "certificate", Path("/run/secrets/tls.crt")),
    ("TLS_KEY_FILE", "/run/secrets/tls.key", "private_key", Path("/run/secrets/tls.key")),
    ("OPEN_DOCS", "false", "docs_are_open", False),
    ("FIRST_USER", "", "first_user", None),
]


@pytest.mark.parametrize("name, value, attribute, expected", GIVEN)
def test_the_environment_counts(name: str, value: str, attribute: str, expected: object) -> None:
    """A variable sets what it names; an empty one counts as unset."""
    assert getattr(load_settings({PREFIX + name: value}), attribute) == expected


def test_headers_for_a_collector() -> None:
    """Names and values, as OpenTelemetry's own variable has them."""
    given = load_settings({"LASTGANG_OTLP_HEADERS": "Authorization=Basic YTpi==, x-tenant = 7"})
    assert given.collector_headers == {"authorization": "Basic YTpi==", "x-tenant": "7"}
    assert load_settings({}).collector_headers == {}


def test_localhost_is_an_address() -> None:
    """BentoML takes addresses only; the one name that everybody writes is understood."""
    assert str(load_settings({"LASTGANG_HOST": "localhost"}).host) == "127.0.0.1"


def test_home_may_be_relative_or_have_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The home folder is absolute however it was written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for written in ("~/state", "state"):
        assert load_settings({"LASTGANG_HOME": written}).home == tmp_path / "state"


def test_production_closes_the_documentation() -> None:
    """In production the page with the documentation is closed unless it is opened by name."""
    assert not load_settings({"LASTGANG_ENV": "production"}).docs_are_open
    assert load_settings({"LASTGANG_ENV": "production", "LASTGANG_OPEN_DOCS": "true"}).docs_are_open


BAD = [
    ("PORT", "0"),
    ("PORT", "tcp://10.0.0.1:8443"),  # what Kubernetes sets for a service of this name
    ("HOST", "example.org"),
    ("OTLP_ENDPOINT", "collector:4318"),
    ("ENV", "prod"),
    ("WORKERS", "many"),
    ("MAX_BODY_BYTES", "10MB"),
    ("REQUEST_SECONDS", "nan"),
]


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    """The sentence names the variable, its value and what it is for."""
    with pytest.raises(SettingsError, match=re.escape(f"{PREFIX}{name}={value} cannot be used")):
        load_settings({PREFIX + name: value})


@pytest.mark.parametrize("value", ["http://ada:hidden@collector:4318", "https://collector/v1?api-key=hidden"])
def test_credentials_in_a_url_are_not_repeated(value: str) -> None:
    """They would stand in the log of the start; the sentence says where they belong."""
    with pytest.raises(SettingsError, match="OTLP_ENDPOINT cannot be used") as refusal:
        load_settings({"LASTGANG_OTLP_ENDPOINT": value})
    assert "hidden" not in str(refusal.value)
    assert "LASTGANG_OTLP_HEADERS" in str(refusal.value)


def test_a_port_from_kubernetes_is_explained() -> None:
    """Who named a Service lastgang learns where the odd value comes from."""
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        load_settings({"LASTGANG_PORT": "tcp://10.0.0.1:8443"})


def test_every_bad_setting_is_named() -> None:
    """Two bad settings are reported together."""
    with pytest.raises(SettingsError) as refused:
        load_settings({"LASTGANG_PORT": "x", "LASTGANG_ENV": "y"})
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    """NAME_FILE names a file that holds the secret; white space around it does not count."""
    file = tmp_path / "secret"
    file.write_text("  from a file\n")
    assert getattr(load_settings({f"{PREFIX}{name.upper()}_FILE": str(file)}), name).get_secret_value() == "from a file"


def test_secrets_are_these() -> None:
    """Whatever is secret can come from a file and never shows."""
    assert set(SECRETS) == {
        "first_password",
        "database_url",
        "signing_key",
        "verifying_keys",
        "audit_key",
        "otlp_headers",
    }


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_secret_file_that_holds_nothing_is_refused(content: str | None, tmp_path: Path) -> None:
    """A missing or empty secret file stops the start."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match="LASTGANG_SIGNING_KEY_FILE"):
        load_settings({"LASTGANG_SIGNING_KEY_FILE": str(file)})


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """Variable and file together leave it open which counts."""
    with pytest.raises(SettingsError, match="Both LASTGANG_SIGNING_KEY and LASTGANG_SIGNING_KEY_FILE"):
        load_settings({"LASTGANG_SIGNING_KEY": "a", "LASTGANG_SIGNING_KEY_FILE": str(tmp_path)})


def test_secrets_do_not_show() -> None:
    """Neither the text of the settings nor a complaint about them holds a secret."""
    environ = {f"{PREFIX}{name.upper()}": "canary-4711" for name in SECRETS}
    assert "canary" not in repr(load_settings(environ))
    with pytest.raises(SettingsError) as refused:
        load_settings({**environ, "LASTGANG_PORT": "x"})
    assert "canary" not in str(refused.value)


def test_the_start_is_stopped_with_a_sentence() -> None:
    """A SettingsError ends the process with its sentence, not with a traceback."""
    with pytest.raises(SystemExit, match=re.escape("Lastgang cannot start. Set something.")), stopping_the_start():
        raise SettingsError("Set something.")


def test_readme_lists_every_setting() -> None:
    """The README's table names every setting with its default."""
    readme = (PROJECT / "README.md").read_text()
    missing = [name for name in Settings.model_fields if f"`{PREFIX}{name.upper()}`" not in readme]
    assert not missing
