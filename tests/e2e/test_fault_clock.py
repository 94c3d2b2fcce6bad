"""The clock jumps under a running service, by libfaketime: two hours ahead, back, two hours late.

No token is good for longer, no revocation is forgotten, nobody is locked out, and the audit log is one chain.
"""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from e2e.faults import CSV, OK, PREDICT, Faulty, audit, crowd, kind_of, lines, serving
from e2e.running import PASSWORD, PROJECT, Place, free_port

INSTALL = PROJECT / "scripts" / "install-faketime"
HOURS = 2


def test_the_clock_jumps(tmp_path_factory: pytest.TempPathFactory, gru_only: Path) -> None:
    """A token that is over ahead is good again only for as long as the clock is back; log-ins go on at any time."""
    library = faketime()
    place = Place(tmp_path_factory.mktemp("jumping"), gru_only, free_port())
    clock = place.home / "clock"
    set_clock(clock, -HOURS - 1)  # when the user's password is set: what is older than that is never good
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with serving(place, LASTGANG_WORKERS="1", **fake) as running:
        set_clock(clock, 0)
        faulty = Faulty(place, running)
        told: list[tuple[int, str, str]] = []
        with crowd(place, faulty.tokens) as asking:
            for hours in (HOURS, 0, -HOURS, 0):
                set_clock(clock, hours)
                old = asked(place, faulty.tokens.good)
                new = place.log_in("ada", PASSWORD)
                told.append((hours, old, asked(place, new)))
                with place.client(new) as ada:  # forgets what was revoked before, if anything does
                    assert ada.post("/revoke", data={"token": new}).status_code == 200
                assert asked(place, new) != OK
            asking.goes_on()
        assert told == [
            (HOURS, "401 invalid-token", OK),
            (0, OK, OK),
            (-HOURS, "401 invalid-token", OK),
            (0, OK, OK),
        ]
        asking.check("401 invalid-token")
        asking.tell("clock jump", told)
        assert Counter(line["event"] for line in lines(place))["trail.recovered"] == 0
        assert running.stop() == 0
        assert "Traceback" not in running.output, running.output
    verified = audit(place, "verify")
    assert verified.returncode == 0, verified.stdout


def faketime() -> Path:
    """Return the library, installed where that is allowed."""
    installed = subprocess.run([INSTALL], capture_output=True, text=True, timeout=660, check=False)
    if installed.returncode:
        pytest.skip(installed.stderr)
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def set_clock(clock: Path, hours: int) -> None:
    """Let the service's clock differ from this one's by so many hours."""
    partial = clock.with_suffix(".partial")
    partial.write_text(f"{hours:+d}h\n" if hours else "+0\n")
    shutil.move(partial, clock)


def asked(place: Place, token: str) -> str:
    """Ask for a forecast; return what kind of answer came."""
    with place.client(token) as client:
        return kind_of(client.post(PREDICT, **CSV))
