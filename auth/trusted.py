"""Access tokens of another issuer, such as Entra ID or Keycloak, for which this service is a resource server.

In: the text of a token whose claim ``iss`` names that issuer, and the time now. Out: its `Claims`, with a subject that
can be no user's name here and the scopes that the settings grant for what the token says. Refused is the rest: other
algorithms than RS256 and ES256, ID tokens and refresh tokens, tokens for others, headers that bring keys.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from auth.errors import InvalidToken, UnusableIssuer
from auth.issuer_keys import fetchable
from auth.scopes import simplest
from auth.token_form import bounded_object, split
from auth.tokens import Claims, check_signature, second, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auth.issuer_keys import IssuerKeys
    from auth.keys import Key

LONGEST = 16_384  # characters: Entra ID lists a user's groups in a token, Keycloak the roles of each client
LEEWAY = 60  # seconds by which the issuer's clock may be ahead
LONGEST_LIFE = 86_400  # seconds
REMEMBERED = 512  # tokens
TYPES = ("at+jwt", "JWT")
_ALGORITHMS = frozenset({"RS256", "ES256"})
_HEADER = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})
_SUBJECT = re.compile(r"[!-~]{1,255}", re.ASCII)
_CLIENT = ("client_id", "azp", "appid")  # RFC 9068; Keycloak and Entra ID v2; Entra ID v1
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})


@dataclass(frozen=True)
class Trust:
    """What is believed of an issuer.

    Attributes:
        issuer: its name, the claim ``iss`` letter by letter: an https URL.
        audience: what the claim ``aud`` has to be, or to contain.
        type: the header's ``typ``, of `TYPES`: ``at+jwt``, or ``JWT`` for issuers that say no more.
        scope_claims: names of claims that hold permissions, as a text divided by spaces or a list of texts;
            ``a.b`` is the member b of the claim a, unless there is a claim of that whole name.
        grants: the scopes here for each permission there.
        keys_url: where its key set is; None if its discovery document says so.
        plain_http: whether its URLs may be http on this machine.

    Raises:
        UnusableIssuer: nothing could be fetched from the issuer, or its tokens could open nothing.
    """

    issuer: str
    audience: str
    type: str
    scope_claims: Sequence[str]
    grants: Mapping[str, frozenset[str]]
    keys_url: str | None = None
    plain_http: bool = False

    def __post_init__(self) -> None:
        if not fetchable(self.issuer, plain_http=self.plain_http) or "?" in self.issuer:
            raise UnusableIssuer("LASTGANG_TRUSTED_ISSUER", "must be a URL that begins with https://")
        if self.keys_url is not None and not fetchable(self.keys_url, plain_http=self.plain_http):
            raise UnusableIssuer("LASTGANG_TRUSTED_KEYS_URL", "must be a URL that begins with https://")
        if not self.audience:
            raise UnusableIssuer("LASTGANG_TRUSTED_AUDIENCE", "must be what the issuer calls this service (`aud`)")
        if not self.scope_claims or not all(self.scope_claims):
            raise UnusableIssuer("LASTGANG_TRUSTED_SCOPE_CLAIMS", "must be names of claims, divided by commas")
        if not self.grants:
            example = '{"forecaster": "forecast models:read"}'
            raise UnusableIssuer("LASTGANG_TRUSTED_GRANTS", f"must say what its permissions open, such as {example}")


class _Said(NamedTuple):
    """What a token says whose signature is good, from when on, and with which key of which id that was found out."""

    claims: Claims
    not_before: int
    kid: str | None
    key: Key


class TrustedIssuer:
    """Verifies the tokens of another issuer.

    Args:
        trust: what is believed of it.
        keys: its keys.
    """

    def __init__(self, trust: Trust, keys: IssuerKeys) -> None:
        self._trust, self._keys = trust, keys
        self._good: dict[str, _Said] = {}  # only what was found good: no stranger's token takes the place of one

    def issued(self, token: str) -> bool:
        """Tell whether a token says that it is of this issuer; whether it is, `verify` finds out."""
        if token in self._good:
            return True
        try:
            claims = bounded_object(split(token, LONGEST).claims, "claims")
        except InvalidToken:
            return False
        return claims.get("iss") == self._trust.issuer

    async def verify(self, token: str, now: datetime) -> Claims:
        """Return the claims of a good token; subject and client begin with the issuer.

        Raises:
            InvalidToken: for every other text.
            IssuerUnavailable: the issuer's keys are not known.
        """
        said = self._good.get(token)
        kid = self._kid_of(bounded_object(split(token, LONGEST).header, "header")) if said is None else said.kid
        key = await self._keys.get(kid)
        if key is None:
            raise InvalidToken("key")
        if said is None or said.key is not key:
            said = self._said(token, kid, key)
            if len(self._good) >= REMEMBERED:
                self._good.clear()
            self._good[token] = said
        moment = seconds(now)
        if max(said.not_before, said.claims.issued_at.timestamp()) > moment + LEEWAY:
            raise InvalidToken("issued in the future")
        if moment >= said.claims.expires_at.timestamp():
            raise InvalidToken("expired")
        return said.claims

    def _kid_of(self, header: dict[str, Any]) -> str | None:
        if not header.keys() <= _HEADER:
            raise InvalidToken("header members")
        if not isinstance(header.get("alg"), str) or header["alg"] not in _ALGORITHMS:
            raise InvalidToken("algorithm")
        said = header.get("typ")
        if not isinstance(said, str) or said.lower().removeprefix("application/") != self._trust.type.lower():
            raise InvalidToken("type")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise InvalidToken("key")
        return kid

    def _said(self, token: str, kid: str | None, key: Key) -> _Said:
        parts = split(token, LONGEST)
        if bounded_object(parts.header, "header")["alg"] != key.algorithm:
            raise InvalidToken("algorithm")
        check_signature(token, parts.signature, key)
        claims = bounded_object(parts.claims, "claims")
        if claims.get("iss") != self._trust.issuer:
            raise InvalidToken("issuer")
        audience = claims.get("aud")
        if self._trust.audience not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken("audience")
        client = next((claims[name] for name in _CLIENT if name in claims), None)
        self._check_use(claims, client)
        subject = self._named("subject", claims.get("sub"))
        issued, expires = second(claims.get("iat"), "issued at"), second(claims.get("exp"), "expiry")
        if not 0 < expires - issued <= LONGEST_LIFE:
            raise InvalidToken("lifetime")
        scopes = simplest(scope for name in self._permissions(claims) for scope in self._trust.grants.get(name, ()))
        whole = Claims(
            subject=subject,
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
            id=hashlib.sha256(parts.claims).hexdigest()[:32],
            issuer=self._trust.issuer,
            audience=self._trust.audience,
            client=subject if client is None else self._named("client", client),
            scopes=scopes,
        )
        return _Said(whole, second(claims.get("nbf", issued), "not before"), kid, key)

    def _check_use(self, claims: dict[str, Any], client: Any) -> None:
        """Refuse tokens that are for something else. Where the header says no more than ``JWT``, the claims must."""
        if self._trust.type != "JWT":
            return
        if "typ" in claims:  # Keycloak's; its others are ID, Refresh, Offline, Logout, ...
            good = claims["typ"] == "Bearer"
        else:
            good = client is not None and not _OF_ID_TOKENS & claims.keys()
        if not good:
            raise InvalidToken("not an access token")

    def _named(self, what: str, name: Any) -> str:
        """Put the issuer before a name: no user or client here is called so."""
        if not isinstance(name, str) or not _SUBJECT.fullmatch(name):
            raise InvalidToken(what)
        return f"{self._trust.issuer}#{name}"

    def _permissions(self, claims: dict[str, Any]) -> set[str]:
        found: set[str] = set()
        for name in self._trust.scope_claims:
            value = _member(claims, name)
            listed = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
            found.update(one for one in listed if isinstance(one, str))
        return found


def _member(claims: dict[str, Any], name: str) -> Any:
    """Return the claim of that name, or what lies under it where dots divide the names of members; None if nothing."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
