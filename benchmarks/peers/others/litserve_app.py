"""LitServe, one request at a time or, with PEER_BATCH, batches of up to so many requests."""

import os
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Header, HTTPException, Request
from work import CERTIFICATE, PORT, PRIVATE_KEY, NotAllowed, kilowatts, load_model, model_input, subject

BATCH = int(os.environ.get("PEER_BATCH", "1"))


class Gru(litserve.LitAPI):
    """The model with its preprocessing."""

    def authorize(self, authorization: Annotated[str | None, Header()] = None) -> None:
        """Refuse who bears no good token."""
        try:
            subject(authorization)
        except NotAllowed as error:
            raise HTTPException(401, str(error)) from error

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model, once in each worker."""
        self.model = load_model()

    def decode_request(self, request: Request) -> Any:
        """Turn a form into (672, c)."""
        return model_input(request["file"].file.read())[0]  # type: ignore[index]

    def batch(self, inputs: Any) -> Any:
        """Stack inputs."""
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        """Answer one input or a batch."""
        return self.model(x) if BATCH > 1 else self.model(x[None])[0]

    def unbatch(self, output: Any) -> Any:
        """Give the rows of a batch."""
        return list(output)

    def encode_response(self, output: Any) -> Any:
        """Answer in kW."""
        return kilowatts(output[None])


if __name__ == "__main__":
    api = Gru(api_path="/predict/gru", max_batch_size=BATCH, batch_timeout=0.005 if BATCH > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(
        host="127.0.0.1",
        port=PORT,
        log_level="warning",
        generate_client_file=False,
        ssl_certfile=CERTIFICATE,
        ssl_keyfile=PRIVATE_KEY,
    )
