"""Write what is in an image as a software bill of materials: CycloneDX 1.6, JSON.

In: the name of a built image. Out: a file with every Python package, every Debian package, the interpreter and the
models, read from the image itself and not from what should be in it; it is checked against the schema of CycloneDX.

Usage: python -m scripts.sbom IMAGE FILE
"""

import json
import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# BentoML's names of what builds images; of them only these two can also run one.
ENGINE = "podman" if os.environ.get("BENTOML_CONTAINERIZE_BACKEND") in {"buildah", "podman"} else "docker"
WHAT_TELLS = """
cd / && python -c 'import platform; print(platform.python_version())' > /tmp/python-version
exec tar -cf - tmp/python-version usr/lib/os-release var/lib/dpkg/status \
  opt/lastgang/lib/python*/site-packages/*.dist-info opt/bento/models/*/*/card.json
"""


def main(image: str, file: str) -> int:
    """Write the file; return the exit status."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _take_out(image, root)
        bill = _python_packages(root)
        bill["components"] += [*_interpreter(root), *_debian_packages(root), *_models(root)]
    text = json.dumps(bill, indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"The SBOM does not follow its schema: {wrong}")
    Path(file).write_text(text + "\n", encoding="utf-8")
    return 0


def _take_out(image: str, root: Path) -> None:
    """Copy the files that tell what is in an image into a folder, at their own paths."""
    run = [ENGINE, "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", WHAT_TELLS]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as reading:
        with tarfile.open(fileobj=reading.stdout, mode="r|") as archive:
            archive.extractall(root, filter="data")
        if reading.wait():
            sys.exit(f"{image} does not tell what is in it.")


def _python_packages(root: Path) -> dict[str, Any]:
    """Return the bill of the Python packages: that of an environment that holds only their metadata."""
    venv.create(root / "environment", with_pip=False)
    (metadata,) = root.glob("opt/lastgang/lib/python*/site-packages")
    (packages,) = root.glob("environment/lib/python*/site-packages")
    packages.rmdir()
    metadata.rename(packages)
    tool = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", "pyproject.toml", "--sv", "1.6"]
    listed = subprocess.run([*tool, str(root / "environment")], check=True, capture_output=True)
    return dict(json.loads(listed.stdout))


def _interpreter(root: Path) -> Iterator[dict[str, Any]]:
    version = (root / "tmp/python-version").read_text(encoding="utf-8").strip()
    yield _component("platform", "python", version, f"pkg:generic/python@{version}")


def _debian_packages(root: Path) -> Iterator[dict[str, Any]]:
    system = dict(line.split("=", 1) for line in (root / "usr/lib/os-release").read_text(encoding="utf-8").splitlines())
    release = f"{system['ID']}-{system['VERSION_ID']}".replace('"', "")
    for entry in (root / "var/lib/dpkg/status").read_text(encoding="utf-8").strip().split("\n\n"):
        said = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
        if said["Status"].endswith(" installed"):
            name, version, architecture = said["Package"], said["Version"], said["Architecture"]
            where = version.replace(":", "%3A").replace("+", "%2B")
            url = f"pkg:deb/debian/{name.replace('+', '%2B')}@{where}?arch={architecture}&distro={release}"
            yield _component("library", name, version, url)


def _models(root: Path) -> Iterator[dict[str, Any]]:
    for card in sorted(root.glob("opt/bento/models/*/*/card.json")):
        version, name = card.parent.name, card.parent.parent.name
        yield _component("machine-learning-model", name, version, f"pkg:generic/lastgang-model-{name}@{version}")


def _component(kind: str, name: str, version: str, url: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
