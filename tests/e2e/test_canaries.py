"""Canaries: secrets and data that are easy to recognise, sent on every way into a service; they must come out nowhere.

Looked at are all that the service printed, the audit log, the metrics, and every answer that was no data; the commands
too. What an answer to a refused file quotes of it, to its own sender, is no secret.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from e2e.running import LAUNCH, PROJECT, READY, Place, Running, free_port

from audit.checking import extent_of, verify
from audit.files import listed
from audit.lines import Key

PASSWORD = "nachtigall-password-7731"
WRONG = "nachtigall-wrong-7732"
NAME = "nachtigall-name-7733"  # a password in the wrong field
SIGNING = "a7734c0ffee1d2b3" * 2 + "nachtigall-signing-key-7734-0123456789"
AUDIT = "b7735c0ffee1d2b3" * 2 + "nachtigall-audit-key-7735-0123456789"
SENT = ("nachtigall-path-7736", "nachtigall-query-7737", "nachtigall-header-7738", "nachtigall-bearer-7739")
POWER, CELL, SITE = "7740.77407", "nachtigall-cell-7741", "nachtigall-site-7742"
DATABASE = "nachtigall-database-7743"


@dataclass
class Session:
    """One service in which every canary has been."""

    place: Place
    token: str = ""
    output: str = ""
    metrics: str = ""
    answers: list[str] = field(default_factory=list)

    def secrets(self) -> dict[str, list[str]]:
        """Return what nobody may see, by what it is."""
        key = (self.place.home / "tls.key").read_text().splitlines()[1:-1]
        _, payload, signature = self.token.split(".")
        return {
            "password": [PASSWORD, WRONG, NAME],
            "key": [SIGNING, AUDIT],
            "TLS key": key,
            "token": [self.token, payload, signature],
            "sent": list(SENT),
        }


def week(power: str) -> bytes:
    """Return the sample week with another last power."""
    lines = (PROJECT / "samples" / "week.csv").read_text().splitlines()
    separator = ";" if ";" in lines[0] else ","
    lines[-1] = f"{lines[-1].rsplit(separator, 1)[0]}{separator}{power}"
    return "\n".join(lines).encode()


def sing(session: Session, client: httpx.Client) -> None:
    """Send every canary where it belongs, and where it does not."""
    path, query, header, bearer = SENT

    def ask(method: str, where: str, **options: object) -> httpx.Response:
        answer = client.request(method, where, **options)  # type: ignore[arg-type]  # what httpx takes
        session.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    for username, password in (("ada", WRONG), (NAME, WRONG), (NAME, PASSWORD)):
        assert ask("POST", "/token", data={"username": username, "password": password}).status_code == 401
    ask("POST", f"/token?password={query}", content=WRONG.encode())
    ask("GET", f"/{path}?token={query}", headers={"X-Canary": header, "Cookie": header, "User-Agent": header})
    ask("GET", "/users/me", headers={"Authorization": f"Bearer {bearer}"})
    ask("GET", "/users/me", headers={"Authorization": f"Basic {bearer}"})
    ask("GET", "/users/me", headers={"Authorization": f"Bearer {session.token[:-4]}AAAA"})
    closed = {"Authorization": f"Bearer {session.token}"}
    ask("GET", "/users/me", headers=closed)
    ask("POST", f"/forecast/{path}", headers=closed, files={"file": week(POWER)})
    ask("PURGE", f"/models/{path}", headers=closed)
    for where in ("predict", "forecast"):
        done = ask("POST", f"/{where}/gru", headers=closed, files={"file": (header, week(POWER))})
        assert done.status_code == 200
    refused = client.post("/predict/gru", headers=closed, files={"file": week(CELL)})
    assert (refused.status_code, CELL in refused.text) == (422, True)
    named = week(POWER).splitlines()
    table = b"\n".join([b"site," + named[0], *(f"{SITE},".encode() + line for line in named[1:])])
    client.post("/forecast/gru", headers=closed, files={"file": table})
    session.metrics = client.get("/metrics", headers=closed).raise_for_status().text


@pytest.fixture(scope="module")
def session(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Give a session that is over: the service told everything that it had to tell, with its access log switched on."""
    place = Place(tmp_path_factory.mktemp("canaries"), store, free_port())
    settings = {
        "LASTGANG_FIRST_USER": "ada",
        "LASTGANG_FIRST_PASSWORD": PASSWORD,
        "LASTGANG_SIGNING_KEY": SIGNING,
        "LASTGANG_AUDIT_KEY": AUDIT,
        "LASTGANG_ACCESS_LOG": "true",
        "LASTGANG_WORKERS": "1",
    }
    session = Session(place)
    with Running(LAUNCH, place.environment(**settings)) as server:
        server.wait_for(READY)
        session.token = place.log_in("ada", PASSWORD)
        with place.client() as client:
            sing(session, client)
            # A user store that fails: what the library says of it would quote what was asked for.
            for name in ("users.db", "users.db-wal", "users.db-shm"):
                (place.home / name).unlink(missing_ok=True)
            (place.home / "users.db").write_bytes(os.urandom(50_000))
            answer = client.post("/token", data={"username": NAME, "password": PASSWORD})
            session.answers.append(f"{answer.status_code} {answer.text}")
        server.stop()
        session.output = server.output
    return session


def test_the_canaries_have_sung(session: Session) -> None:
    """The session was one in which there is something to find."""
    assert "lastgang.access" in session.output
    assert "invalid-credentials" in session.output
    assert session.metrics
    assert len(session.answers) > 12
    assert len(session.secrets()["TLS key"]) >= 3
    report = verify(extent_of(session.place.home / "audit"), [Key.of(AUDIT.encode())])
    assert report.broken is None
    assert report.lines > 15


@pytest.mark.parametrize("where", ["output", "audit", "metrics", "answers"])
def test_no_secret_comes_out(session: Session, where: str) -> None:
    """Neither in the log, nor in the audit log, the metrics or an answer."""
    told = {
        "output": session.output,
        "audit": "".join(path.read_text() for path in listed(session.place.home / "audit")),
        "metrics": session.metrics,
        "answers": "\n".join(session.answers),
    }[where]
    assert told
    found = {what: [one for one in canaries if one in told] for what, canaries in session.secrets().items()}
    if where == "answers":
        found["sent"] = [
            one for one in found["sent"] if one != SENT[0]
        ]  # an answer may name the model that was asked for
    assert not {what: canaries for what, canaries in found.items() if canaries}


@pytest.mark.parametrize("where", ["output", "audit", "metrics"])
def test_no_data_comes_out(session: Session, where: str) -> None:
    """Neither a power, nor a cell that was refused, nor the name of a site."""
    told = {
        "output": session.output,
        "audit": "".join(path.read_text() for path in listed(session.place.home / "audit")),
        "metrics": session.metrics,
    }[where]
    assert not [canary for canary in (POWER, CELL, SITE, "7740.77", "7740,77") if canary in told]


def test_a_token_is_known_by_its_id_alone(session: Session) -> None:
    """The audit log tells which token was used, by 32 digits that open nothing."""
    log = "".join(path.read_text() for path in listed(session.place.home / "audit"))
    assert re.search(r'"token":"[0-9a-f]{32}"', log)


def test_the_password_of_a_database_comes_out_of_no_command(tmp_path: Path, store: Path) -> None:
    """A database that does not answer is named without it, by the commands and by a start."""
    place = Place(tmp_path, store, free_port())
    url = f"postgresql+psycopg://lastgang:{DATABASE}@127.0.0.1:{free_port()}/lastgang"
    environment = place.environment(LASTGANG_DATABASE_URL=url)
    for command in ([sys.executable, "-m", "auth", "list"], [sys.executable, "-m", "auth", "disable", "ada"], LAUNCH):
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 1
        assert "127.0.0.1" in done.stderr
        assert DATABASE not in done.stdout + done.stderr
    assert DATABASE not in "".join(path.read_text() for path in listed(place.home / "audit"))
