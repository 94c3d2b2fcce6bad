"""The part of ``python -m auth`` that is about clients: ``client add``, ``list``, ``scopes``, ``secret`` and so on.

Comes in: an action and a name. Goes out: lines; a secret is shown once, when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from auth.clients import canonical_id
from auth.scopes import written

if TYPE_CHECKING:
    import argparse

    from auth.clients import Client, ClientStore

ACTIONS = {
    "add": "add a client and show its secret once",
    "list": "show every client",
    "scopes": "say what a client may do",
    "secret": "make a new secret, which ends the client's tokens",
    "disable": "shut a client out, open tokens included",
    "enable": "let a disabled client in again",
    "remove": "forget a client",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments to the parser of the verb ``client``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary in ACTIONS.items():
        one = actions.add_parser(action, help=summary, description=summary.capitalize() + ".")
        if action != "list":
            one.add_argument("name", metavar="NAME", help="of the client; its id is client:NAME")
        if action == "add":
            one.add_argument("--scope", metavar="SCOPES", default="", help="what it may do, divided by spaces")
        if action == "scopes":
            one.add_argument("scopes", metavar="SCOPE", nargs="*", help="all that it may do from now on")


def run(asked: argparse.Namespace, clients: ClientStore, out: TextIO) -> None:
    """Do what was asked.

    Raises:
        AuthError: it is refused.
    """
    if asked.action == "list":
        _show(clients, out)
    elif asked.action == "add":
        client, secret = clients.add(asked.name, asked.scope.split())
        print(f"Client {client.id} was added.\n{_may(client)}", file=out)
        _show_secret(secret, out)
    elif asked.action == "secret":
        _show_secret(clients.renew_secret(asked.name), out)
    elif asked.action == "scopes":
        print(_may(clients.set_scopes(asked.name, " ".join(asked.scopes).split())), file=out)
    elif asked.action == "remove":
        clients.remove(asked.name)
        print(f"Client {canonical_id(asked.name)} was removed.", file=out)
    else:
        clients.set_disabled(asked.name, disabled=asked.action == "disable")
        print(f"Client {canonical_id(asked.name)} is {asked.action}d.", file=out)


def _show(clients: ClientStore, out: TextIO) -> None:
    found = clients.all()
    if not found:
        print("There are no clients; add one with: python -m auth client add NAME --scope forecast", file=out)
    for client in found:
        state = "disabled" if client.disabled else "enabled"
        line = f"{client.id:<24} {state:<8} {client.created_at:%Y-%m-%d %H:%M:%S} UTC  {written(client.scopes)}"
        print(line.rstrip(), file=out)


def _show_secret(secret: str, out: TextIO) -> None:
    print(f"Secret, shown only now: {secret}", file=out)


def _may(client: Client) -> str:
    """Say what a client may do, and what to type next if that is nothing."""
    if client.scopes:
        return f"Client {client.id} may: {written(client.scopes)}"
    name = client.id.partition(":")[2]
    return f"Client {client.id} may do nothing yet; next, type: python -m auth client scopes {name} forecast"
