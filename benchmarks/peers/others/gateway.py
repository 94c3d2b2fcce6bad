"""The thesis's gateway: FastAPI checks the token, reads the CSV and asks a model server behind it over HTTP.

PEER_BACKEND names the model server and with it the form of the request.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import numpy as np
from fastapi import FastAPI, Header, HTTPException, UploadFile
from work import BACKEND_PORT, NotAllowed, kilowatts, model_input, subject

BACKEND = os.environ["PEER_BACKEND"]
URL = f"http://127.0.0.1:{BACKEND_PORT}"
session: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep connections to the model server open."""
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        session["http"] = http
        if BACKEND == "triton-binary":
            from tritonclient.http.aio import InferenceServerClient  # noqa: PLC0415

            session["triton"] = InferenceServerClient(f"127.0.0.1:{BACKEND_PORT}", conn_limit=100)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict/gru")
async def predict(file: UploadFile, authorization: Annotated[str | None, Header()] = None) -> list[list[float]]:
    """Answer with the forecast in kW."""
    try:
        subject(authorization)
    except NotAllowed as error:
        raise HTTPException(401, str(error)) from error
    x = model_input(await file.read())
    return kilowatts(await ASK[BACKEND](x))


async def _post(path: str, body: Any) -> Any:
    async with session["http"].post(f"{URL}{path}", json=body) as answer:
        return await answer.json()


async def _bentoml(x: Any) -> Any:
    return await _post("/predict", {"x": x.tolist()})


async def _tensorflow_serving(x: Any) -> Any:
    return (await _post("/v1/models/gru:predict", {"instances": x.tolist()}))["predictions"]


async def _v2(x: Any) -> Any:
    """Ask by the protocol that Triton and MLServer share."""
    tensor = {"name": "x", "shape": x.shape, "datatype": "FP32", "data": x.ravel().tolist()}
    answer = await _post("/v2/models/gru/infer", {"inputs": [tensor]})
    return np.reshape(answer["outputs"][0]["data"], (len(x), -1))


async def _triton_binary(x: Any) -> Any:
    from tritonclient.http import InferInput, InferRequestedOutput  # noqa: PLC0415

    tensor = InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x, binary_data=True)
    wanted = [InferRequestedOutput("y", binary_data=True)]
    return (await session["triton"].infer("gru", [tensor], outputs=wanted)).as_numpy("y")


ASK: dict[str, Callable[[Any], Any]] = {
    "bentoml": _bentoml,
    "tensorflow-serving": _tensorflow_serving,
    "triton": _v2,
    "triton-binary": _triton_binary,
    "mlserver": _v2,
}
