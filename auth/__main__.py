"""The command ``python -m auth``: adds and changes users and clients, their passwords, secrets and scopes.

Comes in: a verb and a name; the password from the terminal, a pipe or a generator, never from the command
line, where other users of the machine would see it. Goes out: lines on standard output and the exit status 0;
1 with one line on standard error where the command is refused; 2 where it was not understood.
"""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

from sqlalchemy.exc import SQLAlchemyError

from auth import client_command, scopes
from auth.clients import ClientStore, canonical_id
from auth.database import open_database
from auth.errors import AuthError, InvalidClientId, InvalidUserName, UnknownUser, WeakPassword
from auth.passwords import Passwords, strong_enough
from auth.rotation import rotate
from auth.schema import prepare_database
from auth.users import UserStore, canonical_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auth.users import User
    from config import Settings

EXAMPLES = """\
examples:
  python -m auth add ada                    asks for a password, twice
  python -m auth add ada --generate         makes a password and shows it once
  python -m auth add ada --scope "forecast backtest"   with what ada may do
  python -m auth grant ada forecast:gru     lets ada do more; the scopes stand below
  python -m auth revoke ada forecast:gru    lets ada do less, at once, with open tokens too
  python -m auth password ada < secret.txt  takes the first line of a file
  python -m auth list                       shows every user: name, state, created, scopes
  python -m auth disable ada                shuts ada out at once, open tokens included
  python -m auth enable ada                 lets ada in again
  python -m auth remove ada                 forgets ada
  python -m auth client add meter-gateway --scope forecast
                                            adds a machine and shows its secret once
  python -m auth key rotate                 makes a new key for tokens; those that are out stay good

The users are in the database that the service uses: LASTGANG_DATABASE_URL, by default a
SQLite file in LASTGANG_HOME. A running service sees every change with its next request.
A new password ends every token that the user has. A user may do nothing until a scope is
granted; only the first one gets all of them.

scopes:
""" + "\n".join(f"  {scope:<14} {meaning}" for scope, meaning in scopes.SCOPES.items())
VERBS = {
    "add": "add a user",
    "list": "show every user",
    "grant": "let a user do more",
    "revoke": "let a user do less, with open tokens too",
    "disable": "shut a user out, open tokens included",
    "enable": "let a disabled user in again",
    "password": "set a new password, which ends the user's tokens",
    "remove": "forget a user; their tokens end",
    "client": "the same for machines, which log in by a secret",
    "key": "make a new signing key in LASTGANG_HOME, for development",
}

READING = frozenset({"list"})  # what changes nothing, and so leaves no line in the audit log


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the verb and its arguments; print help or how to call the command, and exit, where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m auth",
        description="The users of Lastgang.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in VERBS.items():
        one = verbs.add_parser(verb, help=summary, description=summary.capitalize() + ".")
        if verb == "key":
            one.add_argument("action", choices=["rotate"], help="tokens of the old key stay good until they expire")
        elif verb == "client":
            client_command.add_arguments(one)
        elif verb != "list":
            one.add_argument("name", metavar="NAME", help="of the user; upper and lower case are the same")
        if verb in {"add", "password"}:
            one.add_argument("--generate", action="store_true", help="make a password and show it once")
        if verb == "add":
            one.add_argument("--scope", metavar="SCOPES", help="what the user may do, divided by spaces")
        if verb in {"grant", "revoke"}:
            one.add_argument("scopes", metavar="SCOPE", nargs="+", help="such as forecast, or forecast:gru")
    return parser.parse_args(argv)


def run(  # noqa: PLR0913, PLR0917 - what it works on
    asked: argparse.Namespace,
    users: UserStore,
    clients: ClientStore,
    passwords: Passwords,
    read_password: Callable[[], str],
    out: TextIO,
) -> int:
    """Do what `parse` understood.

    Args:
        asked: the verb and its arguments.
        users: to read or change.
        clients: to read or change.
        passwords: makes the hash of a new password.
        read_password: returns what was typed or piped; not called with ``--generate``.
        out: where the answer is written.

    Returns:
        The exit status; a refusal is one line on standard error and 1.
    """
    try:
        if asked.verb == "list":
            _show(users, out)
        elif asked.verb in {"add", "password"}:
            _give_password(asked, users, passwords, read_password, out)
        elif asked.verb in {"grant", "revoke"}:
            change = users.grant if asked.verb == "grant" else users.revoke
            user = change(asked.name, " ".join(asked.scopes).split())
            print(_may(user), file=out)
        elif asked.verb == "client":
            client_command.run(asked, clients, out)
        elif asked.verb == "remove":
            users.remove(asked.name)
            print(f"User {canonical_name(asked.name)} was removed.", file=out)
        else:
            users.set_disabled(asked.name, disabled=asked.verb == "disable")
            print(f"User {canonical_name(asked.name)} is {asked.verb}d.", file=out)
    except AuthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:  # its own words hold the statement and what was to be written
        reason = getattr(error, "orig", None) or type(error).__name__
        print(f"error: the database cannot be used now ({reason}); nothing was changed, try again", file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nerror: given up, nothing was changed", file=sys.stderr)
        return 1
    return 0


def _show(users: UserStore, out: TextIO) -> None:
    if not users.any():
        print("There are no users; add one with: python -m auth add NAME", file=out)
    for user in users.all():
        state = "disabled" if user.disabled else "enabled"
        line = f"{user.name:<24} {state:<8} {user.created_at:%Y-%m-%d %H:%M:%S} UTC  {scopes.written(user.scopes)}"
        print(line.rstrip(), file=out)


def _may(user: User) -> str:
    """Say what a user may do, and what to type next if that is nothing."""
    if user.scopes:
        return f"User {user.name} may: {scopes.written(user.scopes)}"
    return f"User {user.name} may do nothing yet; next, type: python -m auth grant {user.name} forecast"


def _give_password(
    asked: argparse.Namespace,
    users: UserStore,
    passwords: Passwords,
    read_password: Callable[[], str],
    out: TextIO,
) -> None:
    name = canonical_name(asked.name)
    granted = _first_scopes(asked, users)
    if asked.verb == "password" and users.get(name) is None:
        raise UnknownUser(name)  # before anyone types a password for nothing
    password = secrets.token_urlsafe(18) if asked.generate else read_password()
    strong_enough(password)
    if asked.verb == "add":
        user = users.add(name, passwords.hash(password), granted)
        print(f"User {name} was added.\n{_may(user)}", file=out)
    else:
        users.set_password_hash(name, passwords.hash(password))
        print(f"User {name} has a new password.", file=out)
    if asked.generate:
        print(f"Password, shown only now: {password}", file=out)


def _first_scopes(asked: argparse.Namespace, users: UserStore) -> frozenset[str]:
    """Return what a new user may do: what was said, or everything if it is the first one."""
    if asked.verb != "add":
        return frozenset()
    if asked.scope is not None:
        return scopes.parse(asked.scope)
    return frozenset() if users.any() else scopes.ALL


def read_password() -> str:
    """Ask on the terminal, twice; without a terminal take the first line of standard input.

    Raises:
        WeakPassword: the two were not the same, or what came is no text.
        EOFError: the terminal was closed.
    """
    try:
        if not sys.stdin.isatty():
            return sys.stdin.readline().rstrip("\r\n")
        password = getpass.getpass("Password (at least 12 characters): ")
        if getpass.getpass("The same again: ") != password:
            raise WeakPassword("was not the same the second time")
    except UnicodeDecodeError:
        raise WeakPassword("is not in the encoding of this terminal") from None
    return password


def _rotate(settings: Settings) -> int:
    """Replace the signing key that a first start in development made; refused where the settings give the keys."""
    if settings.production or settings.signing_key is not None or settings.verifying_keys is not None:
        problem = "the signing key is in your settings; docs/tokens.md says how to exchange it there"
        print(f"error: {problem}", file=sys.stderr)
        return 1
    signing, old = settings.generated_signing_key, settings.replaced_keys
    lifetime = timedelta(minutes=settings.token_minutes)
    kept = rotate(signing, old, settings.signing_algorithm, lifetime, datetime.now(UTC))
    print(f"{signing} is new; tokens of {kept} older keys stay good until they expire. Restart the service.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on the database of the service; return the exit status."""
    asked = parse(argv)
    from auditing import recorded  # noqa: PLC0415 - help must come without settings
    from config import SettingsError, load_settings  # noqa: PLC0415

    try:
        settings = load_settings()
        if not settings.home.exists():
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            print(f"note: {settings.home} is made. Has the service another LASTGANG_HOME? Set it.", file=sys.stderr)
        if asked.verb in READING or vars(asked).get("action") in READING:
            return _run(asked, settings)
        event, facts = _event(asked)
        return recorded(settings, f"python -m auth {asked.verb}", event, lambda _: _run(asked, settings), **facts)
    except (AuthError, SettingsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _event(asked: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the event of the audit log that a verb is, and what is known of it beforehand."""
    if asked.verb == "key":
        return f"key.{asked.action}", {}
    given = vars(asked)
    facts: dict[str, Any] = {"scopes": " ".join(given.get("scopes", ())) or given.get("scope")}
    with suppress(InvalidUserName, InvalidClientId):  # what was typed may be anything, a password too
        facts["target"] = canonical_id(asked.name) if asked.verb == "client" else canonical_name(asked.name)
    return f"client.{asked.action}" if asked.verb == "client" else f"user.{asked.verb}", facts


def _run(asked: argparse.Namespace, settings: Settings) -> int:
    if asked.verb == "key":
        return _rotate(settings)
    prepare_database(settings.user_database)
    database = open_database(settings.user_database)
    passwords = Passwords()
    try:
        return run(asked, UserStore(database), ClientStore(database), passwords, read_password, sys.stdout)
    finally:
        passwords.close()
        database.close()


if __name__ == "__main__":
    raise SystemExit(main())
