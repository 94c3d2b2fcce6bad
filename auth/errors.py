"""Every way in which `auth` refuses, as one tree; the messages are fit to be shown to whoever is refused.

AuthError
├── NotAuthenticated      no bearer token came with the request
├── InvalidToken          a token came, and it is not good; the reason is kept for the log
├── InvalidCredentials    unknown user, wrong password or disabled user, told in the same words
├── PasswordChecksBusy    too many passwords wait to be checked; says when to come back
├── InvalidUserName       this cannot be the name of a user
├── UserExists            the name is taken
├── UnknownUser           no user has this name
├── WeakPassword          too easy to guess, or impossible to check
├── WeakSigningKey        a key that would not protect a token
└── UnusableDatabase      the database of users cannot be opened or prepared

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


class InvalidCredentials(AuthError):
    """The name and the password do not open anything; deliberately silent about which of them is wrong.

    Attributes:
        user: whose log-in it would have been; None if there is no such user. For the audit log; a client must never
            learn it.
    """

    def __init__(self, user: str | None = None) -> None:
        super().__init__("Incorrect username or password")
        self.user = user


class PasswordChecksBusy(AuthError):
    """The queue of passwords to be checked is full.

    Attributes:
        retry_after: seconds after which a client may try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many log-ins at once; try again in {retry_after} s")
        self.retry_after = retry_after


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


class UnusableDatabase(AuthError):
    """The database of users cannot be opened or prepared.

    Attributes:
        url: where it was looked for, with any password in it hidden.
        problem: the cause, in the words of the library that failed.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"The database of users, {url}, cannot be used: {problem}; check its URL and permissions")
        self.url = url
        self.problem = problem
