"""BentoML in three designs.

`Gru` is the thesis's: tensors in, tensors out, over HTTP with JSON, behind `gateway.py`. `GruInBatches` is the same
with BentoML's own batching. `InProcess` has no gateway: token, CSV and model in each of its workers, with TLS, and the
upload as BentoML's documentation shows it. Its access log is off, as those of the peers on uvicorn are.
"""

from http import HTTPStatus
from pathlib import Path

import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException
from work import CERTIFICATE, PRIVATE_KEY, NotAllowed, kilowatts, load_model, model_input, subject

# Not how long a batch is waited for: BentoML answers 503 to what it expects to be later than that. At 200 ms and 64
# requests at a time that was one in seven; this is far above any answer.
MAX_LATENCY_MS = 10_000


@bentoml.service(name="gru")
class Gru:
    """The model alone."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answer a batch."""
        answer: np.ndarray = self.model(x.astype(np.float32))
        return answer


@bentoml.service(name="gru_in_batches")
class GruInBatches:
    """The model alone, which BentoML calls with the tensors of many requests at once."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=MAX_LATENCY_MS)
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answer a batch."""
        answer: np.ndarray = self.model(x.astype(np.float32))
        return answer


@bentoml.service(
    name="in_process",
    workers="cpu_count",
    ssl={"enabled": True, "certfile": CERTIFICATE, "keyfile": PRIVATE_KEY},
    logging={"access": {"enabled": False}},
)
class InProcess:
    """The model with its preprocessing."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api(route="/predict/gru")
    def predict(self, file: Path, ctx: bentoml.Context) -> list[list[float]]:
        """Answer with the forecast in kW."""
        try:
            subject(ctx.request.headers.get("authorization"))
        except NotAllowed as error:
            raise BentoMLException(str(error), error_code=HTTPStatus.UNAUTHORIZED) from error
        return kilowatts(self.model(model_input(file.read_bytes())))
