"""The route on which everybody can read the public keys of our tokens: ``GET /.well-known/jwks.json`` (RFC 7517)."""

from collections.abc import Callable

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from auth.keys import published
from auth.tokens import Tokens

PATH = "/.well-known/jwks.json"
_FRESH = "public, max-age=300"  # a new key signs at the earliest after it was published, see docs/tokens.md
_EXAMPLE: dict[str, JsonValue] = {
    "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    "use": "sig",
    "alg": "ES256",
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}


class KeySet(BaseModel):
    """A JSON Web Key Set."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keys": [_EXAMPLE]}]})
    keys: list[dict[str, str]] = Field(description="Each public key; none where tokens are signed with a secret.")


def publish_keys(app: FastAPI, tokens: Callable[[], Tokens]) -> None:
    """Add the route to an application.

    Args:
        app: the application.
        tokens: gives what signs and verifies tokens; asked when a request needs it.
    """

    @app.get(PATH, summary="Read the public keys of the tokens", tags=["auth"], response_description="The keys")
    async def key_set(response: Response) -> KeySet:
        """Return the keys with which others can verify our tokens (RFC 7517); a secret is never among them."""
        response.headers["Cache-Control"] = _FRESH
        return KeySet(keys=published(tokens().keys.values())["keys"])
