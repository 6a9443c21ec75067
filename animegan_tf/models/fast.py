"""A small generator with batch norm only: folds to plain convolutions at export, no image-wide statistics.

Ours, in the MobileNetV2 form of the mobile AnimeGANv2. It works at half and quarter resolution; the photo itself
joins the last convolution, so that fine lines and letters need not pass through the coarse maps.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from animegan_tf.models.layers import upsample_bilinear_tf1
from animegan_tf.models.network import Generator


def _conv_norm(filters: int, kernel_size: int = 3, strides: int = 1, activate: bool = True) -> list[layers.Layer]:
    conv = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")
    return [conv, layers.BatchNormalization(momentum=0.98), *([layers.ReLU(max_value=6.0)] if activate else [])]


def _chain(x, blocks, training):
    for block in blocks:
        x = block(x, training=training) if isinstance(block, layers.BatchNormalization | InvertedResidual) else block(x)
    return x


@keras.saving.register_keras_serializable(package="animegan_tf", name="FastInvertedResidual")
class InvertedResidual(layers.Layer):
    """x + [1x1 to twice the channels, depthwise 3x3, 1x1 back]: [B, H, W, C] -> the same, ReLU6 and batch norm."""

    def build(self, input_shape):
        channels = input_shape[-1]
        wide = (*input_shape[:-1], 2 * channels)
        self.expand = _conv_norm(2 * channels, 1)
        self.depthwise = [
            layers.DepthwiseConv2D(3, padding="same", use_bias=False, depthwise_initializer="he_normal"),
            layers.BatchNormalization(momentum=0.98),
            layers.ReLU(max_value=6.0),
        ]
        self.project = _conv_norm(channels, 1, activate=False)
        for chain, first, rest in ((self.expand, input_shape, wide), (self.depthwise, wide, wide)):
            chain[0].build(first)
            chain[1].build(rest)
        self.project[0].build(wide)
        self.project[1].build(input_shape)

    def call(self, x, training=False):
        return x + _chain(x, [*self.expand, *self.depthwise, *self.project], training)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="animegan_tf")
class FastGenerator(Generator):
    """About 90 thousand parameters and 0.5 GMAC at 256x256 at width 24. See `Generator` for input and output."""

    published_width = 24
    size_multiple = 4
    margin = 24

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.stem = _conv_norm(w, 5, strides=2)
        self.down = _conv_norm(2 * w, strides=2)
        self.middle = [InvertedResidual() for _ in range(6)]
        self.up = _conv_norm(w)
        self.refine = _conv_norm(w // 2)
        self.to_rgb = layers.Conv2D(3, 3, padding="same")

    def call(self, photo, training=False):
        half = _chain(photo, self.stem, training)
        x = _chain(half, [*self.down, *self.middle], training)
        x = _chain(upsample_bilinear_tf1(x), self.up, training)
        x = _chain(x + half, self.refine, training)
        x = ops.concatenate([upsample_bilinear_tf1(x), ops.cast(photo, x.dtype)], axis=-1)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))
