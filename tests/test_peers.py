"""The benchmark beside peers: its arithmetic, its load generator on a real TLS server, its report."""

from __future__ import annotations

import argparse
import json
import re
import ssl
import subprocess
import sys
from collections import Counter
from math import inf, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from answering import serving

from benchmarks.peers import __main__ as command
from benchmarks.peers import report
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.figures import Cell, Row, Table, cell, median, percentile
from benchmarks.peers.ground import Ground
from benchmarks.peers.lineup import FLOORS, OTHERS, OURS, Peer, lineup
from benchmarks.peers.load import Generator, Load, split
from benchmarks.peers.rounds import judge
from benchmarks.peers.serving import Serving, difference
from config import Settings
from first_start import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@pytest.mark.parametrize(
    "values, percent, expected",
    [
        ([3.0], 99, 3.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([float(n) for n in range(101)], 95, 95.0),
        ([float(n) for n in range(101)], 99, 99.0),
    ],
)
def test_percentiles(values: list[float], percent: int, expected: float) -> None:
    """A percentile lies between the least and the greatest, linear between neighbours."""
    assert percentile(values, percent) == pytest.approx(expected)


@pytest.mark.parametrize("values, expected", [([1.0, 9.0, 2.0], 2.0), ([nan, 4.0, 6.0], 5.0), ([4.0], 4.0)])
def test_the_median_leaves_out_what_is_no_number(values: list[float], expected: float) -> None:
    """A round without any answer does not spoil the median of the others."""
    assert median(values) == expected


def test_nothing_measured_is_no_number() -> None:
    """No answer has no time: NaN, never zero, which would be the best of all."""
    assert isnan(median([]))
    assert isnan(percentile([], 50))
    assert isnan(cell(1, [Load()]).p50_ms)


def test_a_cell_takes_medians_of_times_and_the_sum_of_errors() -> None:
    """One noisy round moves no median, but its errors are all told."""
    rounds = [
        Load(seconds=2.0, milliseconds=[10.0] * 4, done=4),
        Load(seconds=2.0, milliseconds=[90.0] * 2, done=2, errors=Counter({"HTTP/1.1 503 Busy": 3})),
        Load(seconds=2.0, milliseconds=[12.0] * 6, done=6, errors=Counter({"no answer": 1})),
    ]
    wrong = {"HTTP/1.1 503 Busy": 3, "no answer": 1}
    assert cell(8, rounds) == Cell(8, 12, 4, 12.0, 12.0, 12.0, 2.0, wrong)


@pytest.mark.parametrize(
    "answer, body",
    [
        (WHOLE, b"[]"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[]", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[[\r\n3\r\n1]]\r\n0\r\n\r\n", b"[[1]]"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[[\r\n", None),
    ],
)
def test_an_answer_is_taken_when_it_is_whole(answer: bytes, body: bytes | None) -> None:
    """Head and body come apart once all of it is there, by its length or in chunks."""
    found = split(answer)
    assert (found and found[1]) == body


@pytest.mark.parametrize(
    "one, other, expected",
    [
        (b"[[1.0, 2.0]]", b"[[1.0, 2.0]]", 0.0),
        (b"[[1.0, 2.5]]", b"[[1.0, 2.0]]", 0.5),
        (b"[[1.0]]", b"[[1.0, 2.0]]", inf),
        (b"[1.0, 2.0]", b"[[1.0, 2.0]]", inf),
        (b"[]", b"[]", inf),
        (b'{"detail": "busy"}', b"[[1.0, 2.0]]", inf),
        (b"<html>", b"[[1.0, 2.0]]", inf),
    ],
)
def test_answers_are_compared_as_numbers(one: bytes, other: bytes, expected: float) -> None:
    """The difference is the largest in kW; what is no such matrix is infinitely far away."""
    assert difference(one, other) == expected


def test_a_wrong_answer_under_load_is_an_error() -> None:
    """A 200 with other numbers is counted as failed; a difference in rounding is not."""
    load = Load(bodies=Counter({b"[[1.0]]": 5, b"[[1.001]]": 2, b"[[3.0]]": 4}))
    assert judge(load, b"[[1.0]]") == pytest.approx(0.001)
    assert load.errors == {"wrong answer": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home folder with a certificate."""
    home = tmp_path_factory.mktemp("home")
    prepare(Settings(home=home))
    return home


@pytest.fixture
def answers() -> list[bytes]:
    """Give what the server is to answer; a test fills it."""
    return []


@pytest.fixture
def generator(home: Path, answers: list[bytes]) -> Iterator[Generator]:
    """Give a generator of load on a server with those answers."""
    with serving(answers, home) as address:
        context = ssl.create_default_context(cafile=str(home / "tls.crt"))
        yield Generator(address, context, b"GET / HTTP/1.1\r\n\r\n")


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]"


@pytest.mark.parametrize(
    "given, errors",
    [
        ([WHOLE], set()),
        ([LAST, b""], set()),
        ([WHOLE, BUSY], {"HTTP/1.1 503 Busy"}),
        ([WHOLE, b""], {"ConnectionResetError"}),
    ],
    ids=["good", "closing", "refusing", "breaking"],
)
def test_load(generator: Generator, answers: list[bytes], given: list[bytes], errors: set[str]) -> None:
    """Good answers are timed, others are errors with their own words, and a closed connection is made anew."""
    answers += given
    load = generator.run(4, 0.2)
    assert len(load.milliseconds) >= load.done >= 8
    assert load.seconds > 0.1
    assert min(load.milliseconds) > 0
    assert load.bodies == {b"[]": len(load.milliseconds)}
    assert set(load.errors) == errors


@pytest.fixture
def ground(home: Path) -> Ground:
    """Give a ground for peers that are not asked anything."""
    return Ground("folded", home, home, "", b"")


def test_peers_side_by_side_are_told_apart(ground: Ground, tmp_path: Path) -> None:
    """Each of two running peers counts and ends its own processes, and not those of whoever else is at work here."""
    busy = "import time\nwhile time.process_time() < 0.5: pass\n"  # many ticks of the clock that counts it
    command = f"{busy}from subprocess import *; Popen(['cat'], stdin=PIPE).wait()"  # cat ends with it, as its pipe does
    peer = Peer("idle", "Idle", (("-c", command),), "none")
    python = Path(sys.executable)
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with Serving(peer, ground, python, tmp_path / "one") as one:
        with Serving(peer, ground, python, tmp_path / "other") as other:
            while one.processes() < 2 or other.processes() < 2:
                pass
            assert (one.processes(), other.processes()) == (2, 2)
            assert other.processor_seconds() > 0
        assert (one.processes(), other.processes()) == (2, 0)
    assert one.processes() == 0
    assert stranger.poll() is None
    stranger.communicate()


def row(name: str, p50: float, rate: float, title: str = "", p99: float = 9.0) -> Row:
    """Make a row that was measured at 1."""
    return Row(name, title or name, (Cell(1, 10, 0, p50, p50, p99, rate, {}),), versions={"server": "1.0"})


@pytest.mark.parametrize(
    "peer, expected",
    [
        (row("slow", 5.0, 50.0), []),
        (row("quick", 1.0, 50.0), ["p50 at 1: 1.00 beside 2.00"]),
        (row("strong", 5.0, 900.0), ["requests a second at 1: 900 beside 200"]),
        (row("steady", 5.0, 50.0, p99=3.0), ["p99 at 1: 3.00 beside 9.00"]),
    ],
)
def test_losses_are_told(peer: Row, expected: list[str]) -> None:
    """A peer that is ahead of both of our rows in anything is named with both numbers."""
    ours = [row(OURS[0], 2.0, 100.0), row(OURS[1], 3.0, 200.0)]
    assert report.losses(ours, peer, 1) == [f"- {peer.title} is ahead in {each}" for each in expected]


def test_the_report_holds_every_row() -> None:
    """Rows where we lose and peers that could not be measured stand in the report, with the reason."""
    rows = [row("lastgang", 2.0, 100.0), row("quick", 1.0, 300.0), Row("gone", "Gone", why_not="It has no wheel.")]
    text = report.markdown({"plain": Table(rows, {"machine": "two cores"})})
    assert "| quick | 1.00 / 1.00 / 9.00 | 300 | 0 of 10 |" in text
    assert "- not measured: Gone. It has no wheel." in text
    assert "- quick is ahead in p50 at 1: 1.00 beside 2.00" in text
    assert "- machine: two cores" in text
    assert "- quick: server 1.0" in text


def test_tables_are_rectangular() -> None:
    """Every line of a Markdown table has as many cells as its head, whatever was not measured."""
    rows = [row("lastgang", nan, 0.0), Row("few", "few")]
    text = report.markdown({"folded": Table(rows, {})})
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_json_has_null_for_what_is_no_number() -> None:
    """The JSON can be read by anything: NaN is null in it."""
    text = report.as_json({"plain": Table([row("lastgang", nan, 3.0)], {"date": "today"})})
    (found,) = json.loads(text, parse_constant=pytest.fail)["plain"]["rows"]
    assert found["cells"][0]["p50_ms"] is None
    assert found["cells"][0]["per_second"] == 3.0


def test_tables_are_read_again_as_they_were_written() -> None:
    """A table that another run measured stays what it was, what is no number included."""
    rows = [row("lastgang", 2.0, 3.0), row("peer", nan, nan), Row("gone", "Gone", why_not="It has no wheel.")]
    tables = {"plain": Table(rows, {"date": "today"})}
    again = report.of_json(report.as_json(tables))
    assert repr(again) == repr(tables)  # NaN is not itself


def test_a_table_that_is_not_measured_now_stays(tmp_path: Path) -> None:
    """With the facts of the run that measured it; the others are written anew."""
    given = argparse.Namespace(out=tmp_path, picture=tmp_path / "peers.png")
    for at, names in enumerate((["folded", "plain"], ["folded"])):
        table = Table([row("lastgang", 2.0, 100.0 + at)], {"machine": "two cores", "commit": f"number {at}"})
        command._write(given, dict.fromkeys(names, table))
    found = report.of_json((tmp_path / "peers.json").read_text())
    assert {name: table.facts["commit"] for name, table in found.items()} == {"folded": "number 1", "plain": "number 0"}
    text = (tmp_path / "peers.md").read_text()
    assert text.index("number 1") < text.index("number 0")


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    """The picture is made of any rows, also of such without numbers."""
    rows = [row("lastgang", 2.0, 100.0, "**Lastgang**"), row("floor", 1.0, 300.0), row("peer", nan, nan)]
    report.plot({"plain": Table(rows, {}), "folded": Table(rows, {})}, tmp_path / "peers.png", "a machine")
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "value, expected",
    [(0.1234, "0.123"), (12.345, "12.3"), (123.4, "123"), (4242.4, "4242"), (5.0, "5.00"), (999.6, "1000")],
)
def test_numbers_are_written_with_three_digits(value: float, expected: str) -> None:
    """Numbers have three digits and no exponent."""
    assert report.number(value) == expected


def test_names_are_unique_and_ours_are_among_them(tmp_path: Path) -> None:
    """Every peer can be named by `--only`; TensorFlow Serving is one where its binary is given."""
    names = [peer.name for peer in lineup(tmp_path)]
    assert len(set(names)) == len(names)
    assert {*OURS, *FLOORS, "tensorflow-serving"} <= set(names)
    assert "tensorflow-serving" not in {peer.name for peer in lineup()}


@pytest.mark.parametrize("peer", lineup(), ids=lambda peer: peer.name)
def test_what_a_peer_serves_is_there(peer: Peer) -> None:
    """Every file and every `module:name` of a peer's commands stands among the peers' programs."""
    for word in (word for words in peer.commands for word in words):
        if word.endswith(".py"):
            assert (OTHERS / word).is_file()
        elif named := re.fullmatch(r"(\w+):(\w+)", word):
            module, name = named.groups()
            assert re.search(rf"^(class )?{name}\b", (OTHERS / f"{module}.py").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted({peer.environment for peer in lineup() if peer.environment}))
def test_environments_are_pinned(name: str) -> None:
    """Every package of an environment is pinned, and what was asked for is among them."""
    pinned = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    asked = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    assert not [line for line in pinned if not re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; .*)?", line)]
    found = {line.partition("==")[0] for line in pinned}
    assert not [line for line in asked if re.split(r"[\[=]", line)[0] not in found]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--only", "lastgang,nobody"], "there is no nobody"),
        (["--only", "tensorflow-serving"], "its binary is in no package registry"),
        (["--table", "other"], "invalid choice"),
    ],
)
def test_what_is_not_there_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name ends the command before anything is installed or started, and the message says what there is."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_list_names_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` shows every name that `--only` takes, and measures nothing."""
    command.main(["--list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [peer.name for peer in lineup()]
