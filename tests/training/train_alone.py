"""`python train_alone.py RECIPE...`: whole runs where nothing but Keras, JAX and what they need is installed.

`resume=RECIPE` goes on with the run in its folder, and `:N` at the end sets --max_steps.
"""

from __future__ import annotations

import importlib.abc
import sys
from dataclasses import replace

MISSING = ("tensorflow", "tensorboard", "skimage", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")


class _Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, _Missing())
    from toys import TOYS

    from animegan_tf.recipe_files import read_flagfile
    from animegan_tf.training.run import train

    for networks, toy in TOYS:
        networks["toy"] = toy
    for argument in sys.argv[1:]:
        path, _, last = argument.removeprefix("resume=").partition(":")
        resume = argument.startswith("resume=")
        outcome = train(replace(read_flagfile(path), resume=resume, max_steps=int(last or 0)))
        print(outcome.step, outcome.logs)
