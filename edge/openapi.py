"""One OpenAPI document with every route of the service, as it is.

FastAPI describes the routes that it serves; the routes that BentoML serves are described here, because BentoML's
own document shows neither the multipart field, nor the path parameter, nor that a token is needed.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from auth.app import BEARER
from edge.answers import Forecast, ProblemEntry, SiteForecasts
from edge.documented_problems import PROBLEMS, examples
from edge.problems import MEDIA_TYPE
from edge.queries import FORECAST, MOST_LEVELS, PREDICT
from processing import plausibility, repairs

DESCRIPTION = """\
Forecasts of a site's electric power for the next two hours, from its last seven days in quarter-hours.

1. `POST /token` gives a token (the button **Authorize** does it for this page).
2. `POST /forecast/{model}` takes a CSV with a time column and a power column in kW and gives eight
   quarter-hours with time stamps; `POST /predict/{model}` gives the bare numbers.

Every error is a problem document (RFC 9457); for a CSV it lists each problem with row and column.
"""
VERSION = "A version, or a label (`stable`, `canary`); `stable` by default."
_REFERENCE = "#/components/schemas/"
_SAMPLE_ANSWER = (
    "site,kind,time,power_kw,row,column,code,message\r\n"
    "north,forecast,2017-01-01T00:00:00+01:00,26.44,,,,\r\n"
    "south,problem,,,4,Wert (kW),not_a_number,'abc' is not a number in kW.\r\n"
)
_SAMPLE_CSV = "Datum,Wert (kW)\n2016-12-25 00:00:00,27.12\n2016-12-25 00:15:00,26.44\n"


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[ProblemEntry] | None = Field(None, description="The first 100 problems of the input.")
    problem_count: int | None = Field(None, description="How many problems there are in all.")


def document(app: FastAPI, models: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        app: the mounted FastAPI app.
        models: the names to offer for the path parameter.
    """
    spec: dict[str, Any] = get_openapi(
        title="Lastgang", version="1", description=DESCRIPTION, routes=app.routes, servers=[{"url": "/"}]
    )
    schemas = spec["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for cls in (Forecast, SiteForecasts, Problem):
        schema = cls.model_json_schema(ref_template=_REFERENCE + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[cls.__name__] = schema
    spec["tags"] = [{"name": name} for name in ("auth", "forecasts", "models", "probes")]  # the page's order
    spec["paths"] |= {path: {"get": _probe(summary)} for path, summary in _PROBES.items()}
    spec["paths"]["/predict/{model}"] = {"post": _upload("predict", models, PREDICT, *_PREDICT)}
    spec["paths"]["/forecast/{model}"] = {"post": _upload("forecast", models, FORECAST, *_FORECAST)}
    for path, item in spec["paths"].items():
        for operation in item.values():
            _describe_errors(path, operation)
    return spec


_PROBES = {
    "/livez": "Tell whether the process answers",
    "/healthz": "The same as /livez",
    "/readyz": "Tell whether every model has been loaded and has run once",
}
_PREDICT = (
    "Forecast: the bare numbers",
    "Eight powers in kW, one for each quarter-hour of the next two hours, in a matrix of one row.",
    {
        "application/json": {
            "schema": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}},
                "examples": [[[125.17, 133.36, 130.9, 127.12, 125.39, 134.15, 136.25, 128.19]]],
            }
        }
    },
)
_FORECAST = (
    "Forecast: with time stamps",
    (
        "The numbers of `/predict/{model}` with their time stamps, unit, model and version, and the input's span. "
        "A file of many sites, with a column that names each row's site or with a column in kW for each site, gets the "
        "forecasts of all of them; a site with problems has these in its place. `level` asks for intervals; "
        "a longer file makes them better, as its newest four weeks correct them hour by hour."
    ),
    {
        "application/json": {
            "schema": {"oneOf": [{"$ref": _REFERENCE + name} for name in ("Forecast", "SiteForecasts")]}
        },
        "text/csv": {"schema": {"type": "string"}, "example": _SAMPLE_ANSWER},
    },
)
_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "version": (VERSION, {"type": "string"}),
    "tz": (
        "IANA name of the time zone of stamps without an offset, and of the site's calendar; by default the model's.",
        {"type": "string", "example": "Europe/Berlin"},
    ),
    "repair": (
        (
            "Repairs that may be made, separated by commas; each one that was made is listed in the answer. By "
            "default a file that needs any is refused."
        ),
        {"type": "array", "items": {"type": "string", "enum": list(repairs.CODES)}, "minItems": 1},
    ),
    "level": (
        (
            "Levels of intervals in percent, separated by commas: the power will lie between `lower` and `upper` "
            "with that probability. By default there are none."
        ),
        {
            "type": "array",
            "items": {"type": "number", "minimum": 1, "maximum": 99},
            "minItems": 1,
            "maxItems": MOST_LEVELS,
            "uniqueItems": True,
            "example": [80, 95],
        },
    ),
    "accept": (
        "Doubts about the powers that are passed over, separated by commas; each one that was is listed in the answer.",
        {"type": "array", "items": {"type": "string", "enum": list(plausibility.CODES)}, "minItems": 1},
    ),
}


def _probe(summary: str) -> dict[str, Any]:
    return {"tags": ["probes"], "summary": summary, "responses": {"200": {"description": "Yes"}}}


def _parameter(name: str) -> dict[str, Any]:
    description, schema = _PARAMETERS[name]
    style = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **style}


def _upload(  # noqa: PLR0913, PLR0917
    name: str, models: Sequence[str], parameters: Sequence[str], summary: str, description: str, answer: Any
) -> dict[str, Any]:
    """Describe a POST of a CSV to a model."""
    choice = {"enum": list(models)} if models else {}
    file = {
        "type": "string",
        "format": "binary",
        "description": "The CSV: at least 672 rows of quarter-hours.",
    }
    form = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {
        "tags": ["forecasts"],
        "summary": summary,
        "description": description,
        "operationId": name,
        "security": [{BEARER.scheme_name: []}],
        "parameters": [
            {"name": "model", "in": "path", "required": True, "schema": {"type": "string", **choice}},
            *map(_parameter, parameters),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "text/csv": {"schema": {"type": "string"}, "example": _SAMPLE_CSV},
            },
        },
        "responses": {"200": {"description": "The forecast", "content": answer}},
    }


def _describe_errors(path: str, operation: dict[str, Any]) -> None:
    """Give an operation the errors that can happen there, and no others, in the one shape."""
    responses = {status: answer for status, answer in operation["responses"].items() if int(status) < 400}  # noqa: PLR2004
    for status, documents in sorted(examples(PROBLEMS[path]).items()):
        content = {
            "schema": {"$ref": _REFERENCE + "Problem"},
            "examples": {name: {"value": value} for name, value in documents.items()},
        }
        titles = dict.fromkeys(value["title"] for value in documents.values())
        responses[str(status)] = {"description": "; or ".join(titles), "content": {MEDIA_TYPE: content}}
    operation["responses"] = responses
