"""Hostile tokens, sent through all that a worker puts before its routes: each is refused alike, and leaves no trace."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from issuing import Issuer, installation, issuer, signed
from key_material import private_pem, public_pem

from auth.clients import ClientStore
from auth.database import Database, open_database
from auth.errors import InvalidGrant
from auth.keys import signing_key, verifying_keys
from auth.refresh import Access, RefreshTokens, Revocations
from auth.tokens import Tokens
from auth.users import UserStore
from benchmarks.forgeries import foreign_forgeries, forgeries
from config import PROJECT, load_settings
from first_start import prepare

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdeffedcba9876543210"
HOUR = timedelta(hours=1)
NO_TOKEN = {
    "nothing": [],
    "an empty header": [""],
    "another scheme": ["Basic YWRhOmFkYQ=="],
    "a misspelt scheme": ["Bearers x.y.z"],
    "a tab behind the scheme": ["Bearer\tx.y.z"],
}


@dataclass(frozen=True)
class Attack:
    """What was sent, by its name, what was answered to each, and all that the service wrote meanwhile."""

    sent: dict[str, list[str]]
    answers: dict[str, dict[str, Any]]
    written: str


def issued(name: str, at: datetime, *keys: Any, client: str = "anyone") -> str:
    """Return a token of the service's own, or of these keys."""
    tokens = Tokens(keys or [SECRET.encode()], "lastgang", "lastgang", HOUR)
    return tokens.issue(name, at, client=client, scopes={"forecast"})


def of_users(database: Database, now: datetime) -> dict[str, str]:
    """Return tokens that were good once: what has happened to their users or keys since is their name."""
    users, token = UserStore(database), partial(issued, at=now)
    for name in ("berta", "carl", "emil"):
        users.add(name, "hash", {"forecast"})
    users.set_disabled("berta", disabled=True)
    users.set_password_hash("carl", "another")
    users.remove("emil")
    return {
        "of a disabled user": token("berta"),
        "older than the password": issued("carl", now - timedelta(minutes=1)),
        "of a deleted user": token("emil"),
        "of a user who was never there": token("dora"),
        "expired": issued("ada", now - HOUR),
        "of a key that was taken out": issued("ada", now, SECRET[::-1].encode()),
        "of an RSA key that was taken out": issued("ada", now, signing_key(private_pem("RSA 3072", "old"), "RS256")),
        "of another installation": Tokens([SECRET.encode()], "other", "other", HOUR).issue(
            "ada", now, client="anyone", scopes={"forecast"}
        ),
    }


def of_clients(database: Database, now: datetime) -> dict[str, str]:
    """Return tokens of clients to whom something happened, tokens that were taken back, and secrets of other kinds."""
    clients, token = ClientStore(database), partial(issued, at=now)
    secrets = {name: clients.add(name, {"forecast"})[1] for name in ("off", "renewed", "removed", "good")}
    clients.set_disabled("off", disabled=True)
    clients.renew_secret("renewed")
    clients.remove("removed")
    tokens, refresh = Tokens([SECRET.encode()], "lastgang", "lastgang", HOUR), RefreshTokens(database, HOUR, HOUR)
    revoked, stolen = token("ada"), token("ada")
    said, theirs = (tokens.verify(one, now) for one in (revoked, stolen))
    Revocations(database).add(said.id, said.expires_at, now)
    first = refresh.begin("ada", "anyone", {"forecast"}, Access(theirs.id, theirs.expires_at), now)
    second = refresh.exchange(first, "anyone", Access("0" * 32, now + HOUR), now)
    with pytest.raises(InvalidGrant):
        refresh.exchange(first, "anyone", Access("1" * 32, now + HOUR), now)  # a second time: the family ends
    whole = refresh.begin("ada", "anyone", {"forecast"}, Access("2" * 32, now + HOUR), now)
    return {
        "revoked": revoked,
        "of a log-in that was stolen": stolen,
        "a refresh token": whole,
        "a refresh token of a log-in that was stolen": second,
        "a client's secret": secrets["good"],
        "of a disabled client": token("client:off", client="client:off"),
        "of a removed client": token("client:removed", client="client:removed"),
        "of a client with another secret": issued("client:renewed", now - HOUR / 2, client="client:renewed"),
        "of a client that was never there": token("client:nobody", client="client:nobody"),
        "of a user through a disabled client": token("ada", client="client:off"),
        "of a client as if it were a user": token("client:good"),
        "of one client through another": token("client:good", client="client:renewed"),
    }


def of_another_issuer(there: Issuer, now: int) -> dict[str, str]:
    """Return hostile tokens that say they are of the issuer whom the service trusts."""
    said = {"iss": there.url, "aud": "lastgang", "sub": "ada", "iat": now, "exp": now + 300, "scope": "forecaster"}
    return {
        "none": signed(said, alg="none"),
        "HS256": signed(said, alg="HS256"),
        "RS256 with the id of ES256": signed(said, alg="RS256"),
        "of another key": signed(said, which="another", kid=verifying_keys(public_pem("P-256"))[0].kid),
        "of an unknown key": signed(said, which="another"),
        "kid path": signed(said, kid="../../keys"),
        "typ JWT": signed(said, typ="JWT"),
        "jku": signed(said, jku=f"{there.url}/keys"),
        "crit": signed(said, crit=["x"]),
        "another audience": signed(said | {"aud": "another"}),
        "no audience": signed({name: value for name, value in said.items() if name != "aud"}),
        "expired": signed(said | {"iat": now - 600, "exp": now - 300}),
        "issued in the future": signed(said | {"iat": now + 600, "exp": now + 900}),
        "not before": signed(said | {"nbf": now + 600}),
        "for a month": signed(said | {"exp": now + 2_592_000}),
        "sub list": signed(said | {"sub": ["ada"]}),
        "deep": signed(said | {"x": json.loads("[" * 900 + "]" * 900)}),
        "huge": signed(said | {"x": "a" * 20_000}),
        "ours, of its key": signed(said | {"iss": "lastgang"}),
        "of a third issuer": signed(said | {"iss": "https://evil.test"}),
    }


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Attack:
    """Attack a service with everything; its keys are of all three algorithms, and it trusts another issuer."""
    home = tmp_path_factory.mktemp("home")
    with issuer() as other:
        given = {
            "LASTGANG_HOME": str(home),
            "LASTGANG_SIGNING_KEY": SECRET,
            "LASTGANG_VERIFYING_KEYS": public_pem("P-256") + public_pem("RSA 3072"),
            "LASTGANG_FIRST_USER": "ada",
            "LASTGANG_FIRST_PASSWORD": "Sieben-Tage-zwei-Stunden-04",
            "LASTGANG_ACCESS_LOG": "true",
            "LASTGANG_TRUSTED_ISSUER": other.url,
            "LASTGANG_TRUSTED_AUDIENCE": "lastgang",
            "LASTGANG_TRUSTED_GRANTS": '{"forecaster": "forecast"}',
        }
        settings = load_settings(given)
        prepare(settings)
        now = datetime.now(UTC)  # not before the first user was made, whose tokens would be older than the password
        second = int(now.timestamp())
        there = installation(SECRET.encode(), second)
        with open_database(settings.user_database) as database:
            tokens = forgeries(there) | of_users(database, now) | of_clients(database, now)
            client = issued("client:good", ClientStore(database).all()[0].created_at, client="client:good")
        foreign = of_another_issuer(other, second)
        foreign |= foreign_forgeries(replace(there, claims=there.claims | {"iss": other.url}))
        tokens |= {f"another issuer: {name}": token for name, token in foreign.items()}
        theirs = {"iss": other.url, "aud": "lastgang", "sub": "ada", "iat": second, "exp": second + 300}
        good = there.good() | {"of the other issuer": signed(theirs), "of a client": client}
        sent = {name: [f"Bearer {token}"] for name, token in tokens.items()} | NO_TOKEN
        sent["two headers, both good"] = [f"Bearer {good['HS256']}"] * 2
        sent |= {f"good: {name}": [f"Bearer {token}"] for name, token in good.items()}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("send_tokens.py"))],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2", "BENTOML_DO_NOT_TRACK": "True", **given},
            input=json.dumps(list(sent.values())),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    printed, _, answers = done.stdout.rpartition("\n")
    files = "".join(file.read_text(errors="replace") for file in home.rglob("*") if file.suffix in {".log", ".jsonl"})
    return Attack(sent, dict(zip(sent, json.loads(answers), strict=True)), printed + done.stderr + files)


def test_there_are_many(attack: Attack) -> None:
    """What was good stays good, so that each of the others is refused for what is wrong with it."""
    good = {name: answer["status"] for name, answer in attack.answers.items() if name.startswith("good: ")}
    assert good == dict.fromkeys(good, 200)
    assert len(good) == 6
    assert len(attack.answers) > 400


def test_each_is_refused_alike(attack: Attack) -> None:
    """A 401 in the same words and with the same challenge, whatever was wrong; plain where there was no token."""
    wrong = {}
    for name, answer in attack.answers.items():
        if name.startswith("good: "):
            continue
        none = name in NO_TOKEN
        challenge = "Bearer" if none else 'Bearer error="invalid_token"'
        detail = "Not authenticated" if none else "Could not validate credentials"
        got = (answer["status"], answer["headers"].get("www-authenticate"), json.loads(answer["body"])["detail"])
        if got != (401, challenge, detail):
            wrong[name] = got
    assert not wrong


def test_no_answer_tells_them_apart(attack: Attack) -> None:
    """But for the request's id, every refusal of a token is the same text."""
    bodies = {
        re.sub(r'"instance": "[^"]*"', "", answer["body"])
        for name, answer in attack.answers.items()
        if name not in NO_TOKEN and not name.startswith("good: ")
    }
    assert len(bodies) == 1


def test_they_leave_no_trace(attack: Attack) -> None:
    """No log and no answer holds a piece of a token, neither of good nor of bad ones."""
    everything = attack.written + "".join(json.dumps(answer) for answer in attack.answers.values())
    pieces = {
        piece
        for values in attack.sent.values()
        for value in values
        for piece in re.findall(r"[A-Za-z0-9_+/-]{12,}", value[:20_000])
    }
    found = {piece for piece in pieces if piece in everything}
    assert not found
    assert "Traceback" not in attack.written
