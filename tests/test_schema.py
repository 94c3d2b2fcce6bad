"""The schema is made and brought up to date once, by whoever comes first; every other one waits, or is refused."""

import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import prepared, url_of

from auth.counters import TABLES as COUNTERS
from auth.database import MIGRATIONS, open_database, schemas
from auth.errors import UnusableDatabase, WrongSchema
from auth.schema import prepare_database
from auth.tables import TABLES
from auth.users import UserStore

# The schema of version 0.1.0, as it was made there.
BEFORE = (
    (
        "CREATE TABLE users (name VARCHAR(64) NOT NULL, password_hash VARCHAR(255) NOT NULL, "
        "disabled BOOLEAN NOT NULL, created_at BIGINT NOT NULL, "
        "password_changed_at BIGINT NOT NULL, PRIMARY KEY (name))"
    ),
    (
        "INSERT INTO users VALUES ('ada', 'hash', false, 1777882500, 1777882500), "
        "('bob', 'hash', true, 1777882500, 1777882501)"
    ),
)
VERSION = "SELECT version_num FROM alembic_version"


def execute(url: str, *statements: str) -> list[Any]:
    """Change a database by itself, and return the rows of the last statement."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.execute(sa.text(statement))
        return [tuple(row) for row in result] if statements and result.returns_rows else []


def test_a_new_database(database_url: str) -> None:
    """A new database gets the newest schema, and no users; to prepare it again changes nothing."""
    for _ in range(2):
        with prepared(database_url) as database:
            assert UserStore(database).all() == []
    assert execute(database_url, VERSION) == [(schemas()[-1],)]


def test_a_database_from_before_is_taken_over(database_url: str) -> None:
    """Users of a version without schemas stay, and may do what they could do, and no more."""
    execute(database_url, *BEFORE)
    with prepared(database_url) as database:
        ada, bob = UserStore(database).all()
    assert ada.scopes == bob.scopes == {"forecast", "backtest", "models:read", "metrics"}
    assert (ada.disabled, bob.disabled) == (False, True)
    assert (bob.password_changed_at - bob.created_at).total_seconds() == 1


def test_each_schema_is_a_file_named_as_it(tmp_path: Path) -> None:
    """The files are one line of steps, each named as its schema, so that a worker knows the newest without Alembic."""
    steps = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    assert [step.revision for step in steps] == list(reversed(schemas()))
    assert [Path(step.path).stem for step in steps] == [step.revision for step in steps]
    assert all(len(name) <= 32 for name in schemas())  # the column that Alembic makes


def test_what_the_steps_make_is_what_the_code_reads(database_url: str) -> None:
    """A database whose steps have all been made has the tables, columns, types and indices that the code declares."""
    with prepared(database_url) as database, database.engine.connect() as connection:
        declared = TABLES if database.engine.dialect.name == "sqlite" else _with_counters()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, declared) == []


def _with_counters() -> sa.MetaData:
    """Return the tables of a server, where the counters lie beside the users."""
    together = sa.MetaData()
    for table in (*TABLES.sorted_tables, *COUNTERS.sorted_tables):
        table.to_metadata(together)
    return together


def test_workers_do_not_import_alembic() -> None:
    """It takes as long to import as many requests take to answer, and only who prepares a database needs it."""
    code = "import sys, auth.users, auth.schema, auth.database; print('alembic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=MIGRATIONS.parents[1], text=True) == "False\n"


@pytest.mark.parametrize("prepare", [False, True])
def test_a_newer_schema_is_refused(database_url: str, prepare: bool) -> None:
    """A database that newer code has changed is not touched; who meets it is told what to do."""
    prepare_database(database_url)
    execute(database_url, "UPDATE alembic_version SET version_num = 'v9999_future'")
    with pytest.raises(WrongSchema, match=r"v9999_future.*run the newer version of Lastgang") as refusal:
        (prepare_database if prepare else open_database)(database_url)
    assert refusal.value.newer
    assert execute(database_url, VERSION) == [("v9999_future",)]


def test_an_older_schema_is_refused_by_workers(database_url: str) -> None:
    """A worker changes no schema: an empty database, and one from before, have to be prepared first."""
    with pytest.raises(WrongSchema, match=r"no schema.*python -m auth list"):
        open_database(database_url)
    execute(database_url, *BEFORE)
    with pytest.raises(WrongSchema) as refusal:
        open_database(database_url)
    assert not refusal.value.newer


def test_a_step_that_fails_leaves_the_database_as_it_was(database_url: str) -> None:
    """All steps are one transaction: after a failure there is nothing half done, and a later try goes well."""
    execute(database_url, *BEFORE, "CREATE TABLE clients (x INTEGER)")
    with pytest.raises(UnusableDatabase, match="clients"):
        prepare_database(database_url)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    assert sorted(sa.inspect(engine).get_table_names()) == ["clients", "users"]
    assert "scopes" not in {column["name"] for column in sa.inspect(engine).get_columns("users")}
    execute(database_url, "DROP TABLE clients")
    prepared(database_url).close()


PROCESS = """
import sys
from auth.database import open_database
from auth.schema import prepare_database
from auth.users import UserStore
import alembic.command
sys.stdin.readline()
prepare_database(sys.argv[1])
with open_database(sys.argv[1]) as database:
    store = UserStore(database)
    store.add(sys.argv[2], "hash")
    print(store.any())
"""


@pytest.mark.parametrize("before", [(), BEFORE], ids=["new", "from before"])
def test_processes_start_together(database_url: str, before: tuple[str, ...]) -> None:
    """Processes that prepare the same database at the same time all succeed, and none loses a user."""
    execute(database_url, *before)
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROCESS, database_url, f"user{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for number in range(4)
    ]
    for process in started:  # they wait for this line, with everything imported
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in started]
    assert answers == ["True\n"] * 4
    with open_database(database_url) as database:
        assert len(UserStore(database).all()) == (6 if before else 4)


@pytest.mark.parametrize(
    "url, problem",
    [
        ("nonsense", "this is no URL"),
        ("", "this is no URL"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:users?mode=memory&uri=true", "must be a file"),
        ("sqlite:////no/such/folder/users.db", "No such file"),
        ("sqlite:////", "directory"),
        ("nosuch://host/users", "nosuch"),
        ("nosuch://ada:geheim@host/users?password=geheim", "nosuch"),
    ],
)
def test_unusable_database(url: str, problem: str) -> None:
    """A database that cannot be shared or opened is refused, with the cause and without its password."""
    for use in (prepare_database, open_database):
        with pytest.raises(UnusableDatabase) as refusal:
            use(url)
        assert problem in refusal.value.problem
        assert "geheim" not in str(refusal.value)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("query", ["", "?connect_timeout=3"])
def test_a_server_that_does_not_answer(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes for a machine that takes connections and says nothing; the URL may say how long."""
    monkeypatch.setattr("auth.database.ANSWERS_WITHIN", 2)  # libpq knows no less
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(UnusableDatabase):
            open_database(f"postgresql+psycopg://someone@127.0.0.1:{silent.getsockname()[1]}/some{query}")
        seconds = time.monotonic() - start
    assert seconds < 30
    assert seconds > 2.9 or not query


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is something else is refused and left as it is."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear Ada, " * 1000)
    for use in (prepare_database, open_database):
        with pytest.raises(UnusableDatabase, match="not a database"):
            use(f"sqlite:///{file}")
    assert file.read_text() == "Dear Ada, " * 1000


def test_name_of_the_table_is_taken(tmp_path: Path) -> None:
    """A database in which the table cannot be made is refused with the database's own words."""
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.executescript("CREATE TABLE t (x); CREATE INDEX users ON t (x);")
    connection.close()
    with pytest.raises(UnusableDatabase, match="already an index named users"):
        prepare_database(f"sqlite:///{tmp_path}/other.db")


def test_a_folder_with_a_percent_sign(tmp_path: Path) -> None:
    """The path of the steps is taken as it is: Alembic's settings would read a percent sign in it."""
    copy = tmp_path / "100% here"
    copy.mkdir()
    (copy / "auth").symlink_to(MIGRATIONS.parent)
    code = f"from auth.schema import prepare_database; prepare_database({url_of(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True)
    assert len(execute(url_of(tmp_path), VERSION)) == 1
