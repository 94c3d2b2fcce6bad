"""Write the secret parameters of main.bicep into a file that only you can read, so that none is on a command line.

In: a folder with tls.crt, tls.key, signing.key, first.password and database.password. Out: a JSON file for
`az deployment group create --parameters @FILE`. Refused: a missing or empty file, and an output that is there already.
It needs Python's standard library alone.
"""

import json
import os
import sys
from pathlib import Path

PARAMETERS = {
    "tlsCertificate": "tls.crt",
    "tlsKey": "tls.key",
    "signingKey": "signing.key",
    "firstPassword": "first.password",
    "databasePassword": "database.password",
}
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"


def main(folder: Path, target: Path) -> None:
    """Write the file, or end with a sentence."""
    try:
        texts = {name: (folder / file).read_text(encoding="utf-8").strip() for name, file in PARAMETERS.items()}
        if empty := [PARAMETERS[name] for name, text in texts.items() if not text]:
            sys.exit(f"{folder}: {', '.join(empty)} is empty")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{error}")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        parameters = {name: {"value": text} for name, text in texts.items()}
        json.dump({"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": parameters}, file)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit("usage: python parameters.py FOLDER FILE")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
