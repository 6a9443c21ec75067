"""AnimeGANv2: generator with layer norm over H, W, C, and its lite variant with additive skips.

Source: Chen et al. 2020, AnimeGANv2; layer sizes from the published code (net/generator.py, net/generator_lite.py).
"""

from __future__ import annotations

import keras
from keras import initializers, layers, ops

from animegan_tf.models.layers import ConvBlock, LayerNorm, PaddedConv2D, chain
from animegan_tf.models.network import Generator


def fan_in() -> initializers.Initializer:
    """Returns contrib's variance_scaling_initializer(): factor 2, fan in, truncated normal."""
    return initializers.VarianceScaling(scale=2.0, mode="fan_in", distribution="truncated_normal")


def conv_block(filters: int, kernel_size: int = 3, strides: int = 1, *, upsample: bool = False) -> ConvBlock:
    """Returns convolution, layer norm over H, W, C, LeakyReLU: [B, H, W, C] -> [B, H/strides, W/strides, filters].

    With `upsample` the input is doubled first.
    """
    padding = "same" if strides == 1 else "end"
    conv = PaddedConv2D(filters, kernel_size, strides, padding=padding, upsample=upsample, initializer=fan_in())
    return ConvBlock(conv, LayerNorm())


@keras.saving.register_keras_serializable(package="animegan_tf", name="AnimeGANv2InvertedResidual")
class InvertedResidual(layers.Layer):
    """1x1 to twice the channels, depthwise 3x3 with bias, 1x1 to `filters`; the input is added where C == filters."""

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        channels = input_shape[-1]
        self.adds_input = channels == self.filters
        self.expand = conv_block(2 * channels, 1)
        self.depthwise = ConvBlock(PaddedConv2D(0, 3, use_bias=True, initializer=fan_in()), LayerNorm())
        self.project = ConvBlock(PaddedConv2D(self.filters, 1, initializer=fan_in()), LayerNorm(), activate=False)
        wide = (*input_shape[:-1], 2 * channels)
        for block, shape in ((self.expand, input_shape), (self.depthwise, wide), (self.project, wide)):
            block.build(shape)

    def call(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds_input else y

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANv2Generator(Generator):
    """The published generator, 2,143,552 parameters at width 32. See `Generator` for input and output."""

    published_width = 32
    size_multiple = 4

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.a = [conv_block(w, 7), conv_block(2 * w, strides=2), conv_block(2 * w)]
        self.b = [conv_block(4 * w, strides=2), conv_block(4 * w)]
        self.c = [conv_block(4 * w), *(InvertedResidual(8 * w) for _ in range(4)), conv_block(4 * w)]
        self.d = [conv_block(4 * w, upsample=True), conv_block(4 * w)]
        self.e = [conv_block(2 * w, upsample=True), conv_block(2 * w), conv_block(w, 7)]
        self.to_rgb = PaddedConv2D(3, 1, initializer=fan_in())

    def call(self, photo):
        x = chain(photo, [*self.a, *self.b, *self.c, *self.d, *self.e])
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


@keras.saving.register_keras_serializable(package="animegan_tf")
class Bottleneck(layers.Layer):
    """x + [1x1 to a quarter of the channels, 3x3, 1x1 back without norm]: [B, H, W, C] -> the same."""

    def build(self, input_shape):
        channels = input_shape[-1]
        self.reduce, self.conv = conv_block(channels // 4, 1), conv_block(channels // 4)
        self.restore = PaddedConv2D(channels, 1, initializer=fan_in())
        narrow = (*input_shape[:-1], channels // 4)
        for block, shape in ((self.reduce, input_shape), (self.conv, narrow), (self.restore, narrow)):
            block.build(shape)

    def call(self, x):
        return x + self.restore(self.conv(self.reduce(x)))

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANv2LiteGenerator(Generator):
    """The lite generator, 698,240 parameters at width 32; its weights were never published. See `Generator`."""

    published_width = 32
    size_multiple = 8

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.stem = conv_block(w, 7)
        self.down1 = [conv_block(w, strides=2), conv_block(2 * w)]
        self.down2 = [conv_block(2 * w, strides=2), conv_block(4 * w)]
        self.down3 = [conv_block(2 * w, strides=2), conv_block(4 * w)]
        self.middle = [Bottleneck() for _ in range(4)]
        self.up2 = [conv_block(4 * w, upsample=True), conv_block(2 * w)]
        self.up1 = [conv_block(2 * w, upsample=True), conv_block(w)]
        self.up0 = [conv_block(w, upsample=True), conv_block(w, 7)]
        self.to_rgb = PaddedConv2D(3, 1, initializer=fan_in())

    def call(self, photo):
        x0 = self.stem(photo)
        x1 = chain(x0, self.down1)
        x2 = chain(x1, self.down2)
        x = chain(chain(x2, self.down3), self.middle)
        for skip, (first, second) in ((x2, self.up2), (x1, self.up1), (x0, self.up0)):
            x = second(first(x) + skip)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))
