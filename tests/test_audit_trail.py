"""The audit log: what is written stays written, in one chain, whoever writes, and whatever ends it."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st

from audit.checking import Anchor, Report, extent_of, verify
from audit.errors import TrailUnwritable, WeakAuditKey
from audit.files import HEAD, listed
from audit.lines import PLAIN, Key, parse
from audit.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = Key.of(bytes(range(32)))
OTHER = Key.of(bytes(range(32, 64)))


def checked(folder: Path, *keys: Key, **options: Any) -> Report:
    """Verify a log as it lies there."""
    return verify(extent_of(folder), keys, **options)


def contents(folder: Path) -> list[dict[str, Any]]:
    """Return every line that is one."""
    raws = (raw for path in listed(folder) for raw in path.read_bytes().splitlines(keepends=True))
    return [dict(line.content) for line in map(parse, raws) if line is not None]


def written(folder: Path, lines: int, **options: Any) -> None:
    """Write a log of that many lines; the first tells of the file."""
    with Trail(folder, **options) as trail:
        for number in range(1, lines):
            trail.record("forecast", subject="ada", status=200, input_bytes=number)


def broken(folder: Path, *keys: Key, **options: Any) -> str:
    """Return what is said of the first broken line."""
    return str(checked(folder, *keys, **options).broken)


def test_a_line_tells_what_happened(tmp_path: Path) -> None:
    """Canonical JSON with number, time in UTC, event, outcome, facts, the hash before it and its own."""
    now = datetime(2026, 11, 24, 8, 15, 0, 250, tzinfo=UTC)
    with Trail(tmp_path, clock=lambda: now) as trail:
        number = trail.record("user.disable", outcome="refused", subject="os:root", target="ada", client=None)
    opened, told = contents(tmp_path)
    assert (opened["event"], opened["chain"], opened["seq"], opened["prev"]) == ("trail.file", "sha256", 1, "0" * 64)
    head = extent_of(tmp_path).head
    assert head is not None
    raw = listed(tmp_path)[0].read_text().splitlines()[1]
    assert raw == (
        '{"event":"user.disable","outcome":"refused","prev":"' + told["prev"] + '","seq":2,"subject":"os:root",'
        '"target":"ada","time":"2026-11-24T08:15:00.000250Z","hash":"' + head.hash + '"}'
    )
    assert number == head.seq == 2


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Folder 0700, files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        written(tmp_path / "audit", 3)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").iterdir()}
    assert (stat.S_IMODE((tmp_path / "audit").stat().st_mode), modes) == (0o700, {0o600})


def test_what_has_no_place_is_refused(tmp_path: Path) -> None:
    """A fact that is not in the list writes nothing; a long one is cut."""
    with Trail(tmp_path) as trail:
        with pytest.raises(ValueError, match="password"):
            trail.record("token", password="nightingale")
        trail.record("token", reason="x" * 10_000)
    assert "nightingale" not in listed(tmp_path)[0].read_text()
    assert contents(tmp_path)[-1]["reason"] == "x" * 200


def test_the_chain_goes_on_in_another_process_and_another_file(tmp_path: Path) -> None:
    """A second trail takes the place of the first; a full file and another day are followed by a new one."""
    day = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
    times = [day + timedelta(seconds=20 * number) for number in range(8)]
    clock = iter(times).__next__
    with Trail(tmp_path, clock=clock) as one, Trail(tmp_path, clock=clock) as two:
        for trail in (one, two, one, two, two, one):
            trail.record("forecast")
    with Trail(tmp_path, clock=clock, max_bytes=1) as small:
        small.record("forecast")
    assert [path.name for path in listed(tmp_path)] == [
        "000000000001-20261124.jsonl",
        "000000000005-20261125.jsonl",
        "000000000009-20261125.jsonl",
    ]
    report = checked(tmp_path)
    assert (report.broken, report.notices, report.lines) == (None, [], 10)


WRITER = """
import sys
from pathlib import Path
from audit.trail import Trail
with Trail(Path(sys.argv[1]), max_bytes=20_000) as trail:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[2])):
        trail.record("forecast", pid=int(sys.argv[3]), input_bytes=number)
"""


def writer(folder: Path, lines: int, number: int) -> subprocess.Popen[bytes]:
    """Start a process that writes when it is told to."""
    command = [sys.executable, "-c", WRITER, str(folder), str(lines), str(number)]
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_many_processes_and_threads_write_one_chain(tmp_path: Path) -> None:
    """Nothing is lost, nothing torn, each writer's lines in its order, over many files."""
    writers = [writer(tmp_path, 300, number) for number in range(4)]
    for process in writers:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    with Trail(tmp_path, max_bytes=20_000) as trail:
        threads = [
            threading.Thread(target=lambda: [trail.record("forecast", pid=9) for _ in range(100)]) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    told = contents(tmp_path)
    for number in range(4):
        assert [line["input_bytes"] for line in told if line.get("pid") == number] == list(range(300))
    assert sum(line.get("pid") == 9 for line in told) == 300
    assert len(listed(tmp_path)) > 5
    report = checked(tmp_path)
    assert (report.broken, report.notices) == (None, [])


def test_a_writer_that_is_killed_leaves_a_whole_chain(tmp_path: Path) -> None:
    """SIGKILL at any moment: the next writer goes on, and no half line is there."""
    for number in range(5):
        process = writer(tmp_path, 1_000_000, number)
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        lines = len(contents(tmp_path)) if number else 0
        while len(contents(tmp_path)) < lines + 5:
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
        written(tmp_path, 2)
    report = checked(tmp_path)
    assert (report.broken, report.notices) == (None, [])


def test_half_a_line_is_closed_off_and_named(tmp_path: Path) -> None:
    """What a power cut left is told by its size and digest; the verification says so and goes on."""
    written(tmp_path, 5)
    path = listed(tmp_path)[0]
    raw = path.read_bytes()
    half = raw.splitlines(keepends=True)[-1][:40]
    path.write_bytes(raw + half)
    assert "line 6: is torn" in broken(tmp_path)
    written(tmp_path, 3)
    told = contents(tmp_path)[5]
    assert (told["event"], told["damaged_bytes"], told["seq"]) == ("trail.recovered", 41, 6)
    report = checked(tmp_path)
    assert report.broken is None
    assert [str(notice) for notice in report.notices] == [
        f"{path.name}, line 6: 41 bytes are no line; line 6 of {told['time']} closed them off"
    ]


@given(rest=st.binary(min_size=1, max_size=300) | st.just(bytes(200_000)))
def test_any_rubbish_at_the_end_is_closed_off(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    """Whatever stands after the last line, the chain goes on behind it."""
    folder = tmp_path_factory.mktemp("audit")
    written(folder, 3)
    with listed(folder)[0].open("ab") as file:
        file.write(rest)
    written(folder, 3)
    report = checked(folder)
    assert (report.broken, len(report.notices)) == (None, 1)


def test_lines_that_the_head_remembers_and_the_file_lost_are_named(tmp_path: Path) -> None:
    """Cut-off lines are noticed at once and for ever; the numbers go on behind them."""
    written(tmp_path, 9)
    path = listed(tmp_path)[0]
    kept = path.read_bytes().splitlines(keepends=True)[:6]
    path.write_bytes(b"".join(kept) + b'{"half')
    assert "line 7: is torn" in broken(tmp_path)
    path.write_bytes(b"".join(kept))
    assert "line 9 is remembered and 6 is the last here" in broken(tmp_path)
    written(tmp_path, 3)
    told = contents(tmp_path)[6]
    assert (told["seq"], told["lost_from"], told["lost_to"]) == (10, 7, 9)
    assert "line 7: lines 7 to 9 were lost" in broken(tmp_path)
    assert checked(tmp_path, start=10).broken is None


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    """Also while a writer has it open: no line goes where nobody can read it."""
    with Trail(tmp_path) as trail:
        trail.record("forecast")
        listed(tmp_path)[0].unlink()
        trail.record("forecast")
    assert [line["event"] for line in contents(tmp_path)] == ["trail.file", "trail.recovered", "forecast"]
    assert "lines 1 to 2 are missing" in broken(tmp_path)


def test_a_folder_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    """Both logs are whole."""
    with Trail(tmp_path / "audit") as trail:
        trail.record("forecast")
        (tmp_path / "audit").rename(tmp_path / "before")
        trail.record("forecast")
    for name in ("audit", "before"):
        assert (checked(tmp_path / name).broken, len(contents(tmp_path / name))) == (None, 2)


def test_a_missing_head_is_told(tmp_path: Path) -> None:
    """Who removes it hides that the end was cut off; that it was missing stays visible."""
    written(tmp_path, 3)
    (tmp_path / HEAD).unlink()
    written(tmp_path, 2)
    assert contents(tmp_path)[3]["head"] == "missing"
    (tmp_path / HEAD).write_bytes(b"?")
    written(tmp_path, 2)
    assert contents(tmp_path)[5]["head"] == "unreadable"
    assert checked(tmp_path).broken is None


def test_a_head_that_is_behind_is_caught_up(tmp_path: Path) -> None:
    """A writer that ended between the line and the head leaves nothing to be told."""
    written(tmp_path, 3)
    head = (tmp_path / HEAD).read_bytes()
    written(tmp_path, 3)
    (tmp_path / HEAD).write_bytes(head)
    written(tmp_path, 3)
    report = checked(tmp_path)
    assert (report.broken, report.notices, report.lines) == (None, [], 7)


def test_a_new_file_without_its_first_line_is_begun_again(tmp_path: Path) -> None:
    """A crash between making a file and its first line."""
    written(tmp_path, 3)
    (tmp_path / "000000000004-29991231.jsonl").touch()
    (tmp_path / HEAD).write_bytes(b"")
    written(tmp_path, 3)
    assert checked(tmp_path).broken is None


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 64 kB that is full but for some hundred bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "lastgang", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_no_loss(full_disk: Path) -> None:
    """Every line of which nobody was told is whole; with room again the chain goes on by itself."""
    filler = full_disk / "filler"
    filler.write_bytes(bytes(40_000))
    done = 0
    with Trail(full_disk / "audit") as trail:
        problem = ""
        while not problem:
            try:
                trail.record("forecast", subject="ada")
                done += 1
            except TrailUnwritable as error:
                problem = error.problem
        assert problem == "No space left on device"
        with pytest.raises(TrailUnwritable, match="make room"):
            trail.record("forecast")
        filler.unlink()
        trail.record("forecast", subject="bob")
    told = contents(full_disk / "audit")
    assert [line.get("subject") for line in told] == [None, *["ada"] * done, "bob"]
    report = checked(full_disk / "audit")
    assert (report.broken, report.notices) == (None, [])


def test_a_limit_within_a_line_leaves_no_half_of_it(tmp_path: Path) -> None:
    """The system takes the first bytes of a line only: they are taken back."""
    written(tmp_path, 3)
    path = listed(tmp_path)[0]
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Trail(tmp_path) as trail:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
            with pytest.raises(TrailUnwritable):
                trail.record("forecast")
            assert path.stat().st_size == size
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        trail.record("forecast")
    report = checked(tmp_path)
    assert (report.broken, report.notices, report.lines) == (None, [], 4)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be; with the file gone the next line is written."""
    blocked = tmp_path / "audit"
    blocked.touch()
    with Trail(blocked) as trail:
        for attempt in (trail.check, lambda: trail.record("forecast")):
            with pytest.raises(TrailUnwritable, match="audit"):
                attempt()
        blocked.unlink()
        trail.check()
        trail.record("forecast")
    assert checked(blocked).broken is None


@pytest.mark.parametrize("sync", ["line", "second", "never"])
def test_every_way_to_the_disk_writes_the_same(tmp_path: Path, sync: Any) -> None:
    """Only the moment differs; `close` may be followed by more lines."""
    with Trail(tmp_path, sync=sync) as trail:
        trail.record("forecast")
        trail.close()
        trail.record("forecast")
    assert checked(tmp_path).lines == 3


def test_a_clock_that_is_ahead_deletes_nothing(tmp_path: Path) -> None:
    """It jumps by ten years for a while: no file goes that would not have gone the next day, and the log is whole."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for days in range(3):
        written(tmp_path, 3, keep_days=4, clock=lambda at=start + timedelta(days=days): at)
    written(tmp_path, 3, keep_days=4, clock=lambda: start + timedelta(days=3_650))
    written(tmp_path, 3, keep_days=4, clock=lambda: start + timedelta(days=3))
    seqs = [line["seq"] for path in listed(tmp_path) for line in map(json.loads, path.read_bytes().splitlines())]
    assert seqs == list(range(1, 15))


def test_old_files_are_deleted_after_a_line_that_says_so(tmp_path: Path) -> None:
    """Nothing is by default; with `keep_days` what is older goes, and the log is whole all the same."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for days in range(10):
        written(tmp_path, 3, clock=lambda at=start + timedelta(days=days): at)
    assert len(listed(tmp_path)) == 10
    written(tmp_path, 3, keep_days=4, clock=lambda: start + timedelta(days=10))
    assert [path.name[13:21] for path in listed(tmp_path)] == [f"202601{day:02d}" for day in range(7, 12)]
    report = checked(tmp_path)
    assert report.broken is None
    assert report.first is not None
    assert report.first.seq == 19
    listed(tmp_path)[0].unlink()
    assert "lines 1 to 21 are missing" in broken(tmp_path)


LINES = 12


def lines_of(folder: Path) -> list[bytes]:
    return listed(folder)[0].read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Key | None], list[bytes]]:
    """Give the lines of a log, with or without a key."""
    made = {}
    for key in (None, KEY):
        folder = tmp_path_factory.mktemp("whole")
        written(folder, LINES, key=key)
        made[key] = lines_of(folder)
    return made.__getitem__


def judged(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], *keys: Key, **options: Any) -> Report:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "000000000001-20261124.jsonl").write_bytes(b"".join(lines))
    return checked(folder, *keys, **options)


LOGS = st.sampled_from([None, KEY])
NUMBERS = st.integers(0, LINES - 1)


@given(key=LOGS, at=NUMBERS, where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, whole: Any, *, key: Key | None, at: int, where: float, change: int
) -> None:
    """Whichever byte of whichever line is another, that line is named."""
    lines = list(whole(key))
    line = bytearray(lines[at])
    line[int(where * len(line))] ^= change
    lines[at] = bytes(line)
    found = judged(tmp_path_factory, lines, *filter(None, [key])).broken
    assert found is not None
    assert found.number == at + 1


@given(key=LOGS, at=NUMBERS, how=st.sampled_from(["drop", "repeat", "swap", "cut"]), where=st.floats(0, 1))
def test_lines_that_are_missing_repeated_or_moved_are_found(
    tmp_path_factory: pytest.TempPathFactory, whole: Any, *, key: Key | None, at: int, how: str, where: float
) -> None:
    """The first line that is not where it should be is named; a missing end is told by who remembers it."""
    lines = list(whole(key))
    last = parse(lines[-1])
    assert last is not None
    first = at + 1
    if how == "drop":
        del lines[at]
    elif how == "repeat":
        lines.insert(at, lines[at])
        first = at + 2
    elif how == "swap":
        at = min(at, LINES - 2)
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
        first = at + 1
    else:
        lines[at:] = [lines[at][: int(where * (len(lines[at]) - 1))]]
        first = at + 1 if lines[at] else 0
    if how == "drop" and at == LINES - 1:
        first = 0
    keys = filter(None, [key])
    found = judged(tmp_path_factory, lines, *keys, remembered=[Anchor(last.seq, last.hash)]).broken
    if b"".join(lines):
        assert found is not None
        assert found.number == first


def test_a_log_that_was_written_anew_is_found(tmp_path: Path) -> None:
    """Without the key nobody makes lines that pass; without any key only who remembers a line can tell."""
    written(tmp_path / "real", 9, key=KEY)
    real = extent_of(tmp_path / "real").head
    assert real is not None
    written(tmp_path / "plain", 9)
    written(tmp_path / "other", 9, key=OTHER)
    assert checked(tmp_path / "real", KEY).broken is None
    assert "no line has a hash with the key" in broken(tmp_path / "plain", KEY)
    assert f"was written with the key {OTHER.id}" in broken(tmp_path / "other", KEY)
    assert f"was written with the key {KEY.id}" in broken(tmp_path / "real")
    assert checked(tmp_path / "plain").broken is None
    assert "line 9: is not the line 9 that is remembered" in broken(tmp_path / "plain", remembered=[real])


def test_a_key_may_come_and_change(tmp_path: Path) -> None:
    """Each key begins a file; who has all of them verifies the whole, and nothing without a key follows a key."""
    for key in (None, KEY, OTHER):
        written(tmp_path, 3, key=key)
    report = checked(tmp_path, OTHER, KEY)
    assert (report.broken, report.keys, len(listed(tmp_path))) == (None, {PLAIN, KEY.id, OTHER.id}, 3)
    written(tmp_path, 2)
    assert "has a hash without a key, after lines with one" in broken(tmp_path, OTHER, KEY)


@pytest.mark.parametrize("secret", [b"short", b"a" * 40, b""])
def test_weak_keys_are_refused(secret: bytes) -> None:
    """At least 32 bytes, plainly random; the words quote none of them."""
    with pytest.raises(WeakAuditKey, match="32 random bytes") as refused:
        Key.of(secret)
    assert "aaaa" not in str(refused.value)


def test_a_key_is_not_shown() -> None:
    """Neither by its representation nor by its id."""
    assert bytes(range(32)).hex() not in repr(KEY)
    assert "_bytes" not in repr(KEY)


SEAL = b',"hash":"' + b"0" * 64 + b'"}\n'
LINK = b'"prev":"' + b"0" * 64 + b'","seq":1,'


@pytest.mark.parametrize(
    "raw",
    [
        b"{}\n",
        b'{"seq":1' + SEAL,
        b'{"a":' + b"[" * 9_000 + SEAL,
        b"\xff" * 80 + b"\n",
        b'{"event":"x",' + LINK + b'"time":"yesterday"' + SEAL,
        b'{"event":"x", ' + LINK + b'"time":"2026-11-24T08:15:00.000250Z"' + SEAL,
        b'{"event":"y","event":"x",' + LINK + b'"time":"2026-11-24T08:15:00.000250Z"' + SEAL,
    ],
)
def test_what_is_no_line(raw: bytes) -> None:
    """Other JSON, deep JSON, no JSON, no time, white space, a key twice."""
    assert parse(raw) is None


def test_any_tool_can_verify_it(tmp_path: Path) -> None:
    """The recipe of docs/audit.md in three lines: strip the hash, hash, compare; the link is the hash before."""
    import hashlib  # noqa: PLC0415

    written(tmp_path, 4)
    before = "0" * 64
    for raw in lines_of(tmp_path):
        said = json.loads(raw)
        body = raw.replace(b',"hash":"%b"' % said["hash"].encode(), b"").rstrip(b"\n")
        assert said["prev"] == before
        assert said["hash"] == hashlib.sha256(body).hexdigest()
        before = said["hash"]
