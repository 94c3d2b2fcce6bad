"""The few names that a path and a method may have in a metric, a span or a log line, whatever a client sends."""

import re
from collections.abc import Iterable
from functools import lru_cache

OTHER = "other"  # a path or a method that nobody serves
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REMEMBERED = 256  # paths, which a client may choose
_PARAMETER = re.compile(r"\\{\w+\\}")


class Routes:
    """Finds the template of a path, such as `/predict/{model}` of `/predict/gru`.

    Args:
        templates: of every path that is served; a parameter stands for one segment that is not empty.
    """

    def __init__(self, templates: Iterable[str]) -> None:
        self.templates = frozenset(templates)
        self._of = {template: template for template in self.templates if "{" not in template}
        # A request asks several times, and few paths are asked for.
        self._found = lru_cache(REMEMBERED)(self._find)
        self._patterns = [
            (re.compile(_PARAMETER.sub("[^/]+", re.escape(template))), template)
            for template in sorted(self.templates - self._of.keys())
        ]

    def __call__(self, path: str) -> str:
        """Return the template of a decoded path; `other` for one that nobody serves."""
        return self._of.get(path) or self._found(path)

    def _find(self, path: str) -> str:
        return next((template for pattern, template in self._patterns if pattern.fullmatch(path)), OTHER)
