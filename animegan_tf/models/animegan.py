"""AnimeGAN (version 1): generator with instance norm and depthwise separable convolutions.

Source: Chen et al. 2019, AnimeGAN: A Novel Lightweight GAN for Photo Animation; layer sizes from the published code.
"""

from __future__ import annotations

import keras
from keras import initializers, layers, ops

from animegan_tf.models.layers import ConvBlock, InstanceNorm, PaddedConv2D, chain, downsample_tf1
from animegan_tf.models.network import Generator


def _conv(filters: int, kernel_size: int = 3) -> ConvBlock:
    return ConvBlock(PaddedConv2D(filters, kernel_size), InstanceNorm())


@keras.saving.register_keras_serializable(package="animegan_tf")
class SeparableBlock(layers.Layer):
    """Depthwise 3x3, pointwise 1x1, instance norm (epsilon 1e-6), LeakyReLU; strides 2 pads bottom and right.

    With `upsample` the input is doubled first.
    """

    def __init__(self, filters: int, strides: int = 1, upsample: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.strides, self.upsample = filters, strides, upsample
        self.depthwise = PaddedConv2D(0, 3, strides, padding="same" if strides == 1 else "end", upsample=upsample)
        self.pointwise = ConvBlock(PaddedConv2D(filters, 1), InstanceNorm(epsilon=1e-6))

    def build(self, input_shape):
        self.depthwise.build(input_shape)
        self.pointwise.build(self.depthwise.compute_output_shape(input_shape))

    def call(self, x):
        return self.pointwise(self.depthwise(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides, "upsample": self.upsample}


@keras.saving.register_keras_serializable(package="animegan_tf", name="AnimeGANInvertedResidual")
class InvertedResidual(layers.Layer):
    """x + [1x1 to twice the channels, depthwise 3x3, 1x1 back], instance norm after each: [B, H, W, C] -> the same."""

    def build(self, input_shape):
        channels = input_shape[-1]
        self.expand = _conv(2 * channels, 1)
        small = initializers.TruncatedNormal(stddev=0.02)
        self.depthwise = ConvBlock(PaddedConv2D(0, 3, initializer=small), InstanceNorm())
        self.project = ConvBlock(PaddedConv2D(channels, 1), InstanceNorm(), activate=False)
        wide = (*input_shape[:-1], 2 * channels)
        for block, shape in ((self.expand, input_shape), (self.depthwise, wide), (self.project, wide)):
            block.build(shape)

    def call(self, x):
        return x + self.project(self.depthwise(self.expand(x)))

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANGenerator(Generator):
    """The published generator, 3,956,096 parameters at width 64. See `Generator` for input and output.

    The paper's figure gives the last up-sampling block 64 channels; the code, followed here, 128.
    """

    published_width = 64
    size_multiple = 4

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.b1 = [_conv(w), _conv(w)]
        self.b1_down = [SeparableBlock(2 * w, strides=2), SeparableBlock(2 * w)]
        self.b2 = [_conv(2 * w), SeparableBlock(2 * w)]
        self.b2_down = [SeparableBlock(4 * w, strides=2), SeparableBlock(4 * w)]
        self.middle = [_conv(4 * w), *(InvertedResidual() for _ in range(8)), _conv(4 * w)]
        self.u2 = [SeparableBlock(2 * w, upsample=True), SeparableBlock(2 * w), _conv(2 * w)]
        self.u1 = [SeparableBlock(2 * w, upsample=True), _conv(w), _conv(w)]
        self.to_rgb = PaddedConv2D(3, 1)

    def call(self, photo):
        x = _down(chain(photo, self.b1), self.b1_down)
        x = _down(chain(x, self.b2), self.b2_down)
        x = chain(x, [*self.middle, *self.u2, *self.u1])
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


def _down(x, branches):
    """Returns the sum of a strided and a subsampled separable block."""
    strided, subsampled = branches
    return strided(x) + subsampled(downsample_tf1(x))
