"""MLServer: a custom runtime. Whole, with an endpoint of its own for the CSV; or the model alone behind `gateway.py`.

MLServer documents no TLS. Its settings have a private member for what goes to uvicorn, which it says to use at one's
own risk; that is where the certificate goes.
"""

import asyncio
import os
from typing import Annotated

import numpy as np
from fastapi import File, Header, HTTPException
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse
from work import (
    BACKEND_PORT,
    CERTIFICATE,
    PORT,
    PRIVATE_KEY,
    NotAllowed,
    kilowatts,
    load_model,
    model_input,
    subject,
)

BATCH = int(os.environ.get("PEER_BATCH", "0"))


class Gru(MLModel):
    """The model with its preprocessing."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = load_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer MLServer's own protocol, in batches that it makes."""
        answer = self.model(NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", answer)])

    @custom_handler(rest_path="/predict/gru")
    async def forecast(
        self, file: Annotated[bytes, File()], authorization: Annotated[str | None, Header()] = None
    ) -> list[list[float]]:
        """Answer with the forecast in kW."""
        try:
            subject(authorization)
        except NotAllowed as error:
            raise HTTPException(401, str(error)) from error
        return kilowatts(self.model(model_input(file)))


async def main() -> None:
    """Serve, with TLS or as a back end."""
    port = BACKEND_PORT if BATCH else PORT
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=BACKEND_PORT + 1,
        metrics_port=BACKEND_PORT + 2,
        parallel_workers=0,
        metrics_dir=os.environ["PEER_SCRATCH"],
    )
    if not BATCH:
        settings._custom_rest_server_settings = {"ssl_certfile": CERTIFICATE, "ssl_keyfile": PRIVATE_KEY}  # noqa: SLF001
    model = ModelSettings(name="gru", implementation=Gru, max_batch_size=BATCH, max_batch_time=0.005 if BATCH else 0)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
