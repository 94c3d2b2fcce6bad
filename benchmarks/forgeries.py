"""Hostile tokens: what an attacker, a broken client or another service could send as a bearer token.

In: an `Installation`, whose keys even sign what its service never would. Out: each token by a name that says what is
wrong with it. The tests send all of them to the service, and `python -m benchmarks.hostile` measures what each costs.
They are written with `cryptography` alone, so that the service's own code has no part in them.
"""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the group of P-256
DEEP = 5_000
MEGABYTE = 1_000_000

Forged = dict[str, str]
Object = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """A service that is attacked, with all its keys.

    Attributes:
        secret: of its HS256 key.
        secret_id: that key's id.
        point, modulus: its other keys, for ES256 and RS256.
        point_id, modulus_id: their ids.
        claims: those of a good token of a user who is there.
    """

    secret: bytes
    secret_id: str
    point: ec.EllipticCurvePrivateKey
    point_id: str
    modulus: rsa.RSAPrivateKey
    modulus_id: str
    claims: Object

    @property
    def header(self) -> Object:
        """The header of a good token with HS256."""
        return {"alg": "HS256", "typ": "at+jwt", "kid": self.secret_id}

    def hs256(self, header: Any = None, claims: Any = None, key: bytes | None = None, digest: str = "sha256") -> str:
        """Return a token signed with a secret."""
        text = _signed(self.header if header is None else header, self.claims if claims is None else claims)
        key = self.secret if key is None else key
        return f"{text}.{segment(hmac.digest(key, text.encode(), digest))}"

    def es256(self, header: Any = None, claims: Any = None) -> str:
        """Return a token signed on P-256."""
        text = _signed(header or {"alg": "ES256", "typ": "at+jwt", "kid": self.point_id}, claims or self.claims)
        r, s = decode_dss_signature(self.point.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def rs256(self, header: Any = None, claims: Any = None) -> str:
        """Return a token signed with RSA."""
        text = _signed(header or {"alg": "RS256", "typ": "at+jwt", "kid": self.modulus_id}, claims or self.claims)
        return f"{text}.{segment(self.modulus.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def good(self) -> Forged:
        """Return a good token of each key, and the other right form of a signature on P-256."""
        other = self.es256()
        text, _, signature = other.rpartition(".")
        raw = _raw(signature)
        r, s = raw[:32], int.from_bytes(raw[32:], "big")
        malleated = f"{text}.{segment(r + (ORDER - s).to_bytes(32, 'big'))}"
        return {"HS256": self.hs256(), "ES256": other, "RS256": self.rs256(), "ES256 with the other s": malleated}


def segment(content: Any) -> str:
    """Return base64url without padding of bytes, of a text, or of anything as JSON."""
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forgeries(there: Installation) -> Forged:
    """Return every hostile token that needs nothing but the installation's keys."""
    parts = (_algorithms(there), _confusions(there), _signatures(there), _headers(there), _claims(there), _forms(there))
    named: Forged = {}
    for part in parts:
        if named.keys() & part.keys():
            raise ValueError("Two forgeries have one name")
        named |= part
    return named


def foreign_forgeries(there: Installation) -> Forged:
    """Return hostile tokens of another issuer, whose keys and claims these are; those that cost most to look at."""
    rs256, es256 = ({"alg": alg, "typ": "at+jwt", "kid": kid} for alg, kid in _foreign_keys(there))
    many = there.claims | {"resource_access": {f"client-{n}": {"roles": ["a", "b", "c"]} for n in range(64)}}
    long = there.claims | {"x": "\u00e4" * 1_900}
    members = there.claims | {f"claim-{n}": n for n in range(450)}
    forged = {
        f"{what}, {how}": sign(header, claims)
        for what, claims in (("short", there.claims), ("roles", many), ("escapes", long), ("members", members))
        for how, sign, header in (
            ("RS256 called ES256", there.rs256, es256),
            ("ES256 called RS256", there.es256, rs256),
            ("another audience, RS256", _for_another(there.rs256), rs256),
            ("another audience, ES256", _for_another(there.es256), es256),
        )
    }
    forged |= {
        f"{name}, signature changed": _changed(there.rs256(rs256, claims)) for name, claims in (("roles", many),)
    }
    deep = '{"a":' * 199 + "{}" + "}" * 199
    return forged | {
        "objects, deep": there.rs256(rs256, deep),
        "brackets, many": there.rs256(rs256, "[" * 12_000),
        "digits, many": there.rs256(rs256, _raw_member(there.claims, "exp", "9" * 4_000)),
        "1 MB of letters": "A" * MEGABYTE,
    }


def _foreign_keys(there: Installation) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("RS256", there.modulus_id), ("ES256", there.point_id)


def _for_another(sign: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    return lambda header, claims: sign(header, claims | {"aud": "another"})


def _changed(token: str) -> str:
    return token[:-8] + ("B" if token[-8] != "B" else "C") + token[-7:]


def _algorithms(there: Installation) -> Forged:
    nothing = {
        f"alg {name}, {how}": f"{_signed(there.header | {'alg': name}, there.claims)}.{signature}"
        for name in ("none", "None", "nOnE", "NONE", "")
        for how, signature in (("no signature", ""), ("a signature", there.hs256().rpartition(".")[2]))
    }
    names: list[Any] = [
        "hs256",
        "HS256 ",
        "HS384",
        "RS256",
        "ES256",
        "PS256",
        "EdDSA",
        "dir",
        256,
        None,
        True,
        ["none"],
    ]
    others = {f"alg {name!r}": there.hs256(there.header | {"alg": name}) for name in names}
    real = {
        f"HS{bits}, rightly signed": there.hs256(there.header | {"alg": f"HS{bits}"}, digest=f"sha{bits}")
        for bits in (384, 512)
    }
    return nothing | others | real | {"no alg": there.hs256(_without(there.header, "alg"))}


def _confusions(there: Installation) -> Forged:
    """Sign with what everybody knows, or with nothing much."""
    spki, der, pem = (
        serialization.PublicFormat.SubjectPublicKeyInfo,
        serialization.Encoding.DER,
        serialization.Encoding.PEM,
    )
    forged: Forged = {}
    for what, public, kid in (
        ("ES256", there.point.public_key(), there.point_id),
        ("RS256", there.modulus.public_key(), there.modulus_id),
    ):
        header = there.header | {"kid": kid}
        text = public.public_bytes(pem, spki)
        forged |= {
            f"public PEM of {what} as secret": there.hs256(header, key=text),
            f"public PEM of {what} as secret, without its newline": there.hs256(header, key=text.strip()),
            f"public DER of {what} as secret": there.hs256(header, key=public.public_bytes(der, spki)),
            f"public PEM of {what} as secret, alg {what}": there.hs256(header | {"alg": what}, key=text),
            f"kid of {what} under HS256's key": there.hs256(header),
        }
    keys = {
        "empty": b"",
        "one zero byte": b"\0",
        "'secret'": b"secret",
        "the kid": there.secret_id.encode(),
        "another one": there.secret[::-1],
    }
    forged |= {f"secret is {name}": there.hs256(key=key) for name, key in keys.items()}
    headers = {
        "RS256 under the kid of ES256": (there.rs256, {"alg": "RS256", "kid": there.point_id}),
        "ES256 under the kid of RS256": (there.es256, {"alg": "ES256", "kid": there.modulus_id}),
        "ES256 under the kid of the secret": (there.es256, {"alg": "ES256", "kid": there.secret_id}),
        "RS256 signed, called PS256": (there.rs256, {"alg": "PS256", "kid": there.modulus_id}),
        "ES256 signed, called ES384": (there.es256, {"alg": "ES384", "kid": there.point_id}),
    }
    return forged | {name: sign({"typ": "at+jwt", **header}) for name, (sign, header) in headers.items()}


def _signatures(there: Installation) -> Forged:
    text, _, signature = there.hs256().rpartition(".")
    point_text, _, point = there.es256().rpartition(".")
    modulus_text, _, modulus = there.rs256().rpartition(".")
    raw = _raw(point)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    half = ORDER.to_bytes(32, "big")
    signatures = {
        "zeros, HS256": (text, bytes(32)),
        "zeros, ES256": (point_text, bytes(64)),
        "zeros, RS256": (modulus_text, bytes(len(_raw(modulus)))),
        "the order twice, ES256": (point_text, half + half),
        "r and order, ES256": (point_text, raw[:32] + half),
        "r and s exchanged, ES256": (point_text, raw[32:] + raw[:32]),
        "DER, ES256": (point_text, encode_dss_signature(r, s)),
        "a zero before each half, ES256": (point_text, b"\0" + raw[:32] + b"\0" + raw[32:]),
        "r alone, ES256": (point_text, raw[:32]),
        "of HS256 under ES256": (point_text, _raw(signature)),
        "of ES256 under HS256": (text, raw),
        "one, RS256": (modulus_text, (1).to_bytes(len(_raw(modulus)), "big")),
        "a zero before it, RS256": (modulus_text, b"\0" + _raw(modulus)),
        "one byte less, RS256": (modulus_text, _raw(modulus)[:-1]),
        "ones, RS256": (modulus_text, b"\xff" * len(_raw(modulus))),
        "one byte less, HS256": (text, _raw(signature)[:-1]),
        "first half of it, HS256": (text, _raw(signature)[:16]),
        "100 kB of it": (text, bytes(MEGABYTE // 10)),
    }
    header = text.partition(".")[0]
    forged = {f"signature: {name}": f"{over}.{segment(part)}" for name, (over, part) in signatures.items()}
    forged["signature of other claims"] = f"{header}.{segment(there.claims | {'sub': 'root'})}.{signature}"
    forged["signature of another header"] = f"{segment(there.header | {'x': 1})}.{text.partition('.')[2]}.{signature}"
    return forged


def _headers(there: Installation) -> Forged:
    own = {"kty": "oct", "k": segment(b"attacker")}
    kids = {
        "path": "../../../../../../dev/null",
        "absolute path": "/dev/null",
        "SQL": "x' UNION SELECT 'attacker'; --",
        "command": "key.pem|id",
        "URL": "https://evil.test/key",
        "empty": "",
        "null": None,
        "true": True,
        "number": 0,
        "list": [there.secret_id],
        "object": {"kid": there.secret_id},
        "with a newline": f"{there.secret_id}\n",
        "with a NUL": f"{there.secret_id}\0",
        "in capitals": there.secret_id.upper(),
        "huge": "k" * 3_000,
        "lone surrogate": "\ud800",
        "unknown": "0123456789abcdef",
    }
    members: dict[str, Object] = {
        "crit unknown": {"crit": ["https://evil.test/x"], "https://evil.test/x": True},
        "crit of exp": {"crit": ["exp"]},
        "crit empty": {"crit": []},
        "crit text": {"crit": "b64"},
        "b64 false": {"b64": False},
        "b64 false and crit": {"b64": False, "crit": ["b64"]},
        "jku": {"jku": "https://evil.test/jwks.json"},
        "jku of ours": {"jku": "/.well-known/jwks.json"},
        "jwk": {"jwk": own},
        "x5u": {"x5u": "https://evil.test/chain.pem"},
        "x5c": {"x5c": ["MIIB"]},
        "x5t": {"x5t": segment(b"t" * 20)},
        "zip": {"zip": "DEF"},
        "cty": {"cty": "JWT"},
        "enc": {"enc": "A256GCM"},
        "iss in the header": {"iss": "lastgang"},
        "unknown member": {"x": 1},
        "deep member": {"x": [[[[[]]]]]},
    }
    types = ("JWT", "jwt", "AT+JWT", "application/at+jwt", "at+jwt ", "rt+jwt", "logout+jwt", "", None, 1, ["at+jwt"])
    written: dict[str, str | bytes] = {
        "alg twice": _twice(there.header, "alg", "none"),
        "alg twice, with an escape": _twice(there.header, "\\u0061lg", "none"),
        "kid twice": _twice(there.header, "kid", "x"),
        "escaped name": json.dumps(there.header).replace('"kid"', '"\\u006bid"'),
        "escaped value": json.dumps(there.header).replace("HS256", "\\u0048S256"),
        "a list": json.dumps([there.header]),
        "a text": json.dumps("HS256"),
        "null": "null",
        "empty object": "{}",
        "not JSON": "{alg: HS256}",
        "a comma too many": json.dumps(there.header)[:-1] + ",}",
        "something behind it": json.dumps(there.header) + "x",
        "two objects": json.dumps(there.header) * 2,
        "byte order mark": "\ufeff" + json.dumps(there.header),
        "UTF-16": json.dumps(there.header).encode("utf-16"),
        "not UTF-8": json.dumps(there.header).encode().replace(b"HS", b"\xff\xfe"),
        "NUL behind it": json.dumps(there.header) + "\0",
        "single quotes": str(there.header),
        "lists, deep": "[" * (DEEP // 4) + "]" * (DEEP // 4),
        "objects, deep": '{"a":' * (DEEP // 10) + "1" + "}" * (DEEP // 10),
        "open lists": '{"alg":' + "[" * (DEEP // 2),
    }
    forged = {f"kid {name}": there.hs256(there.header | {"kid": kid}) for name, kid in kids.items()}
    forged |= {f"header: {name}": there.hs256(there.header | more) for name, more in members.items()}
    forged |= {f"typ {name!r}": there.hs256(there.header | {"typ": name}) for name in types}
    forged |= {f"header: {name}": there.hs256(text) for name, text in written.items()}
    forged["kid path, signed with nothing"] = there.hs256(there.header | {"kid": "/dev/null"}, key=b"")
    forged["jwk, signed with it"] = there.hs256(there.header | {"jwk": own}, key=b"attacker")
    forged["b64 false, the claims as they are"] = _unencoded(there)
    return forged | {f"no {name}": there.hs256(_without(there.header, name)) for name in ("typ", "kid")}


def _claims(there: Installation) -> Forged:  # a table
    now, then = there.claims["iat"], there.claims["exp"]
    changed: dict[str, Object] = {
        "iss another": {"iss": "https://evil.test"},
        "iss in capitals": {"iss": str(there.claims["iss"]).upper()},
        "iss with a slash": {"iss": f"{there.claims['iss']}/"},
        "iss list": {"iss": [there.claims["iss"]]},
        "aud another": {"aud": "another"},
        "aud list with ours": {"aud": [there.claims["aud"], "another"]},
        "aud list": {"aud": [there.claims["aud"]]},
        "aud empty": {"aud": ""},
        "sub unknown": {"sub": "nobody"},
        "sub SQL": {"sub": "' OR '1'='1"},
        "sub path": {"sub": "../root"},
        "sub empty": {"sub": ""},
        "sub with a NUL": {"sub": "ada\0"},
        "sub with a newline": {"sub": "ada\n"},
        "sub lone surrogate": {"sub": "\ud800"},
        "sub letter that looks like it": {"sub": "\u0430da"},
        "sub full-width": {"sub": "\uff41da"},
        "sub huge": {"sub": "a" * 256},
        "sub huger": {"sub": "a" * 10_000},
        "exp now": {"exp": now, "iat": now - 60},
        "exp long ago": {"exp": 60, "iat": 0},
        "exp before iat": {"exp": now - 1},
        "exp far away": {"exp": 253_402_300_799},
        "exp beyond all years": {"exp": 253_402_300_800},
        "exp 2**63": {"exp": 2**63},
        "exp float": {"exp": then + 0.5},
        "exp whole float": {"exp": float(then)},
        "exp NaN": {"exp": float("nan")},
        "exp Infinity": {"exp": float("inf")},
        "exp in milliseconds": {"exp": then * 1000},
        "iat in the future": {"iat": now + 600, "exp": now + 900},
        "iat float": {"iat": now + 0.5},
        "iat negative": {"iat": -1, "exp": 10},
        "nbf in the future": {"nbf": now + 600},
        "nbf": {"nbf": now},
        "jti short": {"jti": "0" * 31},
        "jti in capitals": {"jti": "ABCDEF01" * 4},
        "ID token": {"nonce": "n-0S6_WzA2Mj", "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"},
        "refresh token": {"token_use": "refresh"},
        "refresh token of Keycloak": {"typ": "Refresh"},
        "admin": {"admin": True},
        "confirmation": {"cnf": {"jkt": "x"}},
        "nested token": {"jwt": there.hs256()},
    }
    values: list[Any] = [None, True, False, 0, 1, -1, 1.5, "", "1", [], [1], {}, {"a": 1}]
    mistyped = {f"{name} is {json.dumps(value)}": {name: value} for name in there.claims for value in values}
    for good in ('scope is ""', 'scope is "1"', 'client_id is "1"'):
        del mistyped[good]
    raw: dict[str, str | bytes] = {
        "exp 1e400": _raw_member(there.claims, "exp", "1e400"),
        "exp -0": _raw_member(there.claims, "exp", "-0"),
        "exp 2e9": _raw_member(there.claims, "exp", "2e9"),
        "exp of 2000 digits": _raw_member(there.claims, "exp", "9" * 2_000),
        "exp hexadecimal": _raw_member(there.claims, "exp", "0x7fffffff"),
        "exp with a leading zero": _raw_member(there.claims, "exp", f"0{then}"),
        "sub with an escape": json.dumps(there.claims).replace('"ada"', '"\\u0061da"'),
        "name with an escape": json.dumps(there.claims).replace('"sub"', '"\\u0073ub"'),
        "name twice, with an escape": _twice(there.claims, "\\u0073ub", "root"),
        "name in capitals": json.dumps(there.claims).replace('"exp"', '"EXP"'),
        "a list": json.dumps([there.claims]),
        "a text": json.dumps("ada"),
        "null": "null",
        "empty object": "{}",
        "not JSON": str(there.claims),
        "in spaces": f" {json.dumps(there.claims)} ",
        "byte order mark": "\ufeff" + json.dumps(there.claims),
        "UTF-16": json.dumps(there.claims).encode("utf-16"),
        "not UTF-8": json.dumps(there.claims).encode().replace(b"ada", b"\xff\xfe\xfd"),
        "surrogates in UTF-8": json.dumps(there.claims).replace('"ada"', '"\ud800"'),
        "lists, deep": '{"sub":' + "[" * (DEEP // 4) + "]" * (DEEP // 4) + "}",
        "objects, deep": '{"a":' * (DEEP // 10) + "1" + "}" * (DEEP // 10),
        "a thousand members": json.dumps(there.claims | {f"x{n}": n for n in range(150)}),
        "a token": there.hs256(),
    }
    forged = {f"claims: {name}": there.hs256(claims=there.claims | more) for name, more in (changed | mistyped).items()}
    forged |= {f"claims: {name}": there.hs256(claims=text) for name, text in raw.items()}
    forged |= {f"claims: no {name}": there.hs256(claims=_without(there.claims, name)) for name in there.claims}
    forged |= {f"claims: {name} twice": there.hs256(claims=_twice(there.claims, name)) for name in there.claims}
    forged["claims: sub unknown, ES256"] = there.es256(claims=there.claims | {"sub": "nobody"})
    forged["claims: exp now, RS256"] = there.rs256(claims=there.claims | {"exp": now, "iat": now - 60})
    return forged


def _forms(there: Installation) -> Forged:
    good = there.hs256()
    header, claims, signature = good.split(".")
    json_form = {"protected": header, "payload": claims, "signature": signature}
    forged = {
        "empty": "",
        "a space": " ",
        "garbage": "garbage",
        "two dots": "..",
        "dots": "." * 4_000,
        "one part": header,
        "two parts": f"{header}.{claims}",
        "two parts and a dot": f"{header}.{claims}.",
        "no claims": f"{header}..{signature}",
        "four parts": f"{good}.AAAA",
        "JWE": f"{segment({'alg': 'dir', 'enc': 'A256GCM'})}..{segment(bytes(12))}.{claims}.{segment(bytes(16))}",
        "JWE with a key": f"{segment({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.{'A' * 342}.AAAA.{claims}.AAAA",
        "JSON form": json.dumps(json_form),
        "general JSON form": json.dumps({"payload": claims, "signatures": [json_form]}),
        "padding": f"{good}=",
        "padding in each part": ".".join(f"{part}==" for part in good.split(".")),
        "percent for padding": f"{good}%3D",
        "space before": f" {good}",
        "space behind": f"{good} ",
        "tab behind": f"{good}\t",
        "space within": f"{header}. {claims}.{signature}",
        "tab within": f"{header}.{claims[:9]}\t{claims[9:]}.{signature}",
        "comma and another": f"{good},{good}",
        "another behind a space": f"{good} {good}",
        "scheme twice": f"Bearer {good}",
        "quoted": f'"{good}"',
        "in angle brackets": f"<{good}>",
        "percent-encoded": good.replace(".", "%2e"),
        "in lower case": good.lower(),
        "backwards": good[::-1],
        "NUL behind": f"{good}\0",
        "letter behind": f"{good}A",
        "letter missing": good[:-1],
        "a byte above ASCII": good[:-1] + "\xe9",
        "soft hyphen": f"{good[:20]}\xad{good[20:]}",
        "plus and slash of base64": f"{header}.{claims}.{signature[:-2]}+/",
        "1 MB of letters": "A" * MEGABYTE,
        "1 MB in three parts": ".".join(["A" * (MEGABYTE // 3)] * 3),
        "1 MB of dots": "." * MEGABYTE,
        "1 MB of claims": f"{header}.{segment(there.claims | {'sub': 'a' * (MEGABYTE // 2)})}.{signature}",
        "4097 characters": "A" * 2_000 + "." + "A" * 2_053 + "." + "A" * 42,
    }
    spare = {"header": 0, "claims": 1, "signature": 2}
    for name, place in spare.items():
        forged[f"spare bits in the {name}"] = _spare_bits(there, place)
    return forged


def _spare_bits(there: Installation, place: int) -> str:
    """Return a token, rightly signed, one part of which ends in the other spelling of the same bytes."""
    texts = [json.dumps(there.header), json.dumps(there.claims)]
    while place < len(texts) and len(segment(texts[place])) % 4 not in (2, 3):
        texts[place] = texts[place][:-1] + " }"
    parts = [segment(text) for text in texts]
    if place < len(parts):
        parts[place] = _other_spelling(parts[place])
    text = ".".join(parts)
    signature = segment(hmac.digest(there.secret, text.encode(), "sha256"))
    return f"{text}.{_other_spelling(signature) if place == len(parts) else signature}"


def _other_spelling(part: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + letters[letters.index(part[-1]) ^ 1]


def _unencoded(there: Installation) -> str:
    """Return a token of RFC 7797, whose claims are no base64url."""
    text = f"{segment(there.header | {'b64': False, 'crit': ['b64']})}.{json.dumps(there.claims)}"
    return f"{text}.{segment(hmac.digest(there.secret, text.encode(), 'sha256'))}"


def _signed(header: Any, claims: Any) -> str:
    return f"{segment(header)}.{segment(claims)}"


def _raw(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _without(content: Object, name: str) -> Object:
    return {member: value for member, value in content.items() if member != name}


def _twice(content: Object, name: str, value: Any = None) -> str:
    """Return JSON in which one member stands twice; the name may be written with escapes."""
    value = content[name] if value is None else value
    return f'{json.dumps(content)[:-1]}, "{name}": {json.dumps(value)}}}'


def _raw_member(content: Object, name: str, written: str) -> str:
    """Return JSON in which one member's value is this text, be it JSON or not."""
    mark = uuid.uuid4().hex
    return json.dumps(content | {name: mark}).replace(f'"{mark}"', written)
