"""The trained generator of a run folder."""

from __future__ import annotations

from pathlib import Path

import keras

from animegan_tf.config import TrainConfig
from animegan_tf.errors import CheckpointError, ConfigError
from animegan_tf.models import Generator, build_generator, load_weights
from animegan_tf.recipe_files import read_flagfile


def load_run(run_dir: Path, step: int = 0) -> tuple[TrainConfig, Generator, int]:
    """Returns the run's recipe, its generator in float32 (averaged, where the run averages), and the step it is from.

    Args:
      run_dir: folder that training wrote.
      step: checkpoint to take; 0 for the newest.

    Raises:
      ConfigError: no run there. CheckpointError: no such checkpoint, or weights of another network.
    """
    recipe = run_dir / "recipe.flags"
    if not recipe.is_file():
        raise ConfigError(f"--run_dir={run_dir} is not a run folder: it has no recipe.flags.")
    config = read_flagfile(recipe)
    path = _weights_path(run_dir, step)
    keras.mixed_precision.set_global_policy("float32")
    generator = build_generator(config.generator, config.generator_width, **config.network_settings)
    load_weights(generator, path, f"{path} does not fit the generator of {recipe}")
    return config, generator, int(path.parent.name.removeprefix("step-"))


def _weights_path(run_dir: Path, step: int) -> Path:
    found = sorted((run_dir / "checkpoints").glob("step-*[0-9]/generator.weights.h5"))
    if step:
        found = [path for path in found if path.parent.name == f"step-{step:08d}"]
    if not found:
        wanted = f"checkpoint of step {step}" if step else "checkpoint"
        raise CheckpointError(f"--run_dir={run_dir} holds no {wanted}.")
    return found[-1]
