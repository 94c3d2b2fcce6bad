"""What all peers share: certificate, secret, token, the request, the model files; and what the right answer is.

In: a work folder. Out: a `Ground` for each table of models. The service's own home folder and model store are made
here, too, so that its starts are warm as those of the peers are.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auth.tokens import Tokens
from models.card import CARD, ModelCard, read_card
from models.weights import complete_card, locate

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("folded", "plain")
SEED = 1
USER = "admin"
PASSWORD = "benchmark only, never served"  # noqa: S105
BOUNDARY = "lastgang-benchmark"
LIFETIME = timedelta(hours=24)
PREPARE = "from config import load_settings; from first_start import prepare; prepare(load_settings())"


@dataclass(frozen=True)
class Ground:
    """One table's ground.

    Attributes:
        model: folder with card.json and saved_model/.
        home: of the service, with the certificate that all peers serve with.
        secret: that signs the token, for all.
        message: the whole request, as sent.
    """

    table: str
    model: Path
    home: Path
    secret: str
    message: bytes

    def variables(self) -> dict[str, str]:
        """Return the environment that the service runs in."""
        return {
            "LASTGANG_HOME": str(self.home),
            "LASTGANG_SIGNING_KEY": self.secret,
            "LASTGANG_FIRST_USER": USER,
            "LASTGANG_FIRST_PASSWORD": PASSWORD,
            "LASTGANG_TOKEN_MINUTES": str(int(LIFETIME / timedelta(minutes=1))),
            "BENTOML_HOME": str(self.home / "bentoml"),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }

    @property
    def certificate(self) -> Path:
        """The certificate, which is its own authority."""
        return self.home / "tls.crt"

    @property
    def private_key(self) -> Path:
        """Its key."""
        return self.home / "tls.key"

    def context(self) -> ssl.SSLContext:
        """Return what clients verify the certificate with."""
        return ssl.create_default_context(cafile=str(self.certificate))


def prepare(table: str, work: Path) -> Ground:
    """Make the ground of a table, from nothing each time."""
    home = work / "homes" / table
    shutil.rmtree(home, ignore_errors=True)
    model = ROOT / "models" / "pretrained" / "gru" if table == "folded" else plain(work / "models" / "plain")
    ground = Ground(table, model, home, secrets.token_hex(32), b"")
    environment = os.environ | ground.variables()
    own = [] if table == "folded" else [["import_models.py", str(model)]]
    for command in (*own, ["import_models.py"], ["-c", PREPARE]):
        subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    tokens = Tokens([ground.secret.encode()], "lastgang", "lastgang", LIFETIME)
    soon = datetime.now(UTC) + timedelta(seconds=2)  # later than the user's password was set
    token = tokens.issue(USER, soon, client="benchmark", scopes=("forecast",))
    message = request(token, (ROOT / "samples" / "week.csv").read_bytes())
    return Ground(table, model, home, ground.secret, message)


def request(token: str, csv: bytes, route: str = "/predict/gru") -> bytes:
    """Return the bytes of a request."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="week.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    ).encode()
    body += csv + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {route} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def plain(folder: Path) -> Path:
    """Export the thesis's kind of model, once: a GRU over all 672 quarter-hours; random weights, fixed seed."""
    if (folder / CARD).exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shipped = read_card(ROOT / "models" / "pretrained" / "gru" / CARD)
    _export(folder / "saved_model", shipped)
    draft = shipped.model_dump(mode="json", by_alias=True, exclude_none=True) | {
        "description": "Plain GRU(64) over 672 quarter-hours with random weights: for benchmarks only",
        "columns": [{"name": name, **_scale(name)} for name in shipped.column_names],
        "target": {"name": "power", "unit": "kW", **_scale("power")},
        "files": {},
    }
    (folder / CARD).write_text(json.dumps(draft), encoding="utf-8")
    complete_card(locate(folder))
    return folder


def _scale(name: str) -> dict[str, float]:
    """Return some mean and deviation: those of the shop's power in kW, and of a wave."""
    return {"mean": 51.0, "std": 22.0} if name == "power" else {"mean": 0.0, "std": 0.7}


def _export(folder: Path, card: ModelCard) -> None:
    import keras  # noqa: PLC0415  # only who makes the model pays for it

    keras.utils.set_random_seed(SEED)
    load = keras.Input((card.window, len(card.columns)), name="load")
    network: Any = keras.Model(load, keras.layers.Dense(card.horizon)(keras.layers.GRU(64)(load)))
    network.export(str(folder), verbose=False)
