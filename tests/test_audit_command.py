"""`python -m audit` verifies and shows; the other commands leave their lines in what it shows."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import PROJECT

from audit.__main__ import anchor, count, main, moment
from audit.checking import extent_of, verify
from audit.files import listed
from audit.trail import Trail

SECRET = "5c" * 16 + "0123456789abcdef"
PASSWORD = "a canary that sings at night"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the commands a home of their own."""
    monkeypatch.setenv("LASTGANG_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project as people do."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=os.environ | settings,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def lines(home: Path) -> list[dict[str, object]]:
    """Return the lines of the log that tell of deeds; its chain has to be whole."""
    assert verify(extent_of(home / "audit")).broken is None
    told = [json.loads(line) for path in listed(home / "audit") for line in path.read_text().splitlines()]
    return [line for line in told if line["event"] != "trail.file"]


def some(told: Sequence[dict[str, object]], *names: str) -> list[tuple[object, ...]]:
    return [tuple(line.get(name) for name in names) for line in told]


@pytest.fixture
def log(home: Path) -> Path:
    """Give a log of three days."""
    with Trail(home / "audit", max_bytes=1) as trail:
        for subject in ("ada", "bob", "ada"):
            trail.record("forecast", subject=subject, status=200, model="gru", version="3f2a", input_bytes=7)
    return home / "audit"


def test_verify_says_that_all_is_whole(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many lines, from when to when, and the head, which `head` prints to be kept."""
    assert main(["head"]) == 0
    head = capsys.readouterr().out.strip()
    assert main(["verify", "--head", head]) == 0
    told = capsys.readouterr().out
    assert told.startswith("whole: 6 lines, 1 to 6, ")
    assert told.strip().endswith(f"without a key; head {head}")
    assert main(["verify", *map(str, listed(log)[1:])]) == 0
    told = capsys.readouterr().out
    assert told.startswith("whole: 4 lines, 3 to 6, ")
    assert "note: nothing remembers the end" in told


def test_verify_names_the_first_broken_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its file, and status 1; from a later line on the rest is whole."""
    path = listed(log)[1]
    path.write_bytes(path.read_bytes().replace(b'"bob"', b'"ada"'))
    assert main(["verify"]) == 1
    told = capsys.readouterr().out
    assert told == f"broken: {path.name}, line 2: its hash is not that of its content: it was changed\n"
    assert main(["verify", "--start", "5"]) == 0


def test_verify_with_keys(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The key of the setting, and earlier ones from files; without them nothing can be said."""
    for secret in (SECRET, SECRET[::-1]):
        added = run("-m", "auth", "disable", "ada", LASTGANG_AUDIT_KEY=secret)
        assert added.returncode == 1
    (home / "old").write_text(SECRET + "\n")
    monkeypatch.setenv("LASTGANG_AUDIT_KEY", SECRET[::-1])
    assert main(["verify"]) == 1
    assert "which was not given" in capsys.readouterr().out
    assert main(["verify", "--key-file", str(home / "old")]) == 0
    monkeypatch.delenv("LASTGANG_AUDIT_KEY")
    assert main(["verify"]) == 1
    assert SECRET not in "".join(path.read_text() for path in listed(home / "audit"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["verify"], "audit cannot be read: No such file or directory"),
        (["head"], "audit cannot be read: No such file or directory"),
        (["show", "nowhere"], "nowhere cannot be read"),
        (["verify", "nowhere"], "nowhere cannot be read"),
        (["verify", "--key-file", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_cannot_be_read(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, and 1."""
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_show_is_a_table_for_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When, number, event, outcome, who, where, and the rest; filtered, and only the last."""
    assert main(["show", "--subject", "ada", "--since", "1h", "--event", "forecast"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2
    assert rows[0].split()[2:] == ["2", "forecast", "ok", "200", "ada", "-", "gru:3f2a", "input_bytes=7"]
    assert main(["show", "--last", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 6
    assert main(["show", "--until", "2020-01-01"]) == 0
    assert capsys.readouterr() == ("", "no such line\n")


def test_moments_and_anchors() -> None:
    """A span ago, a date, a time with and without an offset; nonsense is refused."""
    assert moment("2026-11-24") == "2026-11-24T00:00:00.000000Z"
    assert moment("2026-11-24T08:00+01:00") == "2026-11-24T07:00:00.000000Z"
    assert moment("1h") > moment("2h") > moment("3d")
    assert anchor("12:" + "0" * 64).seq == 12
    long_ago = (moment, "999999d"), (moment, r"0001-01-01T00:00\+14:00")
    for refused, text in (*long_ago, (moment, "yesterday"), (anchor, "12"), (anchor, "12:xyz"), (count, "-1")):
        with pytest.raises(ValueError, match=text):
            refused(text.replace("\\", ""))


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb with an example, and what each exit status means; without settings."""
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(f"python -m audit {verb}" in told for verb in ("verify", "show", "head"))
    assert "exit status: 0 whole, 1 broken" in told


def test_changes_of_users_are_recorded(home: Path) -> None:
    """Before and after, by whom in the operating system, with what became of it; never a password."""
    assert run("-m", "auth", "add", "Ada", typed=f"{PASSWORD}\n").returncode == 0
    assert run("-m", "auth", "grant", "ada", "forecast:gru").returncode == 0
    assert run("-m", "auth", "disable", "ada").returncode == 0
    assert run("-m", "auth", "enable", "nobody").returncode == 1
    assert run("-m", "auth", "password", PASSWORD, typed="x\n").returncode == 1
    assert run("-m", "auth", "list").returncode == 0
    told = lines(home)
    assert some(told, "event", "outcome", "target", "command") == [
        ("user.add", "begun", "ada", "python -m auth add"),
        ("user.add", "ok", "ada", "python -m auth add"),
        ("user.grant", "begun", "ada", "python -m auth grant"),
        ("user.grant", "ok", "ada", "python -m auth grant"),
        ("user.disable", "begun", "ada", "python -m auth disable"),
        ("user.disable", "ok", "ada", "python -m auth disable"),
        ("user.enable", "begun", "nobody", "python -m auth enable"),
        ("user.enable", "refused", "nobody", "python -m auth enable"),
        ("user.password", "begun", None, "python -m auth password"),
        ("user.password", "refused", None, "python -m auth password"),
    ]
    assert all(str(line["subject"]).startswith("os:") for line in told)
    assert len({line["request"] for line in told}) == 5
    assert told[3]["scopes"] == "forecast:gru"
    assert PASSWORD not in json.dumps(told)


def test_a_new_signing_key_is_recorded(home: Path) -> None:
    """That there is one; nothing of it."""
    assert run("-m", "auth", "key", "rotate").returncode == 0
    assert some(lines(home), "event", "outcome") == [("key.rotate", "begun"), ("key.rotate", "ok")]


def test_changes_of_models_are_recorded(home: Path) -> None:
    """Imports, labels, rollbacks, deletions, refused ones too; an import that changes nothing leaves no line."""
    store = {"BENTOML_HOME": str(home / "bentoml"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    shipped = str(PROJECT / "models" / "pretrained" / "gru")
    for _ in range(2):
        assert run("import_models.py", shipped, **store).returncode == 0
    assert run("import_models.py", str(home), **store).returncode == 1
    for line, status in (("label gru stable canary", 0), ("rollback gru", 1), ("delete gru stable", 1), ("list", 0)):
        assert run("-m", "models", *line.split(), **store).returncode == status, line
    told = lines(home)
    version = told[0]["version"]
    assert some(told, "event", "outcome", "model", "label", "reason") == [
        ("model.import", "ok", "gru", "stable", None),
        ("model.import", "refused", None, None, "RefusedWeights"),
        ("model.label", "begun", "gru", "canary", None),
        ("model.label", "ok", "gru", "canary", f"gru:{version} is canary."),
        ("model.rollback", "begun", "gru", None, None),
        ("model.rollback", "refused", "gru", None, "NoFormerVersion"),
        ("model.delete", "begun", "gru", None, None),
        ("model.delete", "refused", "gru", None, "VersionInUse"),
    ]


COMMANDS = [["-m", "auth", "add", "ada", "--generate"], ["import_models.py"], ["-m", "models", "delete", "gru", "1"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_recorded_is_not_done(home: Path, command: list[str]) -> None:
    """One line says why, and there is neither a user nor a model; with the log switched off it is done."""
    (home / "audit").touch()
    done = run(*command, BENTOML_HOME=str(home / "bentoml"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "The audit log in" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("-m", "auth", "list").stdout.startswith("There are no users")
    assert not list((home / "bentoml").rglob("card.json"))
    if command[0] == "-m" and command[1] == "auth":
        assert run(*command, LASTGANG_AUDIT="false").returncode == 0


def test_a_first_start_is_recorded(home: Path) -> None:
    """Keys and user that were made; a second start makes none."""
    code = "from config import load_settings; from first_start import prepare, tell_start;"
    code += "prepare(load_settings()); tell_start(load_settings())"
    for _ in range(2):
        done = run("-c", code, LASTGANG_FIRST_USER="Ada", LASTGANG_FIRST_PASSWORD=PASSWORD)
        assert done.returncode == 0, done.stderr
    made = [("key.make", "signing.key"), ("key.make", "tls.key"), ("user.add", "ada")]
    expected = [(event, outcome, target) for event, target in made for outcome in ("begun", "ok")]
    started = ("service.start", "ok", None)
    assert some(lines(home), "event", "outcome", "target") == [*expected, started, started]
    log = listed(home / "audit")[0].read_text()
    assert PASSWORD not in log
    assert (home / "signing.key").read_text().strip() not in log


def test_a_weak_key_stops_what_would_use_it(home: Path) -> None:
    """With a sentence that names the setting and not the secret."""
    done = run("-m", "auth", "disable", "ada", LASTGANG_AUDIT_KEY="nightingale")
    assert done.returncode == 1
    assert "LASTGANG_AUDIT_KEY: The audit key has 11 bytes" in done.stderr
    assert "nightingale" not in done.stderr
