"""What a client of OAuth 2.0 can do here, for programs: ``GET /.well-known/oauth-authorization-server`` (RFC 8414)."""

from collections.abc import Callable

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field

from auth.published import PATH as JWKS
from auth.scopes import SCOPES

PATH = "/.well-known/oauth-authorization-server"
_FRESH = "public, max-age=300"
_BY_SECRET = ["client_secret_basic", "client_secret_post"]


class Metadata(BaseModel):
    """Where the routes for tokens are, and what they take (RFC 8414, section 2)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "issuer": "https://lastgang.example",
                    "token_endpoint": "https://lastgang.example/token",
                    "revocation_endpoint": "https://lastgang.example/revoke",
                    "introspection_endpoint": "https://lastgang.example/introspect",
                    "jwks_uri": "https://lastgang.example/.well-known/jwks.json",
                    "scopes_supported": ["forecast", "models:read"],
                    "grant_types_supported": ["client_credentials", "refresh_token"],
                    "response_types_supported": [],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                    "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
                    "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
                }
            ]
        }
    )
    issuer: str = Field(description="What stands in the claim `iss`.")
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    grant_types_supported: list[str]
    response_types_supported: list[str] = Field(description="None: there is no authorization endpoint.")
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]


def describe(app: FastAPI, issuer: str, address: str, grants: Callable[[], list[str]]) -> None:
    """Add the route to an application.

    Args:
        app: the application.
        issuer: what tokens name; where it is an https URL it is the address too, as RFC 8414 has it.
        address: where the service is otherwise. Never the header Host, which anyone can write.
        grants: gives the grants that are taken.
    """
    base = (issuer if issuer.startswith("https://") else address).rstrip("/")

    @app.get(PATH, summary="Read what OAuth 2.0 can do here", tags=["auth"], response_description="The metadata")
    async def metadata(response: Response) -> Metadata:
        """Return where the routes for tokens are, and what they take (RFC 8414)."""
        response.headers["Cache-Control"] = _FRESH
        return Metadata(
            issuer=issuer,
            token_endpoint=f"{base}/token",
            revocation_endpoint=f"{base}/revoke",
            introspection_endpoint=f"{base}/introspect",
            jwks_uri=f"{base}{JWKS}",
            scopes_supported=list(SCOPES),
            grant_types_supported=grants(),
            response_types_supported=[],
            token_endpoint_auth_methods_supported=[*_BY_SECRET, "none"],
            revocation_endpoint_auth_methods_supported=[*_BY_SECRET, "none"],
            introspection_endpoint_auth_methods_supported=_BY_SECRET,
        )
