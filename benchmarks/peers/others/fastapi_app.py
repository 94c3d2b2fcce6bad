"""FastAPI with the model in its own process, as tutorials have it; PEER_CALL chooses predict or the signature."""

import os
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, UploadFile
from work import NotAllowed, kilowatts, load_keras, load_model, model_input, subject

app = FastAPI()
model = {"predict": load_keras, "signature": load_model}[os.environ["PEER_CALL"]]()


@app.post("/predict/gru")
def predict(file: UploadFile, authorization: Annotated[str | None, Header()] = None) -> list[list[float]]:
    """Answer with the forecast in kW."""
    try:
        subject(authorization)
    except NotAllowed as error:
        raise HTTPException(401, str(error)) from error
    return kilowatts(model(model_input(file.file.read())))
