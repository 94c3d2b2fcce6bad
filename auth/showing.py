"""How a client shows who it is: its id and secret, in the header Basic or in the form (RFC 6749, section 2.3.1).

Ids hold a colon (``client:meter-gateway``). RFC 6749 has both parts form-encoded before they are joined by another one;
many clients do not do that, so both are taken: a secret holds no colon, and the last one divides.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from auth.clients import PREFIX
from auth.errors import InvalidClient, InvalidTokenRequest
from auth.secrets import hash_of, is_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auth.clients import Client

_BASIC = re.compile(rb"basic +([A-Za-z0-9+/=]{1,2000})", re.IGNORECASE)
_NOBODY = hash_of("")


def shown(headers: Iterable[tuple[bytes, bytes]], client_id: str | None, secret: str | None) -> tuple[str, str] | None:
    """Return the id and the secret that came with a request; None where no client shows who it is.

    A name that is no client's, as ``client_id=swagger`` or the header of another scheme, shows nothing.

    Args:
        headers: of the request.
        client_id: the form's field.
        secret: the form's field ``client_secret``.

    Raises:
        InvalidTokenRequest: both ways were used, or the header came twice.
    """
    sent = [value for name, value in headers if name.lower() == b"authorization"]
    if len(sent) > 1:
        raise InvalidTokenRequest("There are several Authorization headers; send one")
    basic = _of_basic(sent[0]) if sent else None
    form = (client_id, secret or "") if client_id and client_id.startswith(PREFIX) else None
    if basic and form:
        raise InvalidTokenRequest("The client shows its secret in the header and in the form; use one of them")
    return basic or form


def authenticated(credentials: tuple[str, str] | None, get: Callable[[str], Client | None]) -> Client | None:
    """Return the client that showed these credentials; None if none did.

    Args:
        credentials: see `shown`.
        get: returns the client of an id.

    Raises:
        InvalidClient: unknown, disabled, or another secret.
    """
    if credentials is None:
        return None
    client = get(credentials[0])
    right = is_secret(credentials[1], client.secret_hash if client else _NOBODY)
    if client is None or client.disabled or not right:
        raise InvalidClient
    return client


def _of_basic(header: bytes) -> tuple[str, str] | None:
    found = _BASIC.fullmatch(header)
    if found is None:
        return None
    try:
        name, _, secret = base64.b64decode(found[1], validate=True).decode().rpartition(":")
    except ValueError:
        return None
    name = unquote_plus(name)
    return (name, unquote_plus(secret)) if name.startswith(PREFIX) else None
