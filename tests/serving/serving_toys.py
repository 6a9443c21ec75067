"""Generators of two convolutions, one for each kind of style that can be served."""

from __future__ import annotations

from typing import ClassVar

import keras
from keras import layers, ops

from animegan_tf.models import Generator


class Plain(Generator):
    """tanh(conv(relu(conv(photo) + what each further input makes of it)))."""

    published_width = 4
    size_multiple = 4
    margin = 2
    sizes: ClassVar[dict[str, int]] = {}

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        self.stem, self.to_rgb = layers.Conv2D(self.width, 3, padding="same"), layers.Conv2D(3, 3, padding="same")
        self.added = {name: layers.Dense(self.width, use_bias=False) for name in self.sizes}

    @property
    def inputs_shape(self):
        return {name: (size,) for name, size in self.sizes.items()}

    def call(self, photo, training=False, **further):
        x = self.stem(photo)
        for name, values in further.items():
            x = x + self.added[name](values)[:, None, None, :]
        return ops.tanh(self.to_rgb(ops.relu(x)))


class Scenes(Plain):
    """A style is a row of a table."""

    sizes: ClassVar[dict[str, int]] = {"label": 3}


class Painter(Plain):
    """Follows the mean of what a convolution sees in a style picture."""

    sizes: ClassVar[dict[str, int]] = {"code": 5, "noise": 3}
    encodes_style = True

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        self.look = layers.Conv2D(5, 3, 2, activation="relu")

    def build(self, input_shape):
        self.look.build(input_shape)
        super().build(input_shape)

    def encode(self, image):
        return ops.mean(self.look(image), axis=(1, 2))


def build_toys() -> dict[str, Generator]:
    """Returns plain, scenes and painter, the same every time."""
    toys = {}
    for seed, kind in enumerate((Plain, Scenes, Painter)):
        keras.utils.set_random_seed(seed)
        toys[kind.__name__.lower()] = toy = kind()
        toy.build((1, 32, 32, 3))
    return toys
