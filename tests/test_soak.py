"""The soak: its mix, its judge, its pace and its hostile clients on a real TLS server, its verdict and its report."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
from collections import Counter
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from answering import serving

from benchmarks.soak import hostile, pacing, report
from benchmarks.soak.__main__ import _arguments
from benchmarks.soak.hostile import Attack, Beside, Outcomes, attacks, broken_csv, storm
from benchmarks.soak.memory import FLAT, SHORTEST, Sample, Scales, slope, verdict
from benchmarks.soak.mix import Judge, drawn, fifty_sites, five_weeks, mix
from benchmarks.soak.pacing import Answer, Pace
from benchmarks.soak.target import Target
from config import Settings
from first_start import prepare
from processing.errors import InvalidLoadProfile
from processing.reading import Reader, Rules, read_load_profile
from processing.sites import Sites, read_sites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OK = b"HTTP/1.1 200 OK"
WHOLE = OK + b"\r\nContent-Length: 2\r\n\r\n[]"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
LAST = OK + b"\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]"


def test_shares_are_thousandths_and_are_kept() -> None:
    """The shares add up to 1,000, and each kind comes about as often as its share says."""
    kinds = mix()
    assert sum(kind.share for kind in kinds) == 1_000
    came = Counter(kind.name for kind in islice(drawn(kinds), 20_000))
    for kind in kinds:
        assert came[kind.name] / 20 == pytest.approx(kind.share, rel=0.1, abs=3)


def test_the_files_of_the_mix_are_good() -> None:
    """No site of the bulk file is refused, which would be a 200 all the same, and the backtest's file is whole."""
    sites = read_sites(fifty_sites(), Reader("Europe/Berlin", 672, Rules()))
    assert isinstance(sites, Sites)
    assert len(sites.sites) == 50
    assert not [site.name for site in sites.sites if site.problems]
    assert len(read_load_profile(five_weeks(), time_zone="Europe/Berlin").power) == 3_360


@pytest.mark.parametrize(
    "head, body, expected",
    [
        (OK, b'{"a": [1.0, 50.0], "b": "x"}', ""),
        (OK, b'{"a": [1.009, 50.05], "b": "y"}', ""),
        (OK, b'{"a": [1.0, 51.0], "b": "x"}', "another answer"),
        (OK, b'{"a": [1.0], "b": "x"}', "another answer"),
        (OK, b"{}", "another answer"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 1", b"", "HTTP/1.1 503 Busy"),
    ],
)
def test_answers_are_compared_with_the_first(head: bytes, body: bytes, expected: str) -> None:
    """An answer is right if its status is 200 and its numbers are those of the first answer, but for rounding."""
    judge = Judge()
    assert not judge.wrong("kind", OK, b'{"a": [1.0, 50.0], "b": "x"}')
    assert judge.wrong("kind", head, body) == expected


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home folder with a certificate."""
    home = tmp_path_factory.mktemp("home")
    prepare(Settings(home=home))
    return home


def load(home: Path, answers: Sequence[bytes], rate: float | None) -> list[Answer]:
    """Load a server with such answers for a fifth of a second."""
    with serving(answers, home) as address:
        context = ssl.create_default_context(cafile=str(home / "tls.crt"))
        requests = repeat(("kind", b"GET / HTTP/1.1\r\n\r\n"))
        return Pace(address, context, requests, Judge().wrong).run(4, 0.2, rate)


@pytest.mark.parametrize(
    "answers, wrong",
    [
        ([WHOLE], set()),
        ([LAST, b""], set()),
        ([WHOLE, BUSY], {"HTTP/1.1 503 Busy"}),
        ([WHOLE, b""], {"ConnectionResetError"}),
    ],
    ids=["good", "closing", "refusing", "breaking"],
)
def test_a_steady_rate(home: Path, answers: list[bytes], wrong: set[str]) -> None:
    """Every request that was due is sent, is timed from when it was due, and has one answer, right or wrong."""
    found = load(home, answers, 100.0)
    assert sorted(answer.at for answer in found) == pytest.approx([n / 100 for n in range(20)], abs=1e-6)
    assert {answer.wrong for answer in found if answer.wrong} == wrong
    assert min(answer.milliseconds for answer in found) > 0


def test_without_a_rate_each_answer_is_followed_by_a_request(home: Path) -> None:
    """A closed loop sends as much as the server answers."""
    assert len(load(home, [WHOLE], None)) > 8


def test_a_handshake_that_is_late_delays_no_other_request(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that shakes no hands is given up for each request by itself, and what cannot be sent is said."""
    monkeypatch.setattr(pacing, "PATIENCE", 0.5)
    context = ssl.create_default_context(cafile=str(home / "tls.crt"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        requests = repeat(("kind", b"GET / HTTP/1.1\r\n\r\n"))
        found = Pace(silent.getsockname(), context, requests, Judge().wrong).run(4, 0.2, 50.0)
    assert len(found) == 10
    assert {answer.wrong for answer in found} == {"no answer", "never sent"}
    assert max(answer.milliseconds for answer in found) < 5_000


def grown(an_hour: float, minutes: float) -> list[Sample]:
    """Make the memory of a service that fills its caches in the first half and grows by so many MB an hour."""
    seconds = range(0, int(60 * minutes) + 1, 5)
    return [Sample(at, 900 + at, min(at, 30 * minutes) + an_hour * at / 3_600, 40, 30) for at in seconds]


@pytest.mark.parametrize(
    "samples, expected",
    [
        (grown(0.0, 30), "flat"),
        (grown(-50.0, 30), "flat"),
        (grown(FLAT - 1, 30), "flat"),
        (grown(FLAT + 1, 30), "not flat"),
        (grown(1_000.0, SHORTEST - 1), "too short to tell: a verdict takes 10 minutes"),
    ],
)
def test_memory_is_flat_if_its_second_half_is(samples: list[Sample], expected: str) -> None:
    """What fills in the first half counts for nothing; a few minutes are no time to tell."""
    assert verdict(samples) == expected


def test_the_slope_is_in_megabytes_an_hour() -> None:
    """The slope is that of the second half."""
    assert slope(grown(12.0, 20)) == pytest.approx(12.0)


def test_a_process_is_weighed() -> None:
    """Scales give a sample at once, of a process and all below it."""
    with Scales(psutil.Process()) as scales:
        while not scales.samples:
            pass
    assert 1 < scales.samples[0].pss <= scales.samples[0].rss
    assert scales.samples[0].descriptors > 0
    assert scales.samples[0].threads > 1


ANSWERS = [Answer(1.0, "good", 5.0, ""), Answer(61.0, "good", 7.0, ""), Answer(62.0, "bad", 9.0, "no answer")]


def test_the_report_tells_every_failure() -> None:
    """Failures stand in the report by kind, and each minute has its row."""
    text = report.markdown(ANSWERS, grown(0.0, 30), {"machine": "two cores"})
    assert "- machine: two cores" in text
    assert "- failures: 1 (expected: 0); bad: no answer (1)" in text
    assert "| 1 | 1 | 0 | 5.00 | 5.00 |\n| 2 | 2 | 1 | 7.00 | 7.00 |\n" in text
    assert "less than 30: flat\n" in text


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    """The picture is made of any run, also of one with failures."""
    report.plot(ANSWERS, grown(0.0, 30), tmp_path / "soak.png", "a load")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def attack(*pieces: bytes | float, **more: Any) -> Attack:
    """Make an attack whose only right outcome is 401."""
    return Attack("bad", 50.0, ("401",), lambda _: pieces, **more)


REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
REFUSED_LAST = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "answer, come, expected",
    [
        (REFUSED, attack(b"x"), "401"),
        (REFUSED, attack(b"x", 0.01, b"y"), "401"),
        (REFUSED, attack(b"x", 9.0, b"y"), "401"),
        (REFUSED, attack(b"x", closing=True), "401 open"),
        (REFUSED_LAST, attack(b"x", closing=True), "401 closed"),
        (b"", attack(b"x"), "closed"),
        (b"", attack(b"x", closing=True), "closed"),
        (REFUSED, attack(b"x", taken=0), "gone"),
        (REFUSED, attack(b"x", taken=1), "gone"),
        (b"", attack(b"x", taken=1), "closed"),
        (REFUSED, attack(b"no TLS", tls=False), "closed"),
        (REFUSED, attack(), "no answer"),
    ],
)
def test_an_attack_comes_to_an_outcome(
    home: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, come: Attack, expected: str
) -> None:
    """An outcome tells the status, and whether the connection was closed; silence is given up."""
    monkeypatch.setattr(hostile, "CLOSING", 0.2)
    with serving([answer], home) as (_, port):
        found = asyncio.run(storm(target(home, port), [come], 0.1, 1.0))
    assert found
    assert {outcome for _, outcome in found} == {expected}


def test_nobody_there(home: Path) -> None:
    """Where no service is, each client says so."""
    with serving([b""], home) as (_, port):
        pass
    found = asyncio.run(storm(target(home, port), [attack(b"x")], 0.1, 1.0))
    assert set(found) == {("bad", "ConnectionRefusedError")}


def target(home: Path, port: int = 1) -> Target:
    """Give a target whose tokens are none."""
    return Target(port, home / "tls.crt", "good", "narrow", ("expired",), ("forged",), "client:meter", 2.0)


def test_attacks_come_from_another_process(home: Path) -> None:
    """All attacks are sent from a process of its own, and all of them are counted."""
    with serving([REFUSED], home) as (_, port), Beside(target(home, port), 0.3, 0.5) as beside:
        found = beside.outcomes()
    assert found.total() > 0
    assert {name for name, _ in found} <= {each.name for each in attacks(target(home))}


def test_no_attack_may_succeed(home: Path) -> None:
    """No outcome of success or of a fault of the service is right, shedding always is, and names are used once."""
    several = attacks(target(home))
    assert len({each.name for each in several}) == len(several)
    for each in several:
        assert each.right("503")
        assert not any(
            each.right(f"{status}{end}") for status in (200, 201, 204, 302, 500, 502, 504) for end in ("", " closed")
        )


def test_broken_files_are_broken() -> None:
    """None of the broken files can be read."""
    for seed in range(300):
        with pytest.raises(InvalidLoadProfile):
            read_load_profile(broken_csv(random.Random(seed)), time_zone="Europe/Berlin")


def test_the_report_tells_every_wrong_outcome() -> None:
    """Outcomes stand beside the right ones, those that are wrong by name; shedding is right."""
    found = Outcomes({("bad", "401"): 5, ("bad", "503"): 2, ("bad", "500"): 1})
    text = report.hostile(found, [attack()], 4.0)
    assert "8 of 1 kinds, 2 a second." in text
    assert "should not have been: 1 (expected: 0); bad: 500 (1)\n" in text
    assert text.endswith("| bad | 8 | 401 | 401 (5), 503 (2), 500 (1) |\n")


def test_the_folder_of_the_report_is_made_before_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour's report once found no folder to go to."""
    monkeypatch.setattr(sys, "argv", ["soak", "--out", str(tmp_path / "new" / "folder")])
    assert _arguments().out.is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["soak", "--out", str(tmp_path / "file" / "folder")])
    with pytest.raises(SystemExit):
        _arguments()
