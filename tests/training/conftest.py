"""A tiny configuration and trainer: 32 px pictures, toy networks of two convolutions, random VGG19 up to block1.

Tracing is what a short run costs, and it grows with the number of variables: the real networks are trained one step
each by the test over all recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from animegan_tf.config import TrainConfig, list_recipes, read_flagfile
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator
from animegan_tf.models.layers import SpectralConv2D
from animegan_tf.models.network import Generator, Network
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.training.objective import Objective, feature_names
from animegan_tf.training.phases import build_optimizer, make_plan
from animegan_tf.training.trainer import Trainer


class ToyGenerator(Generator):
    """Two convolutions with batch norm between: every kind of variable a generator can have."""

    published_width, size_multiple = 4, 8

    def __init__(self, width=0, **kwargs):
        super().__init__(width, **kwargs)
        self.first = keras.layers.Conv2D(self.width, 3, padding="same")
        self.norm = keras.layers.BatchNormalization()
        self.last = keras.layers.Conv2D(3, 3, padding="same")

    def call(self, photo, training=False):
        return keras.ops.tanh(self.last(keras.ops.relu(self.norm(self.first(photo), training=training))))


class ToyDiscriminator(Network):
    """Two spectral convolutions."""

    published_width = 4

    def __init__(self, width=0, **kwargs):
        super().__init__(width, **kwargs)
        self.first, self.last = SpectralConv2D(self.width, 3, 2, padding="start"), SpectralConv2D(1, 3)

    def call(self, image, training=False):
        return self.last(keras.ops.relu(self.first(image, training=training)), training=training)


@pytest.fixture
def toy_networks(monkeypatch) -> None:
    """Registers both as 'toy': a new system is one class and one line."""
    monkeypatch.setitem(GENERATORS, "toy", ToyGenerator)
    monkeypatch.setitem(DISCRIMINATORS, "toy", ToyDiscriminator)


@pytest.fixture
def tiny_config(toy_networks, picture_dirs, tmp_path) -> TrainConfig:
    """Returns the smoke recipe on tiny pictures and toy networks with VGG19 up to block1, one epoch of each phase."""
    photo_dir, style_dir = picture_dirs
    return replace(
        read_flagfile(list_recipes()["smoke"]),
        generator="toy",
        discriminator="toy",
        content_layer="block1_conv2",
        vgg19_weights="random",
        photo_dir=str(photo_dir),
        style_dir=str(style_dir),
        run_dir=str(tmp_path / "run"),
        sample_every=0,
    )


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Returns a batch of two random pictures of each stream, [2, 32, 32, 3] float32 in [-1, 1]."""
    random = np.random.default_rng(3)
    anime = random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    gray = np.repeat(anime.mean(-1, keepdims=True), 3, axis=-1)
    photo = random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    return {"photo": photo, "anime": anime, "anime_gray": gray, "anime_smooth": gray * 0.5}


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    """Returns a function config -> compiled Trainer, its networks seeded alike each time."""

    def make(config: TrainConfig) -> Trainer:
        keras.utils.set_random_seed(config.seed)
        plan = make_plan(config, 4)
        settings = config.network_settings
        trainer = Trainer(
            generator=build_generator(config.generator, 4, **settings),
            discriminator=build_discriminator(config.discriminator, 4, **settings) if config.adversarial else None,
            averaged=build_generator(config.generator, 4, **settings) if config.ema_decay else None,
            objective=Objective(config, build_vgg19(feature_names(config), "random")),
        )
        trainer.compile(optimizer=lambda side: build_optimizer(config, side, plan, trainer.step))
        return trainer

    return make
