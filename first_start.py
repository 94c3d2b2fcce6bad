"""What a service needs before it can start: certificate, signing key, first user.

In development whatever is missing is made. In production nothing is: a missing or weak secret stops the start
with a sentence that says what to set.
"""

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from auditing import Recorder, recorder
from auth.database import open_database
from auth.errors import AuthError, InvalidScope, UnusableIssuer, UserExists, WeakPassword, WeakSigningKey
from auth.issuer_keys import IssuerKeys
from auth.keys import Key, new_key, signing_key, verifying_keys
from auth.passwords import Passwords, strong_enough
from auth.rotation import write_secret
from auth.schema import prepare_database
from auth.scopes import ALL, parse
from auth.tokens import Tokens
from auth.trusted import Trust, TrustedIssuer
from auth.users import UserStore, canonical_name
from config import Settings, SettingsError

DEVELOPMENT_NAME = "Lastgang development"
DEVELOPMENT_CERTIFICATE_DAYS = 365
Parsed = TypeVar("Parsed")

WEAKEST_RSA = 2048  # bits; NIST SP 800-57 part 1, table 2


@dataclass(frozen=True)
class FirstUser:
    """The user made at the first start; `password` is None where the settings gave it."""

    name: str
    password: str | None


def prepare(settings: Settings) -> FirstUser | None:
    """Check, and in development make, all that the service needs.

    Returns:
        The first user, if it was made by this call.

    Raises:
        SettingsError: something is missing or weak and may not be made, or cannot be used.
    """
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"LASTGANG_HOME={settings.home} cannot be made a folder ({error.strerror}).") from None
    if settings.production:
        _demand(settings)
    with recorder(settings, "first start") as record:
        return _prepare(settings, record)


def _prepare(settings: Settings, record: Recorder) -> FirstUser | None:
    if not settings.production:
        _make_signing_key(settings, record)
        _make_certificate(settings, record)
    check_certificate(settings.certificate, settings.private_key)
    tokens_of(settings)
    trusted_issuer(settings)
    return _first_user(settings, record)


def tell_start(settings: Settings) -> None:
    """Record that the service starts.

    Raises:
        SettingsError: it cannot be recorded.
    """
    with recorder(settings, "service") as record:
        record.tell("service.start", pid=os.getpid())


def announce(user: FirstUser | None) -> None:
    """Show a generated password, once: it is stored nowhere but as a hash."""
    if user is not None and user.password is not None:
        sys.stderr.write(f"First user: {user.name}   password, shown only now: {user.password}\n")


def token_keys(settings: Settings) -> list[Key]:
    """Return the keys of tokens, the one that signs last: those that are set, or in development those in the home.

    Raises:
        SettingsError: one is weak, of the wrong kind, or given twice.
    """
    try:
        signs = signing_key(_text(settings.signing_key, settings.generated_signing_key), settings.signing_algorithm)
    except WeakSigningKey as error:
        hint = "" if settings.signing_key else " `python -m auth key rotate` makes another."
        raise SettingsError(f"LASTGANG_SIGNING_KEY: {error}.{hint}") from None
    try:
        kept = verifying_keys(_text(settings.verifying_keys, None if settings.production else settings.replaced_keys))
    except WeakSigningKey as error:
        raise SettingsError(f"LASTGANG_VERIFYING_KEYS: {error}.") from None
    # Both settings may hold the key while it is exchanged; what signs counts once.
    known = {key.kid: key for key in kept if key.kid != signs.kid}
    return [*known.values(), signs]


def tokens_of(settings: Settings) -> Tokens:
    """Return what issues and verifies tokens with these settings.

    Raises:
        SettingsError: a key as in `token_keys`, or a name that no token may hold.
    """
    try:
        lifetime = timedelta(minutes=settings.token_minutes)
        return Tokens(token_keys(settings), settings.issuer, settings.audience, lifetime)
    except ValueError as error:
        takes = (
            "Set LASTGANG_ISSUER and LASTGANG_AUDIENCE to printable ASCII without blanks, quotes, brackets or backslash"
        )
        raise SettingsError(f"{error}. {takes}.") from None


def derived_secret(settings: Settings, purpose: str) -> bytes:
    """Return a secret for a purpose of its own: the same in all replicas, another one after the signing key."""
    text = _text(settings.signing_key, settings.generated_signing_key)
    return sha256(f"{purpose}\0{text}".encode()).digest()


def _text(given: SecretStr | None, file: Path | None) -> str:
    """Return what is set, or what lies in the file; nothing if neither is there."""
    if given is not None:
        return given.get_secret_value()
    return file.read_text().strip() if file is not None and file.exists() else ""


def trusted_issuer(settings: Settings) -> TrustedIssuer | None:
    """Return what verifies the tokens of another issuer; None if the settings name none.

    Raises:
        SettingsError: what they say of it cannot be used.
    """
    issuer = settings.trusted_issuer
    if issuer is None:
        if settings.trusted_audience or settings.trusted_keys_url or settings.trusted_grants:
            raise SettingsError("Other settings LASTGANG_TRUSTED_... are set: set LASTGANG_TRUSTED_ISSUER, too.")
        return None
    if issuer == settings.issuer:
        raise SettingsError("LASTGANG_TRUSTED_ISSUER and LASTGANG_ISSUER are the same. Name another issuer, or none.")
    try:
        trust = Trust(
            issuer,
            settings.trusted_audience or "",
            settings.trusted_type,
            [name.strip() for name in settings.trusted_scope_claims.split(",")],
            {name: parse(scopes) for name, scopes in settings.trusted_grants.items()},
            settings.trusted_keys_url,
            plain_http=not settings.production,
        )
    except InvalidScope as error:
        raise SettingsError(f"LASTGANG_TRUSTED_GRANTS: {error}.") from None
    except UnusableIssuer as error:
        raise SettingsError(f"{error}.") from None
    return TrustedIssuer(trust, IssuerKeys(trust.issuer, trust.keys_url, plain_http=trust.plain_http))


def check_certificate(certificate: Path, private_key: Path) -> None:
    """Refuse a certificate or key that would not serve, before the first client finds out.

    Raises:
        SettingsError: a file is missing or unreadable, the two do not belong together, the certificate has
            expired or the key is weak.
    """
    chain = _pem("LASTGANG_TLS_CERT_FILE", certificate, "a PEM certificate", x509.load_pem_x509_certificate)
    key = _pem(
        "LASTGANG_TLS_KEY_FILE",
        private_key,
        "a PEM private key without a password",
        lambda data: serialization.load_pem_private_key(data, password=None),
    )
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if chain.public_key().public_bytes(*spki) != key.public_key().public_bytes(*spki):
        raise SettingsError(f"The certificate {certificate} was not made for the key {private_key}. Set a pair.")
    if chain.not_valid_after_utc < datetime.now(UTC):
        raise SettingsError(f"The certificate {certificate} expired on {chain.not_valid_after_utc:%Y-%m-%d}. Renew it.")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < WEAKEST_RSA:
        raise SettingsError(
            f"The key {private_key} has {key.key_size} bits. Use RSA with at least {WEAKEST_RSA}, or P-256."
        )


def _pem(variable: str, path: Path, what: str, load: Callable[[bytes], Parsed]) -> Parsed:
    """Read a PEM file; what is wrong with it is told with the setting that names it."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read ({error.strerror}). Name {what}.") from None
    except (ValueError, TypeError):
        raise SettingsError(f"{variable}: {path} is not {what}.") from None


def _demand(settings: Settings) -> None:
    """Refuse to start in production on anything that was not given."""
    needed = {
        "LASTGANG_SIGNING_KEY_FILE (or LASTGANG_SIGNING_KEY) to a file with at least 32 random bytes, such as "
        "from `openssl rand -hex 32` (or with a private key, see LASTGANG_SIGNING_ALGORITHM)": settings.signing_key,
        "LASTGANG_TLS_CERT_FILE to the PEM file of the certificate": settings.tls_cert_file,
        "LASTGANG_TLS_KEY_FILE to the PEM file of its private key": settings.tls_key_file,
    }
    missing = [f"Set {what}." for what, value in needed.items() if value is None]
    if missing:
        raise SettingsError("LASTGANG_ENV=production generates nothing. " + " ".join(missing))


def _make_signing_key(settings: Settings, record: Recorder) -> None:
    if settings.signing_key is None and not settings.generated_signing_key.exists():
        with record.deed("key.make", target=settings.generated_signing_key.name):
            write_secret(settings.generated_signing_key, new_key(settings.signing_algorithm).encode())


def _make_certificate(settings: Settings, record: Recorder) -> None:
    """Make a self-signed certificate for this machine, unless one is set or a good one is there."""
    given = settings.tls_cert_file is not None or settings.tls_key_file is not None
    if given or (settings.private_key.exists() and not _outdated(settings)):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVELOPMENT_NAME)])
    addresses = {ip_address("127.0.0.1"), ip_address("::1"), settings.host}
    subjects = [x509.DNSName("localhost"), *map(x509.IPAddress, sorted(addresses, key=str))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=DEVELOPMENT_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    with record.deed("key.make", target=settings.private_key.name):
        write_secret(settings.private_key, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        settings.certificate.write_bytes(certificate.public_bytes(pem))


def _outdated(settings: Settings) -> bool:
    """Tell whether the certificate is missing, or one of ours that has run out or was made for another address."""
    if not settings.certificate.exists():
        return True
    try:
        certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
    except ValueError:
        return False  # `check_certificate` says so
    if DEVELOPMENT_NAME not in certificate.issuer.rfc4514_string():
        return False  # somebody put their own here
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    expired = certificate.not_valid_after_utc < datetime.now(UTC)
    return expired or settings.host not in names.get_values_for_type(x509.IPAddress)


def _first_user(settings: Settings, record: Recorder) -> FirstUser | None:
    try:
        prepare_database(settings.user_database)
        database = open_database(settings.user_database)
    except AuthError as error:
        raise SettingsError(f"LASTGANG_DATABASE_URL: {error}.") from None
    with database:
        users = UserStore(database)
        try:
            return None if users.any() else _add_first_user(settings, users, record)
        except UserExists:  # another replica started in the same moment
            return None
        except AuthError as error:
            raise SettingsError(f"LASTGANG_FIRST_USER, LASTGANG_FIRST_PASSWORD: {error}.") from None


def _add_first_user(settings: Settings, users: UserStore, record: Recorder) -> FirstUser:
    given = settings.first_password and settings.first_password.get_secret_value()
    if settings.production and not (given and settings.first_user):
        raise SettingsError(
            "There is no user yet, and LASTGANG_ENV=production generates none. Add one with `python -m auth add NAME`, "
            "or set LASTGANG_FIRST_USER and LASTGANG_FIRST_PASSWORD_FILE."
        )
    password = given or secrets.token_urlsafe(18)
    try:
        strong_enough(password)
    except WeakPassword as weak:
        if settings.production:
            raise
        sys.stderr.write(f"LASTGANG_FIRST_PASSWORD: {weak}. Production would not start with it.\n")
    name = canonical_name(settings.first_user or "admin")
    with record.deed("user.add", target=name):
        user = users.add(name, Passwords().hash(password), ALL)
    return FirstUser(user.name, None if given else password)
