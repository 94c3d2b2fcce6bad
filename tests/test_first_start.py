"""The first start: made in development, demanded in production."""

import ssl
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from auth.database import open_database
from auth.passwords import Passwords
from auth.scopes import SCOPES
from auth.users import User, UserStore
from config import Settings, SettingsError, load_settings
from first_start import FirstUser, announce, check_certificate, prepare, token_keys

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdeffedcba9876543210"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def development(home: Path, **more: str) -> Settings:
    return load_settings({"LASTGANG_HOME": str(home), **{f"LASTGANG_{k.upper()}": v for k, v in more.items()}})


def stored_users(settings: Settings) -> list[User]:
    """Read the users that a start has left."""
    with open_database(settings.user_database) as database:
        return UserStore(database).all()


def write_pair(folder: Path, key: CertificateIssuerPrivateKeyTypes, days: int = 1) -> tuple[Path, Path]:
    """Write a self-signed certificate for the key, good from ten days ago for ten and `days` days."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.now(UTC) - timedelta(days=10)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=10 + days))
    certificate = builder.sign(key, hashes.SHA256())
    paths = folder / "pair.crt", folder / "pair.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(*private))
    return paths


def production(home: Path, **more: str) -> Settings:
    home.parent.mkdir(exist_ok=True, parents=True)
    certificate, key = write_pair(home.parent, ec.generate_private_key(ec.SECP256R1()))
    given = {
        "env": "production",
        "signing_key": KEY,
        "tls_cert_file": str(certificate),
        "tls_key_file": str(key),
        "first_user": "ada",
        "first_password": "a long and good one",
    }
    return development(home, **{name: value for name, value in {**given, **more}.items() if value})


def test_development_makes_everything(home: Path) -> None:
    """A first start makes key, certificate and user; the password is given out and not stored."""
    user = prepare(settings := development(home))
    assert user is not None
    assert user.name == "admin"
    assert user.password is not None
    (stored,) = stored_users(settings)
    assert (stored.name, stored.scopes) == ("admin", frozenset(SCOPES))
    Passwords().verify(user.password, stored.password_hash)
    assert not any(user.password.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_what_was_made_is_for_its_owner_only(home: Path) -> None:
    """Nobody else may read the keys or the users."""
    prepare(development(home))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [home, *home.iterdir()]}
    assert modes[home.name] == 0o700
    assert {modes[name] for name in ("signing.key", "tls.key", "users.db")} == {0o600}


def test_a_second_start_changes_nothing(home: Path) -> None:
    """Keys, certificate and user stay as they are."""
    prepare(development(home))
    before = {file.name: file.read_bytes() for file in home.iterdir() if file.suffix in {".key", ".crt"}}
    assert prepare(development(home)) is None
    assert {file.name: file.read_bytes() for file in home.iterdir() if file.suffix in {".key", ".crt"}} == before


def test_replicas_that_start_together_share_one_first_user(tmp_path: Path) -> None:
    """Over one empty database every replica starts: one of them makes the user, and none fails for being late."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    settings = [production(tmp_path / f"replica-{n}" / "home", database_url=url) for n in range(4)]
    with ThreadPoolExecutor(len(settings)) as replicas:
        made = list(replicas.map(prepare, settings))
    assert sum(user is not None for user in made) == 1
    assert [user.name for user in stored_users(settings[0])] == ["ada"]


def test_the_certificate_serves_this_machine(home: Path) -> None:
    """TLS clients accept the certificate for the names and addresses of this machine when they are shown it."""
    settings = development(home, host="127.0.0.2")
    prepare(settings)
    ssl.create_default_context(cafile=str(settings.certificate))
    certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "127.0.0.2", "::1"}


def test_a_development_certificate_is_renewed_for_another_address(home: Path) -> None:
    """A certificate that we made for another address would be refused by every client, so it is made anew."""
    prepare(development(home))
    before = (home / "tls.crt").read_bytes()
    prepare(development(home, host="127.0.0.2"))
    assert (home / "tls.crt").read_bytes() != before


def test_a_certificate_of_the_users_own_is_kept(home: Path) -> None:
    """What somebody else put into the home folder is never overwritten."""
    home.mkdir()
    certificate, key = write_pair(home, ec.generate_private_key(ec.SECP256R1()))
    certificate.rename(home / "tls.crt")
    key.rename(home / "tls.key")
    before = (home / "tls.crt").read_bytes()
    prepare(development(home, host="127.0.0.2"))
    assert (home / "tls.crt").read_bytes() == before


def test_a_given_first_user_is_taken(home: Path) -> None:
    """With name and password set, nothing is made up and nothing is shown."""
    user = prepare(development(home, first_user="Ada", first_password="a long and good one"))
    assert user == FirstUser("ada", None)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "password1234"])
def test_a_weak_first_password_is_for_development_only(
    home: Path, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password that falls first is taken with a warning in development; in production it stops the start."""
    assert prepare(development(home, first_password=password)) == FirstUser("admin", None)
    assert "LASTGANG_FIRST_PASSWORD" in capsys.readouterr().err
    settings = production(home / "production", first_password=password)
    with pytest.raises(SettingsError, match="LASTGANG_FIRST_PASSWORD"):
        prepare(settings)
    assert stored_users(settings) == []


def test_production_starts_on_what_is_given(home: Path) -> None:
    """With everything given, production starts and makes only the user."""
    assert prepare(production(home)) == FirstUser("ada", None)
    assert {file.name.removesuffix("-wal").removesuffix("-shm") for file in home.iterdir()} == {"users.db", "audit"}


MISSING = {
    "signing key": ({"signing_key": ""}, "LASTGANG_SIGNING_KEY_FILE"),
    "certificate": ({"tls_cert_file": ""}, "LASTGANG_TLS_CERT_FILE"),
    "private key": ({"tls_key_file": ""}, "LASTGANG_TLS_KEY_FILE"),
    "first user": ({"first_user": ""}, "LASTGANG_FIRST_USER"),
    "first password": ({"first_password": ""}, "LASTGANG_FIRST_PASSWORD_FILE"),
    "weak signing key": ({"signing_key": "secret"}, "LASTGANG_SIGNING_KEY: .* at least 32"),
    "weak password": ({"first_password": "admin"}, "LASTGANG_FIRST_PASSWORD"),
    "an issuer of two words": ({"issuer": "Lastgang Dev"}, "issuer .*'Lastgang Dev'.* LASTGANG_ISSUER"),
    "an audience beyond ASCII": ({"audience": "https://größe.example"}, "audience .* LASTGANG_AUDIENCE"),
    "no such port": ({"database_url": "postgresql+psycopg://db:x/lastgang"}, "LASTGANG_DATABASE_URL"),
    "no such certificate": ({"tls_cert_file": "/nowhere.crt"}, "LASTGANG_TLS_CERT_FILE: /nowhere.crt"),
    "no database": ({"database_url": "sqlite:////nowhere/users.db"}, "LASTGANG_DATABASE_URL"),
}


@pytest.mark.parametrize("change, sentence", MISSING.values(), ids=MISSING)
def test_production_demands(home: Path, change: dict[str, str], sentence: str) -> None:
    """What is missing or weak stops the start with a sentence that names the setting; nothing is generated."""
    with pytest.raises(SettingsError, match=sentence):
        prepare(production(home, **change))
    assert not list(home.glob("tls.*")) + list(home.glob("signing*"))


def test_production_does_not_take_what_development_made(home: Path) -> None:
    """A development certificate or key in the home folder is not used in production."""
    prepare(development(home))
    with pytest.raises(SettingsError, match="LASTGANG_ENV=production generates nothing"):
        prepare(development(home, env="production"))


def _expired(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, ec.generate_private_key(ec.SECP256R1()), days=-1)


def _weak(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, rsa.generate_private_key(65_537, 1024))


def _of_another(folder: Path) -> tuple[Path, Path]:
    (folder / "other").mkdir()
    certificate, _ = write_pair(folder / "other", ec.generate_private_key(ec.SECP256R1()))
    return certificate, write_pair(folder, ec.generate_private_key(ec.SECP256R1()))[1]


def _swapped(folder: Path) -> tuple[Path, Path]:
    certificate, key = write_pair(folder, ec.generate_private_key(ec.SECP256R1()))
    return key, certificate


PAIRS = [
    (_expired, "expired on"),
    (_weak, "has 1024 bits"),
    (_of_another, "was not made for the key"),
    (_swapped, "is not a PEM certificate"),
]


@pytest.mark.parametrize("make, sentence", PAIRS)
def test_a_certificate_that_would_not_serve_is_refused(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Path]], sentence: str
) -> None:
    """A bad pair is found at the start, not by the first client."""
    with pytest.raises(SettingsError, match=sentence):
        check_certificate(*make(tmp_path))


def test_the_signing_key_is_the_one_that_was_made(home: Path) -> None:
    """Every worker signs with the same key."""
    settings = development(home)
    prepare(settings)
    assert [key.signs for key in token_keys(settings)] == [(home / "signing.key").read_bytes().strip()]


def test_a_generated_password_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to standard error, and only if it was generated."""
    announce(FirstUser("admin", "generated"))
    assert "generated" in capsys.readouterr().err
    announce(FirstUser("admin", None))
    announce(None)
    assert capsys.readouterr().err == ""
