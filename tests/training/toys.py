"""Toy networks of two convolutions and trainers of them, for the tests and for the programs that tests start.

Tracing is what a short run costs, and it grows with the number of variables: the real networks are trained one step
each by the test over all recipes.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from animegan_tf.config import TrainConfig
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator
from animegan_tf.models.layers import SpectralConv2D
from animegan_tf.models.network import Generator, Network
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.training.backend import seed_backend
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


TOYS = ((GENERATORS, ToyGenerator), (DISCRIMINATORS, ToyDiscriminator))


def toy_trainer(config: TrainConfig, objective: Callable[..., Objective] = Objective) -> Trainer:
    """Returns a compiled trainer of networks of width 4, seeded by the configuration."""
    seed_backend(config.seed)
    plan = make_plan(config, 4)
    settings = config.network_settings
    trainer = Trainer(
        generator=build_generator(config.generator, 4, **settings),
        discriminator=build_discriminator(config.discriminator, 4, **settings) if config.adversarial else None,
        averaged=build_generator(config.generator, 4, **settings) if config.ema_decay else None,
        objective=objective(config, build_vgg19(feature_names(config), "random")),
    )
    trainer.compile(optimizer=lambda side: build_optimizer(config, side, plan, trainer.step))
    return trainer
