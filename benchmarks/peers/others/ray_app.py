"""Ray Serve with FastAPI as its ingress; with PEER_BATCH the model's call is batched by `serve.batch`."""

import os
import time
from typing import Annotated, Any

import numpy as np
import ray
from fastapi import FastAPI, Header, HTTPException, UploadFile
from ray import serve
from work import CERTIFICATE, PORT, PRIVATE_KEY, NotAllowed, kilowatts, load_model, model_input, subject

BATCH = int(os.environ.get("PEER_BATCH", "1"))
app = FastAPI()


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(app)
class Gru:
    """The model with its preprocessing."""

    def __init__(self) -> None:
        self.model = load_model()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.005)
    async def batched(self, inputs: list[Any]) -> list[Any]:
        """Answer a batch of (1, 672, c)."""
        return list(self.model(np.concatenate(inputs))[:, None])

    @app.post("/predict/gru")
    async def predict(
        self, file: UploadFile, authorization: Annotated[str | None, Header()] = None
    ) -> list[list[float]]:
        """Answer with the forecast in kW."""
        try:
            subject(authorization)
        except NotAllowed as error:
            raise HTTPException(401, str(error)) from error
        x = model_input(await file.read())
        return kilowatts(await self.batched(x) if BATCH > 1 else self.model(x))


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=True)
    serve.start(
        http_options={"host": "127.0.0.1", "port": PORT, "ssl_certfile": CERTIFICATE, "ssl_keyfile": PRIVATE_KEY},
        logging_config={"enable_access_log": False},
    )
    serve.run(Gru.bind())
    while True:
        time.sleep(1)
