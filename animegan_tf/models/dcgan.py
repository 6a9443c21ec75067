"""Generator and critic of the digital-art WGAN-GP, in the DCGAN manner.

Source: Radford et al. 2016, DCGAN (strided and transposed convolutions in place of pooling, batch norm, weights drawn
from N(0, 0.02)); Gulrajani et al. 2017, WGAN-GP (the critic).
"""

from __future__ import annotations

import keras
from keras import initializers, layers, ops

from animegan_tf.models.layers import Conv2DTranspose, ConvBlock, chain
from animegan_tf.models.network import Generator, Network


def _normal() -> initializers.Initializer:
    return initializers.RandomNormal(stddev=0.02)


def _settings() -> dict:
    return {"padding": "same", "kernel_initializer": _normal()}


def _norm() -> list[layers.Layer]:
    gamma = initializers.RandomNormal(mean=1.0, stddev=0.02)
    return [layers.BatchNormalization(momentum=0.98, gamma_initializer=gamma), layers.ReLU()]


def _down(filters: int, kernel_size: int = 4, strides: int = 2) -> list[layers.Layer]:
    return [layers.Conv2D(filters, kernel_size, strides, use_bias=False, **_settings()), *_norm()]


def _up(filters: int) -> list[layers.Layer]:
    return [Conv2DTranspose(filters, use_bias=False, kernel_initializer=_normal()), *_norm()]


@keras.saving.register_keras_serializable(package="animegan_tf")
class DCGANGenerator(Generator):
    """5,392,195 parameters at width w = 64. See `Generator` for input and output.

    Down: 7x7 w, then 4x4 of strides 2 to 2w (H/2), 4w (H/4) and 8w (H/8). Up: transposed 4x4 of strides 2 to 4w and 2w,
    and one without norm to RGB.

    Differs: DCGAN draws from noise. Here the photo is encoded, only three times halved, and the encoder's maps of H/4
    and H/2 are added to the decoder's, so that its content survives. Zero padding reaches no further than the margin.
    """

    published_width = 64
    size_multiple = 8
    margin = 24
    receptive_radius = 24

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.half = [*_down(w, 7, 1), *_down(2 * w)]
        self.quarter = _down(4 * w)
        self.eighth = _down(8 * w)
        self.up_quarter = _up(4 * w)
        self.up_half = _up(2 * w)
        self.to_rgb = Conv2DTranspose(3, kernel_initializer=_normal())

    def call(self, photo):
        half = chain(photo, self.half)
        quarter = chain(half, self.quarter)
        x = chain(quarter, self.eighth)
        x = chain(x, self.up_quarter) + quarter
        x = chain(x, self.up_half) + half
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


@keras.saving.register_keras_serializable(package="animegan_tf")
class DCGANCritic(Network):
    """image: [B, H, W, 3] float in [-1, 1], RGB -> scores: [B, H/8, W/8, 1], any real numbers, one per 46x46 patch.

    662,977 parameters at width w = 64.

    4x4 convolutions of strides 2 to w, 2w and 4w, LeakyReLU, and one of strides 1 to the scores; no sigmoid.

    Differs: no batch norm, which DCGAN has. WGAN-GP holds the gradient of *each* picture's score at 1, and batch
    norm makes a score depend on the other pictures of the batch. No spectral norm either: the penalty is the bound.
    """

    published_width = 64

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        strided = [ConvBlock(layers.Conv2D(n * self.width, 4, 2, **_settings())) for n in (1, 2, 4)]
        self.blocks = [*strided, layers.Conv2D(1, 4, **_settings())]

    def call(self, image):
        return chain(image, self.blocks)
