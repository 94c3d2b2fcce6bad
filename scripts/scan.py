"""What scanners say of the program and of the packages that it ships with; called by `scripts/scan`.

Comes in: the code, and `requirements.lock`. Goes out: what was found, and how much could not be looked up. Exit status:
0 nothing was found, 1 something was, 2 a scanner did not run. What is excepted stands in `EXCEPTED` and in
`[tool.bandit]` of pyproject.toml, each with its reason; SECURITY.md repeats none of them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from config import PROJECT

LOCK = PROJECT / "requirements.lock"
EXCEPTED: Mapping[str, str] = {}  # advisory → why it does not concern the service, and until when this was argued


class ScannerFailed(Exception):
    """A scanner did not do its work; the message is its own."""


def weaknesses(paths: Sequence[str]) -> list[str]:
    """Let bandit look through files and folders, and return a line for each thing that it found."""
    command = ["-m", "bandit", "--quiet", "--recursive", "--format", "json", "--configfile", "pyproject.toml", *paths]
    report = _json(command)
    if report["errors"]:
        raise ScannerFailed("; ".join(f"{one['filename']}: {one['reason']}" for one in report["errors"]))
    return [
        f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_severity'].lower()}: {one['issue_text']}"
        for one in report["results"]
    ]


def advisories(lock: str, options: Sequence[str] = ()) -> Mapping[str, Any]:
    """Let pip-audit look up each package of a lock, without installing any, and return its report."""
    return _json(["-m", "pip_audit", "--requirement", lock, "--no-deps", "--disable-pip", "--format", "json", *options])


def judged(report: Mapping[str, Any], excepted: Mapping[str, str]) -> tuple[list[str], list[str], int]:
    """Read pip-audit's report.

    Returns:
        A line for each advisory that is not excepted, the names that could not be looked up, and how many packages
        there are.
    """
    packages = report["dependencies"]
    known = [
        f"{one['name']} {one['version']}: {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'no version yet'}"
        for one in packages
        for vuln in one.get("vulns", ())
        if not excepted.keys() & {vuln["id"], *vuln.get("aliases", ())}
    ]
    return known, [one["name"] for one in packages if "skip_reason" in one], len(packages)


def _json(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, *command], cwd=PROJECT, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise ScannerFailed(done.stderr.strip() or f"{command[1]} ended with {done.returncode}") from None
    return report


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/scan",
        description="Scan what ships: the code with bandit, the locked packages for known advisories with pip-audit.",
        epilog="Advisories are looked up at the package index; one that carries none says so for each package.",
    )
    parser.add_argument("paths", nargs="*", help="code to scan; default: all that ships, and scripts/")
    parser.add_argument("--lock", default=str(LOCK), help="packages to look up; default: requirements.lock")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Scan, and print what was found."""
    given = _parse(argv)
    packages = sorted(path.parent.name for path in PROJECT.glob("*/__init__.py"))
    modules = sorted(path.name for path in PROJECT.glob("*.py"))
    paths = given.paths or [*modules, *(name for name in packages if name != "benchmarks"), "scripts"]
    try:
        weak = weaknesses(paths)
        known, unknown, count = judged(advisories(given.lock), EXCEPTED)
    except ScannerFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in (*weak, *known):
        print(line)
    print(f"bandit: {len(weak)} findings in {', '.join(paths)}")
    print(f"pip-audit: {len(known)} advisories for {count} packages, {len(EXCEPTED)} excepted", end="")
    print(f"; {len(unknown)} could not be looked up, as this package index carries no advisories" if unknown else "")
    return 1 if weak or known else 0


if __name__ == "__main__":
    raise SystemExit(main())
