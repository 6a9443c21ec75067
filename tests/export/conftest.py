"""Fixtures of the export tests: run folders with networks of random but trained-looking weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def _shake(generator) -> None:
    """Moves norms and kernels of zeros off their neutral start, so that a file that loses one differs."""
    random = np.random.default_rng(0)
    for variable in generator.variables:
        neutral = variable.path.endswith("kernel") and not np.any(variable)
        if neutral or variable.path.endswith(("gamma", "beta", "moving_mean")):
            variable.assign_add(random.normal(0, 0.1, variable.shape))


@pytest.fixture(scope="session")
def new_generator() -> Callable:
    """Returns new_generator(system, width, **settings) -> a generator whose norms are off their neutral start."""
    import keras

    from animegan_tf.models import build_generator

    def build(system: str, width: int = 8, **settings):
        keras.utils.set_random_seed(1)
        generator = build_generator(system, width, **settings)
        _shake(generator)
        return generator

    return build


@pytest.fixture(scope="session")
def write_run(new_generator) -> Callable:
    """Returns write_run(folder, system, width, classes=(), step=7) -> the network whose run folder it wrote."""
    from animegan_tf.config import TrainConfig
    from animegan_tf.options import to_flagfile

    def write(folder: Path, system: str, width: int, classes: tuple[str, ...] = (), step: int = 7):
        config = TrainConfig(recipe="test_recipe", generator=system, generator_width=width, classes=classes)
        generator = new_generator(system, width, **config.network_settings)
        checkpoint = folder / f"checkpoints/step-{step:08d}"
        checkpoint.mkdir(parents=True)
        generator.save_weights(checkpoint / "generator.weights.h5")
        (folder / "recipe.flags").write_text(to_flagfile(config))
        return generator

    return write
