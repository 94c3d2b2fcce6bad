"""What can be wrong with a request before its content is looked at.

RequestError
├── BodyTooLarge          more bytes than the limit
├── BodyTooSlow           the body did not arrive in time
├── Overloaded            too much is being done at this moment; says when to come again
│   └── StillCompiling    a long request so soon after the start that it would take too long
├── UnsupportedMediaType  neither a form with a file nor a CSV
├── MalformedUpload       a form that cannot be read, or without exactly one file
└── InvalidQuery          a query string with parameters that cannot be used
    └── NoIntervals       levels for a model whose card tells nothing of residuals
"""

from collections.abc import Sequence


class RequestError(Exception):
    """A request that is refused for its form."""


class BodyTooLarge(RequestError):
    """The body is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The body is larger than {limit} bytes. Send less; of a load profile the last seven days suffice."
        )


class BodyTooSlow(RequestError):
    """The body did not arrive within `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"The body did not arrive within {seconds:g} seconds.")


class Overloaded(RequestError):
    """There is no place for one more request just now; come again in `retry_after` seconds."""

    def __init__(self, retry_after: int, reason: str = "Too many requests are being answered just now.") -> None:
        self.retry_after = retry_after
        super().__init__(f"{reason} Send this one again in {retry_after} s.")


class StillCompiling(Overloaded):
    """The batches that many forecasts need are still being compiled behind the requests, for seconds after a start."""

    def __init__(self, model: str, seconds: float) -> None:
        reason = f"Model {model!r} is still being compiled after the start; until it is, this takes {seconds:.0f} s."
        super().__init__(15, reason)


class UnsupportedMediaType(RequestError):
    """The body's Content-Type or Content-Encoding is none that is read here."""

    def __init__(self, given: str) -> None:
        self.given = given
        what = f"The body's type is {given[:80]!r}" if given else "The request does not say what type its body is"
        super().__init__(
            f"{what}. Send multipart/form-data with the CSV in the field 'file', "
            "or the CSV alone as text/csv, without a Content-Encoding."
        )


class MalformedUpload(RequestError):
    """The form cannot be read, or does not hold exactly one file in the field 'file'."""


class InvalidQuery(RequestError):
    """The query string cannot be used; `problems` holds (parameter, code, message) of each reason."""

    def __init__(self, problems: Sequence[tuple[str, str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{name}: {message}" for name, _, message in self.problems[:10]))


class NoIntervals(InvalidQuery):
    """The model `name` has no intervals, because its card tells nothing of residuals."""

    def __init__(self, name: str) -> None:
        self.name = name
        message = (
            f"The card of model {name!r} tells nothing of residuals, so its forecasts have no intervals. Ask without "
            "level; or write residual_quantiles, of measured minus forecast, into the card, then run "
            "`python -m models.card` and import the model again."
        )
        super().__init__([("level", "no_intervals", message)])
