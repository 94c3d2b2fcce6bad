"""The floor: bare Starlette on uvicorn with this project's own processing, token check and compiled model.

One endpoint, no timeouts, no error documents, no limits, no users, no versions: what is left when everything is left
out that can be. In the project's own environment.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth.errors import AuthError
from auth.tokens import Tokens
from forecasting.power import power
from models.card import CARD, read_card
from models.catalogue import ServedModel
from models.runner import Runner
from processing.reading import read_load_profile

folder = Path(os.environ["PEER_MODEL"])
card = read_card(folder / CARD)
model = ServedModel("gru", "floor", card, Runner(folder, card))
tokens = Tokens([os.environ["PEER_SECRET"].encode()], "lastgang", "lastgang", timedelta(hours=24))


async def predict(request: Request) -> JSONResponse:
    """Answer with the forecast in kW."""
    try:
        tokens.verify(request.headers.get("authorization", "").removeprefix("Bearer "), datetime.now(UTC))
    except AuthError as error:
        return JSONResponse({"detail": str(error)}, 401)
    async with request.form() as form:
        upload = form["file"]
        content = b"" if isinstance(upload, str) else await upload.read()
    profile = read_load_profile(content, time_zone=card.time_zone, at_least=card.window)
    return JSONResponse(power(model, [profile]).tolist())


app = Starlette(routes=[Route("/predict/gru", predict, methods=["POST"])])
