"""Where the milliseconds of a request go: `python -m benchmarks.breakdown`, half a minute.

Starts a service of its own with `LASTGANG_SERVER_TIMING=true`, sends the sample week to `/predict/gru` over TLS, one
request at a time with keep-alive, and lays the header `Server-Timing` of the answers beside what the client waited.
Prints a Markdown table of medians, in milliseconds and in parts of the whole.
"""

import argparse
import os
import ssl
import statistics
import time

import httpx
from tqdm import tqdm

from benchmarks.latency import PASSWORD, PROJECT, service

TITLES = {
    "token": "token: signature, claims, user",
    "body": "body: multipart form to the bytes of the file",
    "read": "read: CSV to load profile, every check",
    "features": "features: eleven columns, scaling, window",
    "model": "model: TensorFlow, compiled by XLA",
    "answer": "answer: JSON",
    "framework": "the rest in the service: gate, audit line, event loop",
    "wire": "client, TLS and HTTP",
}


def stages(header: str) -> dict[str, float]:
    """Read a header: stage → milliseconds."""
    return {name: float(duration) for name, duration in (part.split(";dur=") for part in header.split(", "))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description="Where a request's time goes.")
    parser.add_argument("--requests", type=int, default=1_000, help="requests (1000), after 100 to warm up")
    given = parser.parse_args()
    os.environ["LASTGANG_SERVER_TIMING"] = "true"
    files = {"file": (PROJECT / "samples" / "week.csv").read_bytes()}
    found: dict[str, list[float]] = {name: [] for name in TITLES}
    waited = []
    with service() as (address, certificate, _, _):
        context = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=address, verify=context, timeout=30) as client:
            login = {"username": "admin", "password": PASSWORD}
            token = client.post("/token", data=login).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            request = client.build_request("POST", "/predict/gru", files=files)
            request.read()
            for turn in tqdm(range(given.requests + 100)):
                start = time.perf_counter()
                answer = client.send(request).raise_for_status()
                whole = 1_000 * (time.perf_counter() - start)
                if turn >= 100:  # noqa: PLR2004  # the first ones warm up
                    told = stages(answer.headers["Server-Timing"])
                    total = told.pop("total")
                    told |= {"framework": total - sum(told.values()), "wire": whole - total}
                    waited.append(whole)
                    for name, milliseconds in told.items():
                        found[name].append(milliseconds)
    whole = statistics.median(waited)
    print("| stage | ms | of the whole |\n|---|---:|---:|")
    for name, title in TITLES.items():
        median = statistics.median(found[name])
        print(f"| {title} | {median:.2f} | {median / whole:.0%} |")
    print(f"| what the client waited | {whole:.2f} | |")


if __name__ == "__main__":
    main()
