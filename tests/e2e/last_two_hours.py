"""A user's own model, made as a user would: it forecasts that the next two hours repeat the last two.

Run with the folder to make; it then holds a SavedModel and, once `python -m models.card` has added the digests
of the files, a whole card. Nothing of Lastgang is imported: a card is JSON, and this one begins as a copy of GRU's.
"""

import json
import sys
from pathlib import Path

NAME = "last-two-hours"
ABOUT_THE_GRU = ("training_data", "scores", "residual_quantiles", "intervals", "libraries")


def main(folder: Path, card_to_copy: Path) -> None:
    """Write the model and its card."""
    import tensorflow as tf  # noqa: PLC0415  # the tests import NAME from here, and need no TensorFlow for it

    week = tf.TensorSpec((None, 672, 7), tf.float32, name="load")
    module = tf.Module()
    module.forecast = tf.function(lambda load: load[:, -8:, 0], input_signature=[week])
    tf.saved_model.save(module, str(folder / "saved_model"), signatures={"serving_default": module.forecast})

    card = json.loads(card_to_copy.read_text(encoding="utf-8"))
    card = {member: value for member, value in card.items() if member not in ABOUT_THE_GRU}
    card |= {"name": NAME, "description": "The last two hours once more", "known_mean_kw": [0.5, 5000.0]}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
