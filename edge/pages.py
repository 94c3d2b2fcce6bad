"""What there is to read: the models, their cards, the metrics, the OpenAPI document and the page made from it.

BentoML has an index page and a document of its own. Its page loads a third party's tracking script, beside a
field where people type their password, and its document knows neither the file nor the token; so both are
replaced. The page's script and style are the copies of Swagger UI that BentoML ships.
"""

import json
from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import PlainTextResponse, Response

from auth.app import closed
from auth.scopes import METRICS, MODELS_READ
from edge import openapi
from edge.access import ICON, SCRIPT, STYLE
from edge.answers import ModelEntry, ModelList
from edge.scraping import exposition
from models.card import ModelCard
from models.catalogue import Catalogue

# FastAPI's page starts Swagger UI from an inline script; everything else comes from here and goes nowhere else.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)


def add_routes(app: FastAPI, catalogue: Callable[[], Catalogue]) -> None:
    """Add the routes to the app that BentoML mounts.

    Args:
        app: the FastAPI app.
        catalogue: gives the models of this worker.
    """

    @app.get("/models", summary="List the models", tags=["models"], dependencies=closed(MODELS_READ))
    def models() -> ModelList:
        """Return every model with its versions and labels, and whether it is ready."""
        return ModelList(models=[ModelEntry.of(known) for known in catalogue().known()])

    @app.get(
        "/models/{model}",
        summary="Read a model's card",
        tags=["models"],
        dependencies=closed(MODELS_READ),
        response_model_exclude_none=True,
    )
    def card(model: str, version: Annotated[str | None, Query(description=openapi.VERSION)] = None) -> ModelCard:
        """Return what the model consumes, what it learnt from, and how well it does beside naive forecasts."""
        return catalogue().get(model, version).card

    @app.get(
        "/metrics",
        summary="Read the metrics",
        tags=["metrics"],
        dependencies=closed(METRICS),
        response_class=PlainTextResponse,
    )
    def metrics() -> Response:
        """Return what all workers have counted, in Prometheus's text format."""
        return exposition()

    @app.get("/docs.json", include_in_schema=False)
    def document() -> Response:
        return Response(json.dumps(openapi.document(app, catalogue().names())), media_type="application/json")

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        html = get_swagger_ui_html(
            openapi_url="docs.json",
            title="Lastgang",
            swagger_js_url=SCRIPT,
            swagger_css_url=STYLE,
            swagger_favicon_url=ICON,
        )
        html.headers["Content-Security-Policy"] = _POLICY
        return html
