"""The mobile AnimeGANv2, and what the project's own fast generator shares with it: batch norm only, MobileNetV2's form.

It folds to plain convolutions at export. Without image-wide statistics a pixel depends on its neighbourhood alone:
tiles equal the whole picture, and frames of a video do not flicker.

Source: Sandler et al. 2018, MobileNetV2 (inverted residuals); Woo et al. 2018, CBAM (spatial attention).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import keras
from keras import layers, ops

from animegan_tf.errors import ConfigError, UnknownNameError
from animegan_tf.models.bounds import BoundedReLU
from animegan_tf.models.layers import Conv2DTranspose, ConvBlock, SpectralConv2D, chain, upsample_bilinear_tf1
from animegan_tf.models.network import Generator, Network

_MOMENTUM = 0.98
_RENORM_CLIPPING = {"rmin": 1 / 3, "rmax": 3.0, "dmax": 5.0}  # the paper's in the end; from the start here
_RENORM_STATE = ("moving_stddev", "renorm_mean", "renorm_stddev")


def conv_norm(
    filters: int, kernel_size: int = 3, strides: int = 1, activate: bool = True, bound: float = 6.0
) -> list[layers.Layer]:
    """Returns a convolution without bias, its norm, and unless `activate` is off ReLU up to `bound`."""
    conv = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")
    return [conv, *_norm(activate, bound)]


def _norm(activate: bool = True, bound: float = 6.0) -> list[layers.Layer]:
    """Batch renormalisation (Ioffe 2017): it trains with the running statistics that it will have in use.

    Plain batch norm would have to be frozen for that long before the end, and with nothing to hold their scale the
    maps then outgrow ReLU6 one after the other, until a network that was to draw does no more than tint.
    """
    norm = layers.BatchNormalization(
        momentum=_MOMENTUM, renorm=True, renorm_momentum=_MOMENTUM, renorm_clipping=_RENORM_CLIPPING
    )
    return [norm, *([BoundedReLU(max_value=bound)] if activate else [])]


def _build(blocks: list[layers.Layer], shape) -> tuple:
    """Builds the layers one after the other from `shape`; returns the shape of what comes out."""
    for block in blocks:
        block.build(shape)
        shape = block.compute_output_shape(shape)
    return shape


@keras.saving.register_keras_serializable(package="animegan_tf")
class SpatialAttention(layers.Layer):
    """x * sigmoid(7x7 convolution of [mean, maximum] over the channels): [B, H, W, C] -> the same, zero padding.

    Source: Woo et al. 2018, equation 3.

    Args:
      spectral: the convolution has spectral norm and no bias, for discriminators.
    """

    def __init__(self, spectral: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.spectral = spectral
        self.conv = SpectralConv2D(1, 7) if spectral else layers.Conv2D(1, 7, padding="same")

    def build(self, input_shape):
        self.conv.build((*input_shape[:-1], 2))

    def call(self, x, training=False):
        pooled = [ops.mean(x, axis=-1, keepdims=True), _largest(x, training)]
        return x * ops.sigmoid(self.conv(ops.concatenate(pooled, axis=-1)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "spectral": self.spectral}


def _largest(x, training: bool):
    """Returns the maximum over the channels of [B, H, W, C], kept as a side of 1.

    Where it is trained, by its place: the gradient of a maximum looks for the values equal to it, and XLA may have
    computed those a second time and rounded them otherwise. None is equal then, and the gradient is 0 / 0.
    """
    if not training:
        return ops.max(x, axis=-1, keepdims=True)
    return ops.sum(x * ops.one_hot(ops.argmax(x, axis=-1), x.shape[-1], dtype=x.dtype), axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="animegan_tf", name="MobileInvertedResidual")
class InvertedResidual(layers.Layer):
    """x + [1x1 to `expanded` channels, depthwise 3x3, 1x1 back]: [B, H, W, C] -> the same, ReLU6 and batch norm.

    Args:
      attention: the branch ends in a spatial attention module, before the sum.
      expanded: channels inside the branch; 0: 2 C.

    watch: None, or called with the channels inside of every picture, [B, H, W, expanded], before they are projected.
    """

    def __init__(self, attention: bool = False, expanded: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.expanded = attention, expanded
        self.watch: Callable | None = None

    def build(self, input_shape):
        channels = input_shape[-1]
        depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False, depthwise_initializer="he_normal")
        self.expand = conv_norm(self.expanded or 2 * channels, 1)
        self.depthwise = [depthwise, *_norm()]
        self.project = conv_norm(channels, 1, activate=False)
        self.attend = [SpatialAttention()] if self.attention else []
        _build([*self.expand, *self.depthwise, *self.project, *self.attend], input_shape)

    def call(self, x):
        inside = chain(x, [*self.expand, *self.depthwise])
        if self.watch is not None:
            self.watch(inside)
        return x + chain(inside, [*self.project, *self.attend])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "attention": self.attention, "expanded": self.expanded}


class ResidualGenerator(Generator):
    """A generator with inverted residuals, whose inner channels can be pruned; see compression/prune.py.

    Args:
      expanded: channels inside each inverted residual, in order; (): twice those around it.
    """

    takes: ClassVar[tuple[str, ...]] = ("expanded",)
    block_count: ClassVar[int]
    attention: ClassVar[bool] = False

    def __init__(self, width: int = 0, *, expanded: Sequence[int] = (), **kwargs):
        super().__init__(width, **kwargs)
        self.expanded = tuple(expanded)
        if self.expanded and len(self.expanded) != self.block_count:
            raise ConfigError(
                f"--expanded={','.join(map(str, self.expanded))} has {len(self.expanded)} numbers of channels, "
                f"and this generator has {self.block_count} inverted residuals."
            )

    @property
    def inference_variables(self) -> list:
        return [variable for variable in self.variables if variable.name not in _RENORM_STATE]

    @property
    def blocks(self) -> list[InvertedResidual]:
        """The inverted residuals in the order of `expanded`."""
        return [layer for layer in self.layers if isinstance(layer, InvertedResidual)]

    def _make_blocks(self) -> list[InvertedResidual]:
        inner = self.expanded or (0,) * self.block_count
        return [InvertedResidual(self.attention, channels) for channels in inner]


def _resize_conv(filters: int) -> list[Callable]:
    return [upsample_bilinear_tf1, *conv_norm(filters)]


def _transpose_conv(filters: int) -> list[Callable]:
    return [Conv2DTranspose(filters, use_bias=False, kernel_initializer="he_normal"), *_norm()]


_UPSAMPLING: dict[str, Callable[[int], list[Callable]]] = {"resize": _resize_conv, "transpose": _transpose_conv}


@keras.saving.register_keras_serializable(package="animegan_tf")
class MobileGenerator(ResidualGenerator):
    """602,005 parameters and 4.8 GMAC at 256x256 at width w = 32. See `Generator` for input and output.

    Encoder of three 3x3 convolutions to w (H), 2w (H/2) and 4w (H/4); six inverted residuals with spatial attention;
    decoder back to 2w (H/2) and w (H); 3x3 to RGB, tanh.

    Source: a published description of the mobile AnimeGANv2, which leaves the width open: AnimeGANv2's here.
    Differs: the blocks described are two 3x3 convolutions with ReLU after the sum; these are MobileNetV2's, with a
    linear sum. ReLU6 throughout in place of ReLU: int8 wants a bound.

    The 3x3 and 7x7 convolutions of the six blocks let zero padding reach 110 pixels inward, fading with the distance.
    From the margin on, less than one level of 255 is left of it (measured on photographs with random weights).

    Args:
      upsampling: 'resize', bilinear and a 3x3 convolution, without checkerboard; 'transpose', the described transposed
        convolutions, 4x4: 673,685 parameters but 3.5 GMAC.
    """

    published_width = 32
    size_multiple = 4
    margin = 48
    receptive_radius = 110
    takes = ("upsampling", "expanded")
    block_count = 6
    attention = True

    def __init__(self, width: int = 0, *, upsampling: str = "resize", **kwargs):
        super().__init__(width, **kwargs)
        if upsampling not in _UPSAMPLING:
            raise UnknownNameError("upsampling", upsampling, _UPSAMPLING)
        self.upsampling = upsampling
        w, up = self.width, _UPSAMPLING[upsampling]
        self.encoder = [*conv_norm(w), *conv_norm(2 * w, strides=2), *conv_norm(4 * w, strides=2)]
        self.middle = self._make_blocks()
        self.decoder = [*up(2 * w), *up(w)]
        self.to_rgb = layers.Conv2D(3, 3, padding="same")

    def call(self, photo):
        x = chain(photo, [*self.encoder, *self.middle, *self.decoder])
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


@keras.saving.register_keras_serializable(package="animegan_tf")
class MobileDiscriminator(Network):
    """image: [B, H, W, 3] float in [-1, 1], RGB -> logits of two scales: [B, H/16, W/16, 1], [B, H/32, W/32, 1].

    The same weights see the image and its half-size copy (2x2 average); H and W of at least 32. Four 4x4 convolutions
    of strides 2, w to 8w, LeakyReLU, and a 3x3 to the logits; no norm but spectral norm, on every convolution.
    Spatial attention follows the second: at H/4 its 7x7 window is as large as an eye of an aligned face.

    Differs: u is renewed twice a step, once per scale. 2,760,290 trained parameters at width w = 64.
    """

    published_width = 64

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.blocks = [
            ConvBlock(SpectralConv2D(w, 4, 2)),
            ConvBlock(SpectralConv2D(2 * w, 4, 2)),
            SpatialAttention(spectral=True),
            ConvBlock(SpectralConv2D(4 * w, 4, 2)),
            ConvBlock(SpectralConv2D(8 * w, 4, 2)),
            SpectralConv2D(1, 3),
        ]

    def call(self, image):
        return [chain(image, self.blocks), chain(ops.average_pool(image, 2, 2), self.blocks)]
