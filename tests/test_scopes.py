"""Scopes cover one another as they are written, and sets of them are compared by what they allow."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import InvalidScope
from auth.scopes import ALL, SCOPES, common, covers, granted_of, parse, simplest, written

SOME = [*SCOPES, "forecast:gru", "forecast:cnn", "backtest:gru", "backtest:office-3"]
SETS = st.frozensets(st.sampled_from(SOME))


@pytest.mark.parametrize(
    "text, scopes",
    [
        ("", set()),
        ("  ", set()),
        ("forecast", {"forecast"}),
        ("metrics forecast  metrics", {"forecast", "metrics"}),
        ("forecast:gru forecast", {"forecast"}),
        ("forecast:gru backtest", {"forecast:gru", "backtest"}),
        ("forecast:Office-3.b_c", {"forecast:Office-3.b_c"}),
    ],
)
def test_parse(text: str, scopes: set[str]) -> None:
    """A text names each scope once, and none that another one covers."""
    assert parse(text) == scopes


@pytest.mark.parametrize(
    "text",
    ["all", "Forecast", "forecast:", "forecast:a:b", "forecast:*", "forecast:../x", "metrics:gru", "models", "models:",
     "models:gru", "users:admin:x", "forecast,metrics", "forecast:\u00e4", "forecast:" + "a" * 129, "*", '"'],
)  # fmt: skip
def test_unknown(text: str) -> None:
    """Anything else is refused, with what there is; the sentence stays printable."""
    with pytest.raises(InvalidScope, match=r"models:read.*forecast:MODEL") as refusal:
        parse(f"metrics {text}")
    assert str(refusal.value).isascii()
    assert len(str(refusal.value)) < 300


def test_too_many() -> None:
    """A token is sent with each request, so its scopes stay short; a scope for all models is as short as it gets."""
    with pytest.raises(InvalidScope, match="more than 1000 characters"):
        parse(" ".join(f"forecast:model-{number}" for number in range(100)))


@given(some=SETS, others=SETS)
def test_common(some: frozenset[str], others: frozenset[str]) -> None:
    """What two sets allow together is what each of them allows, for every route and model."""
    both = common(some, others)
    assert both == common(others, some)
    assert all(covers(both, scope) == (covers(some, scope) and covers(others, scope)) for scope in SOME)
    assert both == simplest(both) == parse(written(both))


@pytest.mark.parametrize("asked, granted", list(product([None, "", " "], ["", "forecast", "metrics forecast:gru"])))
def test_by_default_all_is_given(asked: str | None, granted: str) -> None:
    """Who asks for nothing in particular gets what there is."""
    assert granted_of(asked, parse(granted)) == parse(granted)


def test_what_was_not_granted() -> None:
    """A scope that was not granted is named, beside those that were."""
    assert granted_of("forecast:gru", frozenset({"forecast"})) == {"forecast:gru"}
    with pytest.raises(InvalidScope, match="'metrics' was not granted to you; granted are: forecast"):
        granted_of("forecast metrics", frozenset({"forecast"}))
    with pytest.raises(InvalidScope, match="granted are: none"):
        granted_of("forecast", frozenset())
    assert granted_of("forecast", ALL) == {"forecast"}
