"""Who is measured: each peer's name, what it is, its environment and the commands that make it serve.

In a command `{port}`, `{backend_port}`, `{certificate}`, `{private_key}`, `{scratch}`, `{model}` and `{cores}` stand
for what the run gives. Every peer listens on `{port}` with TLS, and answers POST /predict/gru with the bare matrix.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
OTHERS = Path(__file__).parent / "others"
OURS = ("lastgang", "lastgang-one")
FLOORS = ("floor", "floor-processes")
TENSORFLOW_SERVING = "tensorflow-serving"

_UVICORN = (
    *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning", "--no-access-log"),
    *("--ssl-certfile", "{certificate}", "--ssl-keyfile", "{private_key}"),
)
_GATEWAY = (*_UVICORN, "gateway:app")
# A model server behind a gateway has its own process, so both cores are TensorFlow's by default, as everywhere here.
_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

# As pytriton's documentation asks where Python is not the system's own: Triton loads libpython.
_SHARED = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}


@dataclass(frozen=True)
class Peer:
    """One row of the tables.

    Attributes:
        name: for `--only`.
        title: for people.
        commands: what to run, each from its second word on: the first is the environment's Python, unless the command
            begins with a word that starts with a slash.
        environment: name of the requirements file; None is the project's own.
        variables: of the environment, for all its commands.
        packages: whose versions are told.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    environment: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def lineup(tensorflow_serving: Path | None = None) -> list[Peer]:
    """List all peers in the order of the tables; TensorFlow Serving only if its binary is given."""
    return [
        Peer("lastgang", "**Lastgang**, a worker for each core (the default)", (("-m", "scripts.launch"),)),
        Peer(
            "lastgang-one", "**Lastgang**, one worker", (("-m", "scripts.launch"),), variables={"LASTGANG_WORKERS": "1"}
        ),
        Peer("floor", "floor: bare Starlette, one process", ((*_UVICORN, "floor:app"),)),
        Peer(
            "floor-processes",
            "floor: bare Starlette, a process for each core",
            ((*_UVICORN, "--workers", "{cores}", "floor:app"),),
            variables=_ONE_THREAD,
        ),
        *_in_process(),
        *_bentoml(),
        *_behind_a_gateway(tensorflow_serving),
        *_with_batches(),
    ]


def _in_process() -> list[Peer]:
    versions = ("fastapi", "uvicorn", "keras")
    return [
        Peer(
            "fastapi-predict",
            "FastAPI and Keras `predict`",
            ((*_UVICORN, "fastapi_app:app"),),
            "fastapi",
            {"PEER_CALL": "predict"},
            versions,
        ),
        Peer(
            "fastapi-signature",
            "FastAPI and the SavedModel's signature",
            ((*_UVICORN, "fastapi_app:app"),),
            "fastapi",
            {"PEER_CALL": "signature"},
            versions,
        ),
        Peer(
            "fastapi-processes",
            "FastAPI and the signature, a process for each core",
            ((*_UVICORN, "--workers", "{cores}", "fastapi_app:app"),),
            "fastapi",
            {"PEER_CALL": "signature"} | _ONE_THREAD,
            versions,
        ),
    ]


def _bentoml() -> list[Peer]:
    own = {"BENTOML_HOME": "{scratch}", "BENTOML_DO_NOT_TRACK": "True"}
    gateway = own | {"PEER_BACKEND": "bentoml"}

    def serve(service: str, port: str) -> tuple[str, ...]:
        command = ("-m", "bentoml", "serve", f"bentoml_service:{service}")
        return (*command, "--host", "127.0.0.1", "--port", port, "--working-dir", str(OTHERS))

    return [
        Peer(
            "bentoml-in-process",
            "BentoML and the signature, a process for each core",
            (serve("InProcess", "{port}"),),
            "bentoml",
            own | _ONE_THREAD,
            ("bentoml",),
        ),
        Peer(
            "bentoml",
            "the thesis's BentoML design: gateway, then BentoML",
            (serve("Gru", "{backend_port}"), _GATEWAY),
            "bentoml",
            gateway,
            ("bentoml", "fastapi"),
        ),
        Peer(
            "bentoml-batching",
            "gateway, then BentoML with adaptive batching",
            (serve("GruInBatches", "{backend_port}"), _GATEWAY),
            "bentoml",
            gateway,
            ("bentoml", "fastapi"),
        ),
    ]


def _behind_a_gateway(tensorflow_serving: Path | None) -> list[Peer]:
    triton = ("triton_server.py",)
    mlserver = ("mlserver_runtime.py",)
    peers = [
        Peer(
            "triton",
            "the thesis's Triton design: gateway, then Triton",
            (triton, _GATEWAY),
            "triton",
            {"PEER_BACKEND": "triton", **_SHARED},
            ("nvidia-pytriton", "fastapi"),
        ),
        Peer(
            "triton-binary",
            "gateway, then Triton with binary tensors",
            (triton, _GATEWAY),
            "triton",
            {"PEER_BACKEND": "triton-binary", **_SHARED},
            ("nvidia-pytriton", "tritonclient", "fastapi"),
        ),
        Peer("mlserver", "MLServer, custom endpoint", (mlserver,), "mlserver", {}, ("mlserver",)),
        Peer(
            "mlserver-batching",
            "gateway, then MLServer with adaptive batching",
            (mlserver, _GATEWAY),
            "mlserver",
            {"PEER_BATCH": "32", "PEER_BACKEND": "mlserver"},
            ("mlserver", "fastapi"),
        ),
    ]
    if tensorflow_serving:
        server = (
            str(tensorflow_serving.resolve()),
            *("--rest_api_port={backend_port}", "--port=0", "--model_name=gru", "--model_base_path={versions}"),
        )
        serving = {"PEER_BACKEND": TENSORFLOW_SERVING}
        title = "the thesis's third design: gateway, then TensorFlow Serving"
        peers.insert(0, Peer(TENSORFLOW_SERVING, title, (server, _GATEWAY), "bentoml", serving, ("fastapi",)))
    return peers


def _with_batches() -> list[Peer]:
    batches = {"PEER_BATCH": "32"}
    return [
        Peer("litserve", "LitServe", (("litserve_app.py",),), "litserve", {}, ("litserve",)),
        Peer("litserve-batching", "LitServe, batches", (("litserve_app.py",),), "litserve", batches, ("litserve",)),
        Peer("ray", "Ray Serve", (("ray_app.py",),), "ray", {}, ("ray",)),
        Peer("ray-batching", "Ray Serve, `@serve.batch`", (("ray_app.py",),), "ray", batches, ("ray",)),
    ]
