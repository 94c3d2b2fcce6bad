"""Short runs of the fuzzers: whatever strangers send is taken or refused, with the words that go into an answer."""

from collections.abc import Callable

import pytest

from scripts.fuzzers import csvs, forms, tokens
from scripts.fuzzers.__main__ import TARGETS, main
from scripts.fuzzers.rounds import rounds


@pytest.mark.parametrize("zone", csvs.ZONES)
def test_the_seeds_are_good_files(zone: str) -> None:
    """The fuzzer starts from files that are read: otherwise it would test refusals only."""
    assert all(csvs.check(body, zone) for body in csvs.SEEDS)


def test_the_seed_is_a_good_token() -> None:
    assert tokens.check(tokens.GOOD)


def test_the_seed_is_a_good_form() -> None:
    body = forms.part(b"file", forms.FILE) + b"--edge--\r\n"
    assert forms.check("multipart/form-data; boundary=edge", body, [7])


@pytest.mark.parametrize("target, count", [("csvs", 1_000), ("tokens", 5_000), ("forms", 2_000)])
def test_changed_input_is_taken_or_refused(target: str, count: int) -> None:
    """No change of what is good gives anything but what is good, or a refusal; and some of it stays good."""
    number, taken = rounds(target, TARGETS[target], 20, count, 0)
    assert number == count
    assert count / 200 < taken < count


def test_a_failure_shows_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    def attempt(_: object) -> tuple[str, Callable[[], bool]]:
        return "the input", lambda: bool(1 // 0)

    with pytest.raises(ZeroDivisionError):
        rounds("inputs", attempt, 3, 1, 0)
    assert "Number 0 of the inputs of seed 3: 'the input'" in capsys.readouterr().err


def test_a_token_that_is_taken_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer's own reading notices a check that lets another audience in."""
    lax = type(tokens.TOKENS)([tokens.SECRET], "lastgang", "other", tokens.LIFETIME)
    monkeypatch.setattr(tokens, "TOKENS", lax)
    other = lax.issue("ada", tokens.NOW, client="lastgang", scopes=())
    with pytest.raises(AssertionError, match="issuer and audience are ours"):
        tokens.check(other)


def test_the_command_prints_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tokens", "--count", "50"])
    assert capsys.readouterr().out.startswith("tokens: 50, ")
    with pytest.raises(SystemExit):
        main(["stones"])
