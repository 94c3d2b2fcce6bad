"""Prints every route of the very application that the service's workers serve, as JSON: [[method, path], ...].

A process of its own, because importing the service configures BentoML for good.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Walk an ASGI application and what is mounted in it; static files have no method, they are read by GET."""
    for route in app.routes:
        mounted = getattr(route, "app", None)
        if hasattr(mounted, "routes"):
            yield from routes_of(mounted)
        else:
            for method in getattr(route, "methods", None) or {"GET"}:
                yield method, route.path


def main() -> None:
    """Print the routes; HEAD, which Starlette adds to a GET of its own accord, is left out."""
    sys.path.insert(0, "")
    import service  # noqa: PLC0415  # importing this module has no effect

    lastgang: Any = service.Lastgang  # BentoML's decorator makes more of the class than it tells the type checker
    app = lastgang.to_asgi(is_main=True)
    sys.stdout.write(json.dumps(sorted({route for route in routes_of(app) if route[0] != "HEAD"})))


if __name__ == "__main__":
    main()
