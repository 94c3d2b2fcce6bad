"""The thesis's BentoML service: tensors in, tensors out, over HTTP with JSON; its gateway is `gateway.py`."""

import bentoml
import numpy as np
from work import load_model


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
