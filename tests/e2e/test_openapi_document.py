"""The OpenAPI document is true: valid, whole, and every real answer is as it says."""

from typing import Any

import httpx
import pytest
from e2e.last_two_hours import NAME
from e2e.running import PASSWORD
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from auth.metadata import PATH as METADATA
from auth.published import PATH as JWKS
from auth.scopes import SCOPES
from edge.access import NEEDS

# Swagger's page, its document and BentoML's own description of its methods are for machines that show the document.
NOT_FOR_CLIENTS = {("GET", path) for path in ("/", "/docs.json", "/static_content", "/schema.json")}
# In a form to /token and /revoke a client may show who it is, and need not.
OPEN = {("POST", "/token"), ("POST", "/revoke"), ("GET", JWKS), ("GET", METADATA)}
OPEN |= {("GET", "/livez"), ("GET", "/readyz"), ("GET", "/healthz")}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(anyone: httpx.Client) -> dict[str, Any]:
    """Give the document that the service hands out, without a token in development."""
    spec: dict[str, Any] = anyone.get("/docs.json").raise_for_status().json()
    return spec


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Give each operation by its method and path."""
    paths = document["paths"].items()
    return {(method.upper(), path): operation for path, item in paths for method, operation in item.items()}


def test_it_is_valid(document: dict[str, Any]) -> None:
    """OpenAPI 3.1, by the specification's own schema."""
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_route(declared: set[tuple[str, str]], operations: dict[tuple[str, str], Any]) -> None:
    """What the workers serve stands in it, and nothing else does."""
    assert operations.keys() == declared - NOT_FOR_CLIENTS


def test_exactly_the_closed_routes_ask_for_the_bearer(
    document: dict[str, Any], operations: dict[tuple[str, str], Any]
) -> None:
    """OAuth2 with its scope on every operation but the open ones, a client's secret on one, and no default for all."""
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"bearer", "client"}
    for flow in ("password", "clientCredentials"):
        told = schemes["bearer"]["flows"][flow]
        assert (schemes["bearer"]["type"], told["tokenUrl"], told["scopes"]) == ("oauth2", "/token", SCOPES)
    assert {key for key, operation in operations.items() if "security" not in operation} == OPEN
    asked = {key: operation["security"] for key, operation in operations.items() if "security" in operation}
    assert asked.pop(("POST", "/introspect")) == [{"client": []}]
    rows = {key: [{"bearer": [needs] if isinstance(needs, str) else []}] for key, needs in NEEDS.items()}
    assert asked == {key: rows[key] for key in asked}
    assert "security" not in document


PARAMETERS = {
    "predict": ["version", "tz", "accept"],
    "forecast": ["version", "tz", "accept", "repair", "level"],
    "backtest": ["version", "tz", "accept", "repair", "level", "stride"],
    "anomalies": ["version", "tz", "accept", "repair", "level"],
}


@pytest.mark.parametrize("route", PARAMETERS)
def test_an_upload_is_described(operations: dict[tuple[str, str], Any], route: str) -> None:
    """A form with one file named `file`, or a CSV; the model in the path, with the names there are."""
    operation = operations["POST", f"/{route}/{{model}}"]
    content = operation["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert (form["required"], list(form["properties"])) == (["file"], ["file"])
    assert form["properties"]["file"]["format"] == "binary"
    assert content["text/csv"]["example"].startswith("Datum,Wert (kW)\n")
    parameter, *query = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("model", "path", True)
    assert set(parameter["schema"]["enum"]) == {"cnn", "gru", NAME}
    told = [(one["name"], one["in"], one["required"]) for one in query]
    assert told == [(name, "query", False) for name in PARAMETERS[route]]


def test_every_error_is_a_problem(operations: dict[tuple[str, str], Any]) -> None:
    """Each documented status from 400 on has the one shape; each closed operation has its 401."""
    for key, operation in operations.items():
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        shapes = [answer["content"] for answer in errors.values()]
        assert all(shape.keys() == {PROBLEM} for shape in shapes), key
        assert all(shape[PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"} for shape in shapes), key
        assert "401" in errors or key in OPEN, key
        assert all(answer["description"] for answer in operation["responses"].values()), key


STORE = {"users-unavailable", "users-unusable", "timeout", "overloaded"}
CLOSED = STORE | {"not-authenticated", "invalid-token", "issuer-unavailable", "quota-exceeded"}
SCOPED = CLOSED | {"insufficient-scope"}
MODEL = SCOPED | {"unknown-model", "unknown-version", "version-not-loaded", "model-unavailable"}
UPLOAD = MODEL | {
    *("malformed-upload", "body-too-slow", "body-too-large", "unsupported-media-type"),
    *("invalid-query", "invalid-load-profile", "no-finite-forecast", "audit-unavailable"),
}
FORM = STORE | {
    *("bad-request", "body-too-slow", "body-too-large", "invalid-request", "invalid-token-request"),
    *("invalid-client", "too-many-log-ins", "audit-unavailable", "quota-exceeded"),
}
LOG_IN_PROBLEMS = FORM | {
    *("busy", "invalid-credentials", "invalid-grant", "invalid-scope", "unsupported-grant-type"),
}


def examples_of(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the problem documents that an operation shows."""
    contents = [answer.get("content", {}).get(PROBLEM, {}) for answer in operation["responses"].values()]
    return [example["value"] for content in contents for example in content.get("examples", {}).values()]


@pytest.mark.parametrize(
    "key, names",
    [
        (("POST", "/token"), LOG_IN_PROBLEMS),
        (("GET", "/users/me"), CLOSED),
        (("POST", "/revoke"), FORM),
        (("POST", "/introspect"), FORM),
        (("GET", "/models"), SCOPED),
        (("GET", "/metrics"), SCOPED),
        (("GET", "/models/{model}"), MODEL),
        (("POST", "/predict/{model}"), UPLOAD),
        (("POST", "/forecast/{model}"), UPLOAD),
        (("POST", "/backtest/{model}"), UPLOAD),
        (("POST", "/anomalies/{model}"), UPLOAD),
        (("GET", "/livez"), set()),
        (("GET", "/healthz"), set()),
        (("GET", "/readyz"), {"service-unavailable"}),
    ],
)
def test_a_route_shows_the_problems_that_can_happen_there(
    operations: dict[tuple[str, str], Any], key: tuple[str, str], names: set[str]
) -> None:
    """All of them and no others, each with the words that a client would read."""
    shown = examples_of(operations[key])
    assert {example["type"].removeprefix("urn:lastgang:problem:") for example in shown} == names
    assert all(" " in example["detail"] for example in shown)


def test_the_examples_are_as_the_schemas_say(document: dict[str, Any], operations: dict[tuple[str, str], Any]) -> None:
    """Whoever copies an example of an error copies a valid one."""
    for operation in operations.values():
        for status, answer in operation["responses"].items():
            for example in answer.get("content", {}).get(PROBLEM, {}).get("examples", {}).values():
                check(document, {"$ref": "#/components/schemas/Problem"}, example["value"])
                assert example["value"]["status"] == int(status)


def check(document: dict[str, Any], schema: dict[str, Any], instance: Any) -> None:
    """Fail unless the instance is as the schema says, references resolved within the document."""
    validator = OAS31Validator({**schema, "components": document["components"]})
    assert [error.message for error in validator.iter_errors(instance)] == []


CSV = {"Content-Type": "text/csv"}
LOG_IN = {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="module")
def files(week: bytes, fortnight: bytes) -> dict[str, bytes]:
    """Give the files that the requests below name."""
    header, *rows = fortnight.decode().splitlines()
    sites = [f"site,{header}", *(f"north,{row}" for row in rows), *(f"south,{row}" for row in rows[:680])]
    return {"week": week, "fortnight": fortnight, "sites": "\n".join(sites).encode()}


@pytest.mark.parametrize(
    "key, path, status, sent",
    [
        (("POST", "/token"), "/token", 200, {"data": LOG_IN}),
        (("POST", "/token"), "/token", 401, {"data": LOG_IN | {"password": "x"}}),
        (("POST", "/token"), "/token", 400, {"data": {}}),
        (("POST", "/token"), "/token", 400, {"headers": {"Content-Type": "multipart/form-data"}}),
        (("POST", "/token"), "/token", 413, {"data": LOG_IN | {"password": "x" * 70_000}}),
        (("GET", "/users/me"), "/users/me", 200, {}),
        (("GET", "/users/me"), "/users/me", 401, {"headers": {"Authorization": "Bearer x"}}),
        (("GET", "/models"), "/models", 200, {}),
        (("GET", "/models"), "/models", 401, {"headers": {"Authorization": "Bearer x"}}),
        (("GET", "/metrics"), "/metrics", 401, {"headers": {"Authorization": "Bearer x"}}),
        (("GET", "/models/{model}"), "/models/gru", 200, {}),
        (("GET", "/models/{model}"), f"/models/{NAME}", 200, {}),
        (("GET", "/models/{model}"), "/models/nope", 404, {}),
        (("POST", "/predict/{model}"), "/predict/gru", 200, {"files": "week"}),
        (("POST", "/predict/{model}"), "/predict/gru", 400, {"files": {"other": b""}}),
        (("POST", "/predict/{model}"), "/predict/gru", 401, {"headers": {"Authorization": "Basic x"}}),
        (("POST", "/predict/{model}"), "/predict/nope", 404, {"files": "week"}),
        (("POST", "/predict/{model}"), "/predict/gru", 413, {"content": b"1" * 10_000_001, "headers": CSV}),
        (("POST", "/predict/{model}"), "/predict/gru", 415, {}),
        (("POST", "/predict/{model}"), "/predict/gru", 422, {"content": b"Datum,Wert (kW)\n1,2\n", "headers": CSV}),
        (("POST", "/forecast/{model}"), "/forecast/cnn", 200, {"files": "week"}),
        (("POST", "/forecast/{model}"), f"/forecast/{NAME}", 200, {"files": "week"}),
        (("POST", "/forecast/{model}"), "/forecast/cnn", 422, {"files": {"file": b"\xff"}}),
        (("POST", "/backtest/{model}"), "/backtest/gru", 200, {"files": "fortnight"}),
        (("POST", "/backtest/{model}"), f"/backtest/{NAME}", 200, {"files": "fortnight"}),
        (("POST", "/backtest/{model}"), "/backtest/gru", 200, {"files": "sites"}),
        (("POST", "/backtest/{model}"), "/backtest/gru", 422, {"files": "week"}),
        (("POST", "/anomalies/{model}"), "/anomalies/gru", 200, {"files": "fortnight"}),
        (("POST", "/anomalies/{model}"), "/anomalies/gru", 200, {"files": "sites"}),
        (("POST", "/anomalies/{model}"), f"/anomalies/{NAME}", 422, {"files": "fortnight"}),
        (("GET", "/livez"), "/livez", 200, {}),
        (("GET", "/readyz"), "/readyz", 200, {}),
        (("GET", "/healthz"), "/healthz", 200, {}),
    ],
)
def test_a_real_answer_is_as_documented(
    *,
    ada: httpx.Client,
    files: dict[str, bytes],
    document: dict[str, Any],
    operations: dict[tuple[str, str], Any],
    key: tuple[str, str],
    path: str,
    status: int,
    sent: dict[str, Any],
) -> None:
    """Its status, its content type and its body stand in the document."""
    name = sent.get("files")
    given = {**sent, "files": {"file": files[name]}} if isinstance(name, str) else sent
    answer = ada.request(key[0], path, **given)
    assert answer.status_code == status
    documented = operations[key]["responses"][str(status)].get("content")
    if documented is None:
        assert answer.content.strip() == b""
    else:
        described = documented[answer.headers["content-type"]]
        check(document, described["schema"], answer.json())
        if status >= 400:
            assert answer.json()["type"] in {example["type"] for example in examples_of(operations[key])}


@pytest.mark.parametrize("wrong", [{"unit": None}, {"forecast": [{"time": "2016-12-31T23:45:00Z", "power": "much"}]}])
def test_a_wrong_answer_would_be_found(
    document: dict[str, Any], ada: httpx.Client, week: bytes, wrong: dict[str, Any]
) -> None:
    """The check above is no formality: it fails for a forecast without its unit, or with a power in words."""
    forecast = ada.post("/forecast/gru", files={"file": week}).json()
    with pytest.raises(AssertionError, match="is not of type"):
        check(document, {"$ref": "#/components/schemas/Forecast"}, forecast | wrong)
