"""Triton with the model behind it; its gateway is `gateway.py`.

The Triton that the package nvidia-pytriton brings has the Python backend only, so TensorFlow is called from Python,
by a function that Triton batches for.
"""

from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from work import BACKEND_PORT, CARD, load_model

model = load_model()


@batch
def infer(x: Any) -> Any:
    """Answer a batch."""
    return {"y": model(x)}


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=BACKEND_PORT,
        grpc_address="127.0.0.1",
        grpc_port=BACKEND_PORT + 1,
        metrics_address="127.0.0.1",
        metrics_port=BACKEND_PORT + 2,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="gru",
            infer_func=infer,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(CARD["window"], len(CARD["columns"])))],
            outputs=[Tensor(name="y", dtype=np.float32, shape=(CARD["horizon"],))],
            config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher(max_queue_delay_microseconds=1_000)),
            strict=False,
        )
        triton.serve()
