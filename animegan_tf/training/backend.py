"""Which Keras backend trains: TensorFlow, the default, or JAX. Nothing here loads Keras before it is known which."""

from __future__ import annotations

import os
import random

import numpy as np

from animegan_tf.errors import ConfigError, needs_extra
from animegan_tf.native import chosen_backend, load_tensorflow


def load_backend() -> str:
    """Loads the chosen backend, quietly, and returns its name.

    Raises:
      MissingExtraError: it is not installed. ConfigError: it is one that does not train.
    """
    name = chosen_backend()
    if name == "tensorflow":
        load_tensorflow("Training")
    elif name == "jax":
        with needs_extra("jax", "jax", "jax", "Training under KERAS_BACKEND=jax"):
            import jax  # noqa: F401
    else:
        raise ConfigError(f"Training runs on TensorFlow or JAX, not on {name}: set KERAS_BACKEND=tensorflow or jax.")
    return name


def seed_backend(seed: int) -> None:
    """Seeds what draws the initial weights."""
    import keras

    if chosen_backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    # Keras's own would load TensorFlow where it is installed. Initializers take their seeds from Python's generator.
    random.seed(seed)
    np.random.seed(seed)


def describe_device() -> str:
    """Returns what the steps run on: '1 GPU' or 'CPU, 8 cores', and the backend's name where it is not TensorFlow."""
    if chosen_backend() == "tensorflow":
        import tensorflow as tf

        gpus, note = len(tf.config.list_physical_devices("GPU")), ""
    else:
        import jax

        gpus, note = sum(device.platform == "gpu" for device in jax.devices()), " under JAX"
    return (f"{gpus} GPU" if gpus else f"CPU, {os.cpu_count()} cores") + note
