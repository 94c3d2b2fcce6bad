"""The command for users does what its help says, never takes a password from the command line, exits 0, 1 or 2."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import prepared, url_of

from auth.__main__ import VERBS, main, parse, run
from auth.clients import ClientStore
from auth.database import open_database
from auth.passwords import Passwords
from auth.scopes import SCOPES
from auth.secrets import is_secret
from auth.users import UserStore

PROJECT = Path(__file__).parents[1]
PASSWORD = "correct horse battery"
NOW = datetime(2026, 5, 4, 8, 15, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    quick = Passwords(memory=64, passes=1)
    yield quick
    quick.close()


@pytest.fixture
def users(tmp_path: Path) -> Iterator[UserStore]:
    with prepared(url_of(tmp_path)) as database:
        yield UserStore(database, lambda: NOW)


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(users: UserStore, passwords: Passwords) -> Command:
    """Run the command on the store of the test; returns its exit status and what it wrote."""

    def call(*argv: str, typed: str = PASSWORD) -> tuple[int, str]:
        out = io.StringIO()
        status = run(parse(argv), users, ClientStore(users._database, lambda: NOW), passwords, lambda: typed, out)
        return status, out.getvalue()

    return call


def stored_hash(users: UserStore, name: str) -> str:
    """The hash of a user who must be there."""
    user = users.get(name)
    assert user is not None
    return user.password_hash


def test_add(command: Command, users: UserStore, passwords: Passwords) -> None:
    """A user is added with the password that was typed, which is not shown."""
    status, out = command("add", "Ada")
    assert (status, out.splitlines()[0]) == (0, "User ada was added.")
    assert passwords.verify(PASSWORD, stored_hash(users, "ada")) is None


@pytest.mark.parametrize("verb", ["add", "password"])
def test_generate(command: Command, users: UserStore, passwords: Passwords, verb: str) -> None:
    """A generated password is shown once, is long, and works; another one is made every time."""
    shown = set()
    for name in ("ada", "bob"):
        if verb == "password":
            command("add", name)
        status, out = command(verb, name, "--generate", typed="never asked")
        assert status == 0
        shown.add(password := out.splitlines()[-1].removeprefix("Password, shown only now: "))
        assert len(password) == 24
        assert passwords.verify(password, stored_hash(users, name)) is None
    assert len(shown) == 2


def test_password(command: Command, users: UserStore, passwords: Passwords) -> None:
    """The new password replaces the old one."""
    command("add", "ada")
    assert command("password", "Ada", typed="another horse battery") == (0, "User ada has a new password.\n")
    assert passwords.verify("another horse battery", stored_hash(users, "ada")) is None


def test_list(command: Command) -> None:
    """The list has a line for each user: name, state, time of creation; without users it says what to do."""
    assert command("list") == (0, "There are no users; add one with: python -m auth add NAME\n")
    command("add", "bob")
    command("add", "ada")
    assert command("disable", "Bob") == (0, "User bob is disabled.\n")
    status, out = command("list")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["ada", "enabled", "2026-05-04", "08:15:00", "UTC"],
        ["bob", "disabled", "2026-05-04", "08:15:00", "UTC", *sorted(SCOPES)],
    ]


def test_the_first_user_may_do_everything(command: Command, users: UserStore) -> None:
    """Without anyone who could grant anything the first user gets all scopes, unless others are said."""
    command("add", "ada", "--scope", "forecast")
    command("add", "bob")
    assert [user.scopes for user in users.all()] == [{"forecast"}, frozenset()]


def test_scopes(command: Command, users: UserStore) -> None:
    """Nobody else may do anything by default, and the command says what to type next; scopes come and go."""
    command("add", "first")
    _, out = command("add", "ada")
    assert out.endswith("User ada may do nothing yet; next, type: python -m auth grant ada forecast\n")
    assert command("grant", "Ada", "forecast:gru", "models:read") == (0, "User ada may: forecast:gru models:read\n")
    assert command("grant", "ada", "forecast metrics") == (0, "User ada may: forecast metrics models:read\n")
    assert command("revoke", "ada", "metrics") == (0, "User ada may: forecast models:read\n")
    _, out = command("add", "bob", "--scope", "forecast backtest")
    assert out == "User bob was added.\nUser bob may: backtest forecast\n"
    assert [len(user.scopes) for user in users.all()] == [2, 2, len(SCOPES)]


def test_remove(command: Command, users: UserStore) -> None:
    """A user is forgotten."""
    command("add", "ada")
    assert command("remove", "Ada") == (0, "User ada was removed.\n")
    assert not users.any()


def test_clients(command: Command, users: UserStore) -> None:
    """A machine is added with a secret that is shown once, changed, shut out, let in and forgotten."""
    clients = ClientStore(users._database)
    assert command("client", "list")[1].startswith("There are no clients; add one with: python -m auth client add")
    status, out = command("client", "add", "Meter-Gateway", "--scope", "forecast")
    added, may, shown = out.splitlines()
    assert (status, added) == (0, "Client client:meter-gateway was added.")
    assert may == "Client client:meter-gateway may: forecast"
    secret = shown.removeprefix("Secret, shown only now: ")
    assert is_secret(secret, clients.all()[0].secret_hash)
    _, shown = command("client", "secret", "meter-gateway")
    assert not is_secret(secret, clients.all()[0].secret_hash)
    assert is_secret(shown.strip().removeprefix("Secret, shown only now: "), clients.all()[0].secret_hash)
    assert command("client", "disable", "meter-gateway") == (0, "Client client:meter-gateway is disabled.\n")
    line = ["client:meter-gateway", "disabled", "2026-05-04", "08:15:00", "UTC", "forecast"]
    assert command("client", "list")[1].split() == line
    assert command("client", "enable", "meter-gateway") == (0, "Client client:meter-gateway is enabled.\n")
    _, out = command("client", "scopes", "meter-gateway", "metrics", "models:read")
    assert out == "Client client:meter-gateway may: metrics models:read\n"
    _, out = command("client", "scopes", "meter-gateway")
    assert out.endswith("may do nothing yet; next, type: python -m auth client scopes meter-gateway forecast\n")
    assert command("client", "remove", "client:meter-gateway") == (0, "Client client:meter-gateway was removed.\n")
    assert clients.all() == []


def test_disable_and_enable(command: Command, users: UserStore) -> None:
    """A user is disabled, and enabled again."""
    command("add", "ada")
    command("disable", "ada")
    assert [user.disabled for user in users.all()] == [True]
    assert command("enable", "ada") == (0, "User ada is enabled.\n")
    assert [user.disabled for user in users.all()] == [False]


@pytest.mark.parametrize(
    "argv, typed, words",
    [
        (["add", "ada"], PASSWORD, "User ada exists already"),
        (["add", "no name"], PASSWORD, "'no name' cannot be a user name"),
        (["add", "bob"], "short", "The password has 5 characters"),
        (["add", "bob"], "", "The password is empty"),
        (["add", "bob"], "aaaaaaaaaaaaaaa", "The password repeats very few characters"),
        (["password", "ada"], "short", "The password has 5 characters"),
        (["password", "nobody"], PASSWORD, "No user is called 'nobody'"),
        (["password", "nobody", "--generate"], PASSWORD, "No user is called 'nobody'"),
        (["disable", "nobody"], PASSWORD, "No user is called 'nobody'"),
        (
            ["add", "bob", "--scope", "forecasts"],
            PASSWORD,
            "There is no scope 'forecasts'; there are: forecast,",
        ),
        (["grant", "ada", "forecast:"], PASSWORD, "There is no scope 'forecast:'"),
        (["grant", "nobody", "forecast"], PASSWORD, "No user is called 'nobody'"),
        (["revoke", "ada", "forecast:gru"], PASSWORD, "ada has forecast, which holds for every model"),
        (["remove", "nobody"], PASSWORD, "No user is called 'nobody'"),
        (["client", "remove", "nobody"], PASSWORD, "No client is called 'nobody'"),
        (["client", "scopes", "nobody", "forecast"], PASSWORD, "No client is called 'nobody'"),
        (["client", "add", "a b"], PASSWORD, "'a b' cannot be the name of a client"),
        (["client", "add", "x", "--scope", "all"], PASSWORD, "There is no scope 'all'"),
        (["enable", "no\nname"], PASSWORD, r"No user is called 'no\nname'"),
    ],
    ids=str,
)
def test_refusals(
    command: Command,
    users: UserStore,
    capsys: pytest.CaptureFixture[str],
    *,
    argv: list[str],
    typed: str,
    words: str,
) -> None:
    """A refusal is one line on standard error and status 1, and changes nothing."""
    command("add", "ada")
    before = users.all()
    assert command(*argv, typed=typed) == (1, "")
    error = capsys.readouterr().err
    assert error.startswith(f"error: {words}")
    assert error.count("\n") == 1
    assert users.all() == before


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["rename", "ada"],
        ["add"],
        ["add", "ada", PASSWORD],
        ["add", "ada", "--password", PASSWORD],
        ["list", "x"],
        ["grant", "ada"],
        ["client"],
        ["client", "add"],
    ],
    ids=str,
)
def test_usage_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is not understood, a password on the command line above all, ends with status 2 and how to call."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m auth")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help explains every verb and scope, and gives an example of each verb."""
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(meaning in text for meaning in SCOPES.values())
    for verb, summary in VERBS.items():
        assert summary in text
        assert f"python -m auth {verb}" in text


def process(home: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the real command with a home of its own; the password comes from a pipe."""
    typed = variables.pop("typed", PASSWORD + "\n")
    return subprocess.run(
        [sys.executable, "-m", "auth", *argv],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"LASTGANG_HOME": str(home)} | variables,
    )


def test_real_command(tmp_path: Path) -> None:
    """The command makes the home, open to its owner only, says so, and takes the first line of a pipe as password."""
    home = tmp_path / "new" / "home"
    added = process(home, "add", "Ada", typed=f"{PASSWORD}\r\nsecond line\n")
    note = f"note: {home} is made. Has the service another LASTGANG_HOME? Set it.\n"
    assert (added.returncode, added.stderr) == (0, note)
    assert process(home, "list").stderr == ""
    assert added.stdout.startswith("User ada was added.\nUser ada may: backtest forecast ")
    assert home.stat().st_mode & 0o777 == 0o700
    passwords = Passwords()
    with open_database(url_of(home)) as database:
        assert passwords.verify(PASSWORD, stored_hash(UserStore(database), "ada")) is None
    passwords.close()


@pytest.mark.parametrize("typed", [b"p\xe4ssword in latin-1\n", b"\xff" * 20])
def test_no_text(tmp_path: Path, typed: bytes) -> None:
    """Bytes that are no text are refused as a password, with one line."""
    refused = subprocess.run(
        [sys.executable, "-m", "auth", "add", "ada"],
        input=typed,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"LASTGANG_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"error: The password is not in the encoding")
    assert refused.stderr.count(b"\n") == 1


@pytest.mark.parametrize("signal", [EOFError, KeyboardInterrupt])
def test_given_up(
    users: UserStore, passwords: Passwords, capsys: pytest.CaptureFixture[str], signal: type[BaseException]
) -> None:
    """Ctrl-C and Ctrl-D at the question for the password change nothing and show no traceback."""

    def give_up() -> str:
        raise signal

    assert run(parse(["add", "ada"]), users, ClientStore(users._database), passwords, give_up, io.StringIO()) == 1
    assert capsys.readouterr().err == "\nerror: given up, nothing was changed\n"
    assert not users.any()


@pytest.mark.parametrize(
    "variable, value, words",
    [
        ("LASTGANG_DATABASE_URL", "nosuch://ada:geheim@host/users", "The database of users, nosuch://ada:***@host"),
        ("LASTGANG_PORT", "none", "LASTGANG_PORT"),
        ("LASTGANG_HOME", "/dev/null/home", "Not a directory"),
    ],
)
def test_unusable_settings(tmp_path: Path, variable: str, value: str, words: str) -> None:
    """A setting that cannot be used is one line, not a traceback."""
    refused = process(tmp_path, "list", **{variable: value})
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: ")
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "geheim" not in refused.stderr


@pytest.mark.parametrize(
    "again, status, words",
    [(PASSWORD, 0, "User ada was added."), ("another one", 1, "was not the same the second time")],
)
def test_terminal(tmp_path: Path, again: str, status: int, words: str) -> None:
    """On a terminal the password is asked for twice and not shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(PROJECT)
        os.environ["LASTGANG_HOME"] = str(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "auth", "add", "ada"])
    shown = b""

    def read_until(words: bytes) -> bytes:
        seen = shown
        while words not in seen:
            more = os.read(terminal, 1024)
            assert more, "the command ended early"
            seen += more
        return seen

    for question, answer in ((b"Password", PASSWORD), (b"again: ", again)):
        shown = read_until(question)
        os.write(terminal, answer.encode() + b"\n")
    shown = read_until(words.encode())
    _, ended = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == status
    assert PASSWORD.encode() not in shown


def test_a_database_that_cannot_be_used_is_told_without_what_was_written(
    command: Command, users: UserStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and 1; the library's own words would hold the statement, and the hash in it."""
    with users._database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE users")
    assert command("add", "ada")[0] == 1
    told = capsys.readouterr().err
    assert told == "error: the database cannot be used now (no such table: users); nothing was changed, try again\n"
