"""Secrets that we make: 256 random bits as text, of which only a hash is stored.

A fast hash is enough for them, unlike for passwords: nobody can try 2^256 of them.
"""

import hashlib
import hmac
import secrets

CLIENT, REFRESH = "lgc_", "lgr_"  # so that a scanner of source code can tell what it found


def new_secret(kind: str) -> str:
    """Return a new secret: the kind and 43 characters of base64url."""
    return kind + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """Return what is stored of a secret: SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_secret(secret: str, stored: str) -> bool:
    """Tell whether the secret is the stored one, in a time that does not depend on it."""
    return hmac.compare_digest(hash_of(secret), stored)
