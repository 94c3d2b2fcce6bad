"""What every peer has to do besides serving, written once so that the servers alone differ.

In: a bearer token, a CSV of a week. Out: (1, 672, c) float32 for the model, and its answer in kW. The CSV is read by
pandas, the features are made by NumPy: the faster of the usual ways, so that no peer is slow for its preprocessing.
Settings come from the environment of `python -m benchmarks.peers`: PEER_MODEL, PEER_SECRET, PEER_PORT and so on.
"""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import pandas as pd

MODEL = Path(os.environ["PEER_MODEL"])
SECRET = os.environ["PEER_SECRET"]
PORT = int(os.environ["PEER_PORT"])
BACKEND_PORT = int(os.environ["PEER_BACKEND_PORT"])
CERTIFICATE, PRIVATE_KEY = os.environ["PEER_CERTIFICATE"], os.environ["PEER_PRIVATE_KEY"]
CARD = json.loads((MODEL / "card.json").read_text(encoding="utf-8"))

DAY = 86_400.0
YEAR = 365.2425 * DAY
PERIODS = {"hour": 3_600.0, "day": DAY, "week": 7 * DAY, "month": YEAR / 12, "year": YEAR}
WAVES = {"sin": np.sin, "cos": np.cos}
MEAN = np.array([column["mean"] for column in CARD["columns"]])
STD = np.array([column["std"] for column in CARD["columns"]])


class NotAllowed(Exception):
    """The token is missing or no good."""


def subject(authorization: str | None) -> str:
    """Return who bears the token of an Authorization header."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotAllowed("no bearer token")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="lastgang", issuer="lastgang")
    except jwt.InvalidTokenError as error:
        raise NotAllowed(str(error)) from error
    return str(claims["sub"])


def model_input(csv: bytes) -> Any:
    """Make the model's input of a week: (1, 672, c) float32."""
    week = pd.read_csv(io.BytesIO(csv)).iloc[-CARD["window"] :]
    stamps = pd.to_datetime(week["Datum"], format="%Y-%m-%d %H:%M:%S").to_numpy()
    seconds = stamps.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    values = [_column(column["name"], week["Wert (kW)"].to_numpy(np.float64), seconds) for column in CARD["columns"]]
    return ((np.column_stack(values) - MEAN) / STD)[None].astype(np.float32)


def _column(name: str, power: Any, seconds: Any) -> Any:
    if name == "power":
        return power
    cycle, wave = name.split("_")
    return WAVES[wave](2 * np.pi * seconds / PERIODS[cycle])


def kilowatts(answer: Any) -> list[list[float]]:
    """Turn the model's answer (n, 8) into kW."""
    rows: list[list[float]] = (np.asarray(answer, np.float64) * CARD["target"]["std"] + CARD["target"]["mean"]).tolist()
    return rows


def load_model() -> Callable[[Any], Any]:
    """Load the SavedModel as TensorFlow's guide does: (n, 672, c) float32 → (n, 8) by its serving signature."""
    import tensorflow as tf  # noqa: PLC0415  # gateways import this module and never need it

    signature = tf.saved_model.load(str(MODEL / "saved_model")).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]

    def call(x: Any) -> Any:
        (answer,) = signature(**{name: tf.constant(x)}).values()
        return answer.numpy()

    return call


def load_keras() -> Callable[[Any], Any]:
    """Load it as Keras says to: a layer in a Model; (n, 672, c) → (n, 8) by `predict`."""
    import keras  # noqa: PLC0415

    load = keras.Input((CARD["window"], len(CARD["columns"])))
    layer = keras.layers.TFSMLayer(str(MODEL / "saved_model"), call_endpoint="serving_default")
    answer = layer(load)
    model = keras.Model(load, next(iter(answer.values())) if isinstance(answer, dict) else answer)
    return lambda x: model.predict(x, verbose=0)
