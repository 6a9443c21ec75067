"""A generator of any style by example: an encoder turns a style picture into a code, the code steers the decoder.

Ours, from parts of the literature: adaptive instance norm (Huang and Belongie 2017), a style encoder without instance
norm and a small network from the code to scales and shifts (MUNIT, Huang et al. 2018).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import initializers, layers, ops

from animegan_tf.models.layers import (
    ConditionedBlock,
    ConvBlock,
    InstanceNorm,
    PaddedConv2D,
    chain,
    leaky_relu,
    mean_by_axis,
)
from animegan_tf.models.network import Generator

CODE_SIZE = 64
"""Numbers in the code of a style picture."""
NOISE_SIZE = 16
"""Numbers in a draw of noise."""
_STYLE_SIZE = 128


@keras.saving.register_keras_serializable(package="animegan_tf")
class AdaptiveInstanceNorm(InstanceNorm):
    """Instance norm scaled and shifted by a style: [B, H, W, C], style [B, N] -> (x - mean) / sigma x (1 + a) + b.

    a, b: [B, C], a linear layer of the style.
    Source: Huang and Belongie 2017, equation 8; scale and shift from a learned layer as in MUNIT.

    Args:
      style_size: N.
    """

    def __init__(self, style_size: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(epsilon, **kwargs)
        self.style_size = style_size

    def build(self, input_shape):
        self.linear = layers.Dense(2 * input_shape[-1])
        self.linear.build((None, self.style_size))

    def call(self, x, style):
        scale, shift = ops.split(ops.cast(self.linear(style), "float32"), 2, axis=-1)
        return self._normalise(x, 1.0 + scale[:, None, None, :], shift[:, None, None, :])

    def get_config(self):
        return {**super().get_config(), "style_size": self.style_size}


@keras.saving.register_keras_serializable(package="animegan_tf")
class StyleEncoder(layers.Layer):
    """style: [B, H, W, 3] float in [-1, 1], RGB, H and W from 32 -> code [B, CODE_SIZE] float32.

    Convolutions down to 1/16, mean and deviation of every channel over the picture, a linear layer. No norm: it would
    take away the statistics that are the style.

    Args:
      width: channels of the first convolution.
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [_plain(width, 7), *(_plain(factor * width, strides=2) for factor in (2, 4, 4, 4))]
        self.linear = layers.Dense(CODE_SIZE)

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)
            input_shape = block.compute_output_shape(input_shape)
        self.linear.build((input_shape[0], 2 * input_shape[-1]))

    def call(self, style):
        features = ops.cast(chain(style, self.blocks), "float32")
        mean = mean_by_axis(features, (2, 1))
        centred = features - mean
        variance = mean_by_axis(centred * centred, (2, 1))
        # The root has no gradient at 0, which is where a flat picture is.
        statistics = ops.concatenate([mean, ops.sqrt(variance + 1e-5)], axis=-1)
        return ops.cast(self.linear(ops.reshape(statistics, (-1, statistics.shape[-1]))), "float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], CODE_SIZE)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def _plain(filters: int, kernel_size: int = 3, strides: int = 1) -> ConvBlock:
    return ConvBlock(_conv(filters, kernel_size, strides, use_bias=True))


def _normed(filters: int, kernel_size: int = 3, strides: int = 1) -> ConvBlock:
    return ConvBlock(_conv(filters, kernel_size, strides), InstanceNorm())


def _styled(filters: int, upsample: bool = False) -> ConditionedBlock:
    return ConditionedBlock(_conv(filters, upsample=upsample), AdaptiveInstanceNorm(_STYLE_SIZE))


def _conv(filters: int, kernel_size: int = 3, strides: int = 1, **settings) -> PaddedConv2D:
    padding = "same" if strides == 1 else "end"
    return PaddedConv2D(filters, kernel_size, strides, padding=padding, initializer=initializers.HeNormal(), **settings)


@keras.saving.register_keras_serializable(package="animegan_tf")
class StyleCodeGenerator(Generator):
    """About 1.9 million parameters at width 32, 0.4 of them the style encoder. See `Generator` for input and output.

    call(photo, code, noise): code [B, CODE_SIZE] from `encode`, or a blend of such; noise [B, NOISE_SIZE], normal or
    zeros. Code and noise together decide on scale and shift of every channel of the decoder.

    The skips come after instance norm and are added before adaptive norm: contours of the photo pass, but the mean
    and contrast of a channel are the style's.
    """

    published_width = 32
    size_multiple = 4
    streams = ("noise",)
    encodes_style = True

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.style_encoder = StyleEncoder(w)
        self.style = [layers.Dense(_STYLE_SIZE, kernel_initializer="he_normal") for _ in range(2)]
        self.stem = _normed(w, 7)
        self.down = [_normed(2 * w, strides=2), _normed(4 * w, strides=2)]
        self.content = _normed(4 * w)
        self.first = [_styled(4 * w) for _ in range(3)]
        self.second = [_styled(4 * w) for _ in range(3)]
        self.up = [_styled(2 * w, upsample=True), _styled(w, upsample=True)]
        self.to_rgb = PaddedConv2D(3, 7)

    @property
    def inputs_shape(self) -> dict[str, tuple[int, ...]]:
        return {"code": (CODE_SIZE,), "noise": (NOISE_SIZE,)}

    def build(self, input_shape):
        """Builds the style encoder, which `call` does not pass, and the rest."""
        if not self.built:
            self.style_encoder.build(input_shape)
        super().build(input_shape)

    def encode(self, style, training: bool = False):
        """Returns the code [B, CODE_SIZE] float32 of `style`: [B, H, W, 3] float in [-1, 1], RGB, at least 32 x 32."""
        return self.style_encoder(style, training=training)

    def condition(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Returns the code of the batch's anime pictures and its noise; gradients reach the style encoder by it."""
        return {"code": self.encode(batch["anime"], training=training), "noise": batch["noise"]}

    def call(self, photo, code, noise, training=False):
        style = ops.concatenate([code, noise], axis=-1)
        for dense in self.style:
            style = leaky_relu(dense(style))
        skips = [x := self.stem(photo)]
        skips.append(x := self.down[0](x))
        x = self.content(self.down[1](x))
        for first, second in zip(self.first, self.second, strict=True):
            x = second(first(x, style), style, skip=x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, style, skip=skip)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))
