"""Check container groups against the models of Azure's own client: every name, every type, everything required.

In: YAML and Bicep files. Out: a line for each on how much was looked at; exit status 1 with one line for each fault.
It runs in the environment that scripts/deploy-tools makes. What an expression in Bicep gives, only Azure knows: both
sides of a condition and variables are looked into, parameters and functions are taken for what is wanted.
"""

from __future__ import annotations

import string
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml
from azure.mgmt.containerinstance import models
from pycep import BicepParser

KIND = "Microsoft.ContainerInstance/containerGroups"
OF_EVERY_RESOURCE = {"apiVersion", "type", "dependsOn"}
PLAIN: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": dict}
ANYTHING = object()  # what an expression gives


class Check:
    """Looks through one container group; counts what it saw and gathers what is wrong."""

    def __init__(self) -> None:
        self.seen = 0
        self.faults: list[str] = []

    def value(self, kind: str, value: Any, path: str) -> None:
        """Compare a value with a type as the client writes it: `str`, `[Container]`, `{str}`, `Container`."""
        if isinstance(value, tuple):  # the two sides of a condition
            for side in value:
                self.value(kind, side, path)
        elif value is ANYTHING or value is None:
            return
        elif kind.startswith("[") and self.is_a(list, value, path):
            for number, item in enumerate(value):
                self.value(kind[1:-1], item, f"{path}[{number}]")
        elif kind.startswith("{") and self.is_a(dict, value, path):
            for key, item in value.items():
                self.value(kind[1:-1], item, f"{path}.{key}")
        elif kind in PLAIN:
            self.is_a(PLAIN[kind], value, path)
        elif kind[0] not in "[{" and self.is_a(dict, value, path):
            self.members(getattr(models, kind), value, path)

    def members(self, model: Any, value: dict[str, Any], path: str) -> None:
        """Compare an object with a class of the client."""
        known = {part["key"]: (name, part["type"]) for name, part in model._attribute_map.items()}  # noqa: SLF001
        inner = any(key.startswith("properties.") for key in known)
        given = dict(value)
        if inner and self.is_a(dict, properties := given.pop("properties", None), f"{path}.properties"):
            given |= {f"properties.{key}": item for key, item in properties.items()}
        for key, item in given.items():
            if key in known:
                self.seen += 1
                self.value(known[key][1], item, f"{path}.{key}")
            elif not (model is models.ContainerGroup and key in OF_EVERY_RESOURCE):
                self.faults.append(f"{path}.{key}: there is no such property")
        for name, rule in model._validation.items():  # noqa: SLF001
            key = model._attribute_map[name]["key"].replace("\\", "")  # noqa: SLF001
            if rule.get("required") and key not in given:
                self.faults.append(f"{path}.{key}: is missing")
            if rule.get("readonly") and key in given and key not in {"name", "type"}:
                self.faults.append(f"{path}.{key}: is Azure's to say")

    def is_a(self, kind: Any, value: Any, path: str) -> bool:
        """Tell whether a value is of a type, and note it if not."""
        right = isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
        if not right:
            self.faults.append(f"{path}: {value!r} is of another type")
        return right


def from_yaml(file: Path) -> dict[str, Any]:
    """Read a group whose `${...}` are filled with something of the right form."""
    filled = defaultdict(lambda: "text", PORT="443")
    group: dict[str, Any] = yaml.safe_load(string.Template(file.read_text()).substitute(filled))
    return group


def from_bicep(file: Path) -> dict[str, Any]:
    """Read the group of a Bicep file, with variables in place of their names."""
    parsed = BicepParser().parse(text=file.read_text())
    variables = {name: variable["value"] for name, variable in parsed["variables"].items()}
    (group,) = [one["config"] for one in parsed["resources"].values() if one["type"] == KIND]
    resolved: dict[str, Any] = _resolved(group, variables, set(parsed["parameters"]))
    return resolved


def _resolved(value: Any, variables: dict[str, Any], parameters: set[str]) -> Any:
    """Give a value as the client would see it; a condition as the tuple of its sides."""
    if isinstance(value, list):
        return [_resolved(item, variables, parameters) for item in value]
    if isinstance(value, str) and value in variables:
        return _resolved(variables[value], variables, parameters)
    if not isinstance(value, dict):
        return ANYTHING if isinstance(value, str) and value in parameters else value
    if value.get("operator", {}).get("type") == "conditional":
        sides = value["operator"]["operands"]
        return tuple(_resolved(sides[side], variables, parameters) for side in ("true_value", "false_value"))
    if value.keys() & {"operator", "function"}:
        return ANYTHING
    return {key.strip("'"): _resolved(item, variables, parameters) for key, item in value.items()}


def main(files: list[str]) -> int:
    """Check the files; give the exit status."""
    wrong = 0
    for file in map(Path, files):
        check = Check()
        group = from_bicep(file) if file.suffix == ".bicep" else from_yaml(file)
        check.members(models.ContainerGroup, group, "group")
        for fault in check.faults:
            print(f"{file}: {fault}", file=sys.stderr)
        wrong += len(check.faults)
        print(f"{file}: {check.seen} properties of a container group, {len(check.faults)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
