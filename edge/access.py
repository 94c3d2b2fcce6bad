"""Which route takes which scope: the one table, which the gate and the OpenAPI document read.

A route without a row is shut, whatever the application behind the gate would answer.
"""

from auth.access import Needs, Without
from auth.metadata import PATH as METADATA
from auth.published import PATH as JWKS
from auth.scopes import BACKTEST, FORECAST, METRICS, MODELS_READ, MODELS_WRITE, USERS_ADMIN

_STATIC = "/static_content/"
SCRIPT, STYLE, ICON = (_STATIC + name for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-light-32x32.png"))
DOCUMENTATION = ("/", "/docs.json", SCRIPT, STYLE, ICON)
PROBES = ("/livez", "/readyz", "/healthz")
NEEDS: dict[tuple[str, str], Needs] = {
    **{("GET", path): Without.TOKEN for path in PROBES},
    **{("GET", path): Without.SCOPE for path in DOCUMENTATION},  # open where the settings say so
    ("GET", "/schema.json"): Without.SCOPE,  # BentoML's own description, for its clients
    ("POST", "/token"): Without.GATE,
    ("POST", "/revoke"): Without.GATE,
    ("POST", "/introspect"): Without.GATE,
    ("GET", METADATA): Without.TOKEN,
    ("GET", JWKS): Without.TOKEN,
    ("GET", "/users/me"): Without.SCOPE,
    ("GET", "/users"): USERS_ADMIN,
    ("POST", "/users"): USERS_ADMIN,
    ("PATCH", "/users/{name}"): USERS_ADMIN,
    ("DELETE", "/users/{name}"): USERS_ADMIN,
    ("GET", "/clients"): USERS_ADMIN,
    ("POST", "/clients"): USERS_ADMIN,
    ("DELETE", "/clients/{name}"): USERS_ADMIN,
    ("PUT", "/models/{model}/labels/{label}"): MODELS_WRITE,
    ("POST", "/models/{model}/rollback"): MODELS_WRITE,
    ("GET", "/models"): MODELS_READ,
    ("GET", "/models/{model}"): MODELS_READ,
    ("GET", "/metrics"): METRICS,
    ("POST", "/predict/{model}"): FORECAST,
    ("POST", "/forecast/{model}"): FORECAST,
    ("POST", "/backtest/{model}"): BACKTEST,
    ("POST", "/anomalies/{model}"): BACKTEST,
}


def needs(*, docs_are_open: bool) -> dict[tuple[str, str], Needs]:
    """Return the table with the documentation open or not."""
    documentation = Without.TOKEN if docs_are_open else Without.SCOPE
    return NEEDS | {("GET", path): documentation for path in DOCUMENTATION}
