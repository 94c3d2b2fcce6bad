"""One OpenAPI document with every route of the service, as it is.

FastAPI describes the routes that it serves; the routes that BentoML serves are described here, because BentoML's
own document shows neither the multipart field, nor the path parameter, nor that a token is needed.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from auth.app import BEARER, CLIENT
from edge.access import NEEDS
from edge.anomaly_answers import AnomaliesAnswer, ManyAnomalies
from edge.answers import Forecast, ProblemEntry, SiteForecasts
from edge.backtest_answers import BacktestAnswer, SiteBacktests
from edge.documented_problems import PROBLEMS, examples
from edge.problems import MEDIA_TYPE
from edge.queries import ANOMALIES, BACKTEST, FORECAST, LONGEST_STRIDE, MOST_LEVELS, PREDICT
from processing import plausibility, repairs

DESCRIPTION = """\
Forecasts of a site's electric power for the next two hours, from its last seven days in quarter-hours.

1. `POST /token` gives a token (the button **Authorize** does it for this page).
2. `POST /forecast/{model}` takes a CSV with a time column and a power column in kW and gives eight
   quarter-hours with time stamps; `POST /predict/{model}` gives the bare numbers.
3. `POST /backtest/{model}` takes a longer CSV and tells how good the model would have been over it;
   `POST /anomalies/{model}` lists the quarter-hours that were not as forecast.

Every error is a problem document (RFC 9457); for a CSV it lists each problem with row and column.
"""
VERSION = "A version, or a label (`stable`, `canary`); `stable` by default."
_REFERENCE = "#/components/schemas/"
_SAMPLE_ANSWER = (
    "site,kind,time,power_kw,row,column,code,message\r\n"
    "north,forecast,2017-01-01T00:00:00+01:00,26.44,,,,\r\n"
    "south,problem,,,4,Wert (kW),not_a_number,'abc' is not a number in kW.\r\n"
)
_SAMPLE_BACKTEST = (
    "site,kind,forecast,minutes_ahead,forecasts,mae_kw,rmse_kw,bias_kw,mase,coverage_80,width_80_kw,row,column,code,"
    "message\r\n"
    ",score,gru,15,34456,1.48,2.28,-0.04,0.352,0.811,4.69,,,,\r\n"
    ",score,last_week,15,34456,4.2,8.13,-0.02,0.999,,,,,,\r\n"
)
_SAMPLE_ANOMALIES = (
    "site,kind,time,measured_kw,score,direction,forecast_kw,lower_kw,upper_kw,minutes_ahead,missed,row,column,code,"
    "message\r\n"
    ",anomaly,2016-01-11T20:30:00+01:00,53.86,1.148,above,40.81,34.36,52.17,30,8,,,,\r\n"
)
_SAMPLE_CSV = "Datum,Wert (kW)\n2016-12-25 00:00:00,27.12\n2016-12-25 00:15:00,26.44\n"


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = Field(
        None, description="`urn:lastgang:request:` and the request's id: the answer's X-Request-Id, which the log has."
    )
    problems: list[ProblemEntry] | None = Field(None, description="The first 100 problems of the input.")
    problem_count: int | None = Field(None, description="How many problems there are in all.")
    error: str | None = Field(None, description="For `POST /token`: the word of OAuth 2.0 (RFC 6749, section 5.2).")
    error_description: str | None = Field(None, description="Beside `error`: the detail once more.")


def document(app: FastAPI, models: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        app: the mounted FastAPI app.
        models: the names to offer for the path parameter.
    """
    spec: dict[str, Any] = get_openapi(
        title="Lastgang", version="1", description=DESCRIPTION, routes=app.routes, servers=[{"url": "/"}]
    )
    spec["components"]["securitySchemes"]["client"] = CLIENT
    schemas = spec["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for cls in (*_ANSWERS, Problem):
        schema = cls.model_json_schema(ref_template=_REFERENCE + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[cls.__name__] = schema
    spec["tags"] = [
        {"name": name} for name in ("auth", "forecasts", "models", "metrics", "admin", "probes")
    ]  # the page's order
    spec["paths"] |= {path: {"get": _probe(summary)} for path, summary in _PROBES.items()}
    spec["paths"]["/predict/{model}"] = {"post": _upload("predict", models, PREDICT, *_PREDICT)}
    spec["paths"]["/forecast/{model}"] = {"post": _upload("forecast", models, FORECAST, *_FORECAST)}
    spec["paths"]["/backtest/{model}"] = {"post": _upload("backtest", models, BACKTEST, *_BACKTEST)}
    spec["paths"]["/anomalies/{model}"] = {"post": _upload("anomalies", models, ANOMALIES, *_ANOMALIES)}
    for path, item in spec["paths"].items():
        for operation in item.values():
            _describe_errors(path, operation)
    return spec


_PROBES = {
    "/livez": "Tell whether the process answers",
    "/healthz": "The same as /livez",
    "/readyz": "Tell whether every model has been loaded and has run once",
}
_ANSWERS = (Forecast, SiteForecasts, BacktestAnswer, SiteBacktests, AnomaliesAnswer, ManyAnomalies)


def _json_or_csv(one: type[BaseModel], many: type[BaseModel], table: str) -> dict[str, Any]:
    """Describe the content of an answer for one site or many."""
    return {
        "application/json": {"schema": {"oneOf": [{"$ref": _REFERENCE + cls.__name__} for cls in (one, many)]}},
        "text/csv": {"schema": {"type": "string"}, "example": table},
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
    _json_or_csv(Forecast, SiteForecasts, _SAMPLE_ANSWER),
)
_BACKTEST = (
    "Backtest: how good the model would have been here",
    (
        "The model and four naive forecasts forecast from every quarter-hour after the file's first week; the answer "
        "compares what they said with what was measured, step by step, and says in a sentence whether the model is any "
        "good for the site. 681 rows are needed at least, and some weeks tell much more. A file of many sites gets a "
        "backtest of each."
    ),
    _json_or_csv(BacktestAnswer, SiteBacktests, _SAMPLE_BACKTEST),
)
_ANOMALIES = (
    "Anomalies: the quarter-hours that were not as forecast",
    (
        "Those whose measured power left more than half of the intervals that had been forecast for them, from two "
        "hours to a quarter-hour before. 681 rows are needed at least. A file of many sites gets the anomalies of each."
    ),
    _json_or_csv(AnomaliesAnswer, ManyAnomalies, _SAMPLE_ANOMALIES),
)
_LEVELS = {
    "type": "array",
    "items": {"type": "number", "minimum": 1, "maximum": 99},
    "minItems": 1,
    "maxItems": MOST_LEVELS,
    "uniqueItems": True,
    "example": [80, 95],
}
_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {  # by name, or by route and name
    "version": (VERSION, {"type": "string"}),
    "tz": (
        "IANA name of the time zone of stamps without an offset, and of the site's calendar; by default the model's.",
        {"type": "string", "example": "Europe/Berlin"},
    ),
    "anomalies level": (
        "Level in percent of the intervals that an anomaly leaves.",
        {"type": "number", "minimum": 1, "maximum": 99, "default": 99},
    ),
    "stride": (
        (
            "Quarter-hours from one forecast to the next: 1, by default, forecasts from each of them. A stride without "
            "the factors 2 and 3, such as 5 or 7, meets all times of day."
        ),
        {"type": "integer", "minimum": 1, "maximum": LONGEST_STRIDE, "default": 1},
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
        _LEVELS,
    ),
    "backtest level": (
        "Levels of the intervals in percent, separated by commas; by default 80,95, if the model has intervals.",
        _LEVELS,
    ),
    "accept": (
        "Doubts about the powers that are passed over, separated by commas; each one that was is listed in the answer.",
        {"type": "array", "items": {"type": "string", "enum": list(plausibility.CODES)}, "minItems": 1},
    ),
}


def _probe(summary: str) -> dict[str, Any]:
    return {"tags": ["probes"], "summary": summary, "responses": {"200": {"description": "Yes"}}}


def _parameter(route: str, name: str) -> dict[str, Any]:
    description, schema = _PARAMETERS.get(f"{route} {name}") or _PARAMETERS[name]
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
        "description": "The CSV: at least 672 rows of quarter-hours; 681 for a backtest or anomalies.",
    }
    form = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {
        "tags": ["forecasts"],
        "summary": summary,
        "description": description,
        "operationId": name,
        "security": [{BEARER.scheme_name: [NEEDS["POST", f"/{name}/{{model}}"]]}],
        "parameters": [
            {"name": "model", "in": "path", "required": True, "schema": {"type": "string", **choice}},
            *(_parameter(name, parameter) for parameter in parameters),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "text/csv": {"schema": {"type": "string"}, "example": _SAMPLE_CSV},
            },
        },
        "responses": {"200": {"description": "The answer", "content": answer}},
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
