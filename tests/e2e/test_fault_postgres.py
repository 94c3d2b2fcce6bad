"""PostgreSQL is stopped and started again under a running service: refusals in between, and nobody is lost."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.faults import Faulty, check_left, crowd, serving
from e2e.running import Place, free_port
from postgres import NoPostgres, private_server, restart

NO_USERS = "503 users-unavailable"


def test_the_database_server_is_away(tmp_path_factory: pytest.TempPathFactory, gru_only: Path) -> None:
    """While it is away nobody is let in by what was known before; once it is back all goes on."""
    place = Place(tmp_path_factory.mktemp("with-postgres"), gru_only, free_port())
    with ExitStack() as stack:
        try:
            url = stack.enter_context(private_server())
        except NoPostgres as cannot:
            pytest.skip(str(cannot))
        with serving(place, LASTGANG_WORKERS="1", LASTGANG_DATABASE_URL=url) as running:
            faulty = Faulty(place, running)
            with crowd(place, faulty.tokens) as asking:
                start = restart(url, signal.SIGQUIT)
                asking.answers_on(40)
                served = asking.served()
                asking.answers_on(40)
                assert asking.served() == served
                start()
                asking.goes_on()
            asking.check(NO_USERS)
            asking.tell("PostgreSQL stopped and started")
            check_left(faulty, asking)
            assert running.stop() == 0
            assert "Traceback" not in running.output, running.output
