"""Every way in which `auth` refuses, as one tree; the messages are fit to be shown to whoever is refused.

AuthError
├── NotAuthenticated      no bearer token came with the request
├── InvalidToken          a token came, and it is not good; the reason is kept for the log
├── IssuerUnavailable     the keys of the issuer that the token names are not known just now
├── InvalidCredentials    unknown user, wrong password or disabled user, told in the same words
├── TooManyLogIns         too many log-ins failed; says when to come back
├── LimitReached          a subject has used what it may have; says when there is more
├── PasswordChecksBusy    too many passwords wait to be checked; says when to come back
├── InvalidScope          a scope that is unknown, or was asked for and not granted
├── InsufficientScope     a good token whose scopes do not open this route
├── BeyondOwnScopes       somebody grants, or changes who has, a scope that they do not have
├── LastAdmin             the last user who may administer stays
├── UnknownRoute          no row of the table of routes has this path
├── UnknownMethod         a row has this path, but for other methods
├── OAuthRefusal          what a request for a token gets, with its word of RFC 6749
│   ├── InvalidTokenRequest   the form lacks something or has something twice
│   ├── UnsupportedGrant      there is no such way to a token, or it is switched off
│   ├── InvalidClient         unknown client, wrong secret or disabled client, told in the same words
│   └── InvalidGrant          the refresh token is not good, or no longer
├── InvalidClientId       this cannot be the id of a client
├── ClientExists          the id is taken
├── UnknownClient         no client has this id
├── InvalidUserName       this cannot be the name of a user
├── UserExists            the name is taken
├── UnknownUser           no user has this name
├── WeakPassword          too easy to guess, or impossible to check
├── WeakSigningKey        a key that would not protect a token
├── UnusableIssuer        what the settings say of another issuer cannot be used
├── UnusableDatabase      the database of users cannot be opened or prepared
    └── WrongSchema       its schema is that of another version of this code

What a message needs is also an attribute. No error carries a password, a key or a token.
"""

from __future__ import annotations


class AuthError(Exception):
    """Any refusal by this package."""


class NotAuthenticated(AuthError):
    """The request carries no ``Authorization`` header, or one of another scheme than Bearer."""

    def __init__(self) -> None:
        super().__init__("Not authenticated")


class InvalidToken(AuthError):
    """The bearer token is not one of ours, or no longer good.

    Attributes:
        reason: what is wrong with it, in a few fixed words that quote nothing of the token. For logs and
            tests; a client must never see it, since it would tell a forger how far he came.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("Could not validate credentials")
        self.reason = reason


class IssuerUnavailable(AuthError):
    """Another issuer never told its keys, or too long ago, so its tokens cannot be verified.

    Attributes:
        issuer: its name.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__(f"The keys of the issuer {issuer} cannot be read just now; try again soon")
        self.issuer = issuer


class InvalidCredentials(AuthError):
    """The name and the password do not open anything; deliberately silent about which of them is wrong.

    Attributes:
        user: whose log-in it would have been; None if there is no such user. For the audit log; a client must never
            learn it.
    """

    def __init__(self, user: str | None = None) -> None:
        super().__init__("Incorrect username or password")
        self.user = user


class TooManyLogIns(AuthError):
    """Too many log-ins with this name or from this address failed; the same words whether the name is a user's or not.

    Attributes:
        retry_after: seconds after which a client may try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many log-ins failed; try again in {retry_after} s")
        self.retry_after = retry_after


class LimitReached(AuthError):
    """A subject has used what it may have of something in a window of time.

    Attributes:
        name: of what, in the plural.
        limit: how many in a window.
        seconds: length of a window.
        left: how many of them are left.
        retry_after: seconds after which the next window begins.
    """

    def __init__(self, name: str, limit: int, seconds: int, asked: int, retry_after: int, left: int = 0) -> None:  # noqa: PLR0913, PLR0917
        words = (
            f"{asked} {name} were asked for; there may be {limit} in {seconds} s, and fewer are left"
            if asked > 1
            else (f"There may be {limit} {name} in {seconds} s, and all were used")
        )
        more = f"; send at most {limit} at a time" if asked > limit else f"; the next can be had in {retry_after} s"
        super().__init__(words + more)
        self.name, self.limit, self.seconds, self.left, self.retry_after = name, limit, seconds, left, retry_after


class PasswordChecksBusy(AuthError):
    """The queue of passwords to be checked is full.

    Attributes:
        retry_after: seconds after which a client may try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many log-ins at once; try again in {retry_after} s")
        self.retry_after = retry_after


class InvalidScope(AuthError):
    """A scope that does not exist, that makes a set too long, or that was asked for and never granted."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class OAuthRefusal(AuthError):
    """A request for a token, or about one, that is refused; see its kinds."""


class InvalidTokenRequest(OAuthRefusal):
    """The form lacks a field, or has one twice, or two that exclude each other."""


class UnsupportedGrant(OAuthRefusal):
    """The ``grant_type`` is unknown here, or switched off."""


class InvalidClient(OAuthRefusal):
    """The client did not show who it is; deliberately silent about what is wrong."""

    def __init__(self) -> None:
        super().__init__("The client is unknown, or its secret is wrong")


class InvalidGrant(OAuthRefusal):
    """The refresh token is unknown, used, expired, revoked or another client's; which, is not told."""

    def __init__(self) -> None:
        super().__init__("The refresh token is not good; log in again")


class InsufficientScope(AuthError):
    """The token is good, but not for this route.

    Attributes:
        needed: the scope that opens the route.
        scopes: those of the token that its user still has.
    """

    def __init__(self, needed: str, scopes: frozenset[str] = frozenset()) -> None:
        has = ", ".join(sorted(scopes)) or "none"
        super().__init__(
            f"This route takes the scope {needed}; the token's scopes are: {has}. "
            f"Ask an administrator for it (python -m auth grant NAME {needed}), then get a new token"
        )
        self.needed, self.scopes = needed, scopes


class BeyondOwnScopes(AuthError):
    """An administrator grants a scope, or changes somebody who has one, that they do not have themselves.

    Attributes:
        scopes: those that they lack.
    """

    def __init__(self, scopes: list[str]) -> None:
        super().__init__(
            f"Your token lacks the scopes: {', '.join(scopes)}. Nobody grants, or changes who has, what they lack"
        )
        self.scopes = scopes


class LastAdmin(AuthError):
    """Without this user nobody could administer users over HTTP."""

    def __init__(self) -> None:
        super().__init__("This is the last user with the scope users:admin; grant it to somebody else first")


class UnknownRoute(AuthError):
    """No row of the table of routes has this path, so it is shut."""

    def __init__(self) -> None:
        super().__init__("No route has this path")


class UnknownMethod(AuthError):
    """The path takes other methods.

    Attributes:
        allowed: the methods that it takes.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This path takes only {', '.join(allowed)}")
        self.allowed = allowed


class InvalidUserName(AuthError):
    """The name cannot be the name of a user.

    Attributes:
        name: the refused name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name[:80]!a} cannot be a user name: use 1 to 64 of the characters A-Z a-z 0-9 . _ @ - "
            "and begin with a letter or a digit"
        )
        self.name = name


class UserExists(AuthError):
    """A user of that name is there already; upper and lower case are one name.

    Attributes:
        name: the name that is taken.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"User {name} exists already; choose another name or set a new password")
        self.name = name


class UnknownUser(AuthError):
    """No user of that name is stored.

    Attributes:
        name: the name that was looked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"No user is called {name[:80]!a}; list the users to see every name")
        self.name = name


class InvalidClientId(AuthError):
    """The id cannot be the id of a client.

    Attributes:
        name: the refused id.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name[:80]!a} cannot be the name of a client: use 1 to 57 of the characters a-z 0-9 . _ - "
            "and begin with a letter or a digit; the prefix client: is added"
        )
        self.name = name


class ClientExists(AuthError):
    """A client of that id is there already.

    Attributes:
        name: the id that is taken.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a {name} already; choose another name or renew its secret")
        self.name = name


class UnknownClient(AuthError):
    """No client of that id is stored.

    Attributes:
        name: the id that was looked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"No client is called {name[:80]!a}; list the clients to see every one")
        self.name = name


class WeakPassword(AuthError):
    """The password is too easy to guess or could never be checked.

    Attributes:
        problem: what is wrong with it, without quoting it.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"The password {problem}; choose one of at least 12 characters that nobody can guess")
        self.problem = problem


class WeakSigningKey(AuthError):
    """A key for tokens is missing, of the wrong kind or too easy to guess.

    Attributes:
        problem: what is wrong with it, without quoting it.
    """

    def __init__(self, problem: str, remedy: str = "use at least 32 random bytes, `openssl rand -hex 32`") -> None:
        super().__init__(f"The key {problem}; {remedy}")
        self.problem = problem


class UnusableIssuer(AuthError):
    """A setting about another issuer cannot be used.

    Attributes:
        setting: its variable.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting} {problem}")
        self.setting = setting


class UnusableDatabase(AuthError):
    """The database of users cannot be opened or prepared.

    Attributes:
        url: where it was looked for, with any password in it hidden.
        problem: the cause, in the words of the library that failed.
    """

    def __init__(self, url: str, problem: str, way_out: str = "check its URL and permissions") -> None:
        super().__init__(f"The database of users, {url}, cannot be used: {problem}; {way_out}")
        self.url = url
        self.problem = problem


class WrongSchema(UnusableDatabase):
    """The database of users has the schema of another version of this code.

    Attributes:
        found: the name of its schema; None if it was never prepared.
        newer: whether only newer code knows it.
    """

    def __init__(self, url: str, found: str | None, newest: str, *, newer: bool) -> None:
        way_out = (
            "run the newer version of Lastgang that made it, or restore a copy from before"
            if newer
            else "start the service or run `python -m auth list`, which brings it up to date"
        )
        has = "it has no schema" if found is None else f"its schema is {found}"
        super().__init__(url, f"{has}, and this version of Lastgang works with {newest}", way_out)
        self.found, self.newer = found, newer
