"""A process that stylizes one picture with one contestant, and ends: `python -m animegan_tf.benchmark.alone JSON`."""

from __future__ import annotations

import json
import sys

from animegan_tf.benchmark.contestants import Contestant
from animegan_tf.benchmark.runtimes import random_photo


def main(text: str) -> None:
    """Stylizes; `text`: {"contestant": its fields, "size": [height, width]}."""
    order = json.loads(text)
    Contestant(**order["contestant"]).load()(random_photo(*order["size"]))


if __name__ == "__main__":
    main(sys.argv[1])
