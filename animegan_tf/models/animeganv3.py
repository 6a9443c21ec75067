"""AnimeGANv3 (DTGAN): generator with two tails, LADE normalisation and external attention, and its discriminator.

Source: Liu, Chen et al. 2024, A Novel Double-Tail Generative Adversarial Network for Fast Photo Animation; layer sizes
from the published code (net/generator.py, net/discriminator.py, tools/ops.py).
"""

from __future__ import annotations

import functools

import keras
from keras import layers, ops

from animegan_tf.errors import UnknownNameError
from animegan_tf.models.layers import (
    ConvBlock,
    PaddedConv2D,
    SpectralConv2D,
    chain,
    leaky_relu,
    spatial_mean,
    spatial_softmax,
)
from animegan_tf.models.network import Generator, Network
from animegan_tf.models.portable import is_portable

ATTENTION_NORMS = ("batch", "published")
_XAVIER = "glorot_uniform"
_EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="animegan_tf")
class LADE(layers.Layer):
    """Linearly adaptive denormalisation: [B, H, W, C] -> the same.

    With t = 1x1 convolution of x, and mean and deviation over H and W of each picture and channel:
    (x - mean(x)) / deviation(x) * deviation(t) + mean(t). The picture itself gives scale and shift, no weights do.

    Args:
      spectral: spectral norm on the convolution, as in the discriminator.
      epsilon: under both roots.
    """

    def __init__(self, *, spectral: bool = False, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.spectral, self.epsilon = spectral, epsilon

    def build(self, input_shape):
        kind = SpectralConv2D if self.spectral else PaddedConv2D
        self.conv = kind(input_shape[-1], 1, initializer=_XAVIER)
        self.conv.build(input_shape)

    def call(self, x, training=False):
        # ConvBlock passes no `training`: Keras hands on that of the surrounding call.
        convolve = functools.partial(self.conv, training=training) if self.spectral else self.conv
        centred, mean, variance = self._moments(x)
        if is_portable():
            # The convolution has no bias: it takes the mean to the mean, and what is centred to what is centred.
            target_mean, target_variance = convolve(mean), spatial_mean(ops.square(convolve(centred)))
        else:
            _, target_mean, target_variance = self._moments(convolve(x))
        scale = ops.sqrt(target_variance + self.epsilon) * ops.rsqrt(variance + self.epsilon)
        return ops.cast(centred * scale + target_mean, x.dtype)

    def _moments(self, x):
        """Returns (x - mean, mean, variance), float32: in float16 the variance of a picture overflows."""
        x = ops.cast(x, "float32")
        mean = spatial_mean(x)
        centred = x - mean
        # Not `ops.square`, see `layers._MomentsNorm`.
        return centred, mean, spatial_mean(centred * centred)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "spectral": self.spectral, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="animegan_tf")
class ExternalAttention(layers.Layer):
    """Attention between positions and `slots` learned vectors, added to the input: [B, H, W, C] -> the same.

    The memory M serves as key and, transposed, as value. Softmax over the positions, then each position's weights
    are divided by their sum over the slots.

    Source: `External_attention_v3` of the published code, after Guo et al. 2021, Beyond Self-attention.
    Differs: published, batch norm made new variables for the inference graph, which were never trained: there it
    only divides by sqrt(1 + 1e-3), whatever it learned in training. `norm='published'` does so, for released weights;
    'batch' reads the moving statistics, scale and shift, as was meant. Training is the same in both.

    Args:
      norm: 'batch' | 'published'.
      slots: rows of the memory.
    """

    def __init__(self, norm: str = "batch", *, slots: int = 128, **kwargs):
        super().__init__(**kwargs)
        if norm not in ATTENTION_NORMS:
            raise UnknownNameError("attention norm", norm, ATTENTION_NORMS)
        self.norm, self.slots = norm, slots

    def build(self, input_shape):
        channels = input_shape[-1]
        self.memory = self.add_weight(name="memory", shape=(channels, self.slots), initializer=_XAVIER)
        self.query, self.project = (PaddedConv2D(channels, 1, initializer=_XAVIER) for _ in range(2))
        self.batch_norm = layers.BatchNormalization(momentum=0.999, epsilon=_EPSILON)
        for layer in (self.query, self.project, self.batch_norm):
            layer.build(input_shape)

    def call(self, x, training=False):
        # Products with the memory as 1x1 convolutions: no shape is needed.
        memory = ops.cast(self.memory, self.compute_dtype)[None, None]
        attention = spatial_softmax(ops.cast(ops.conv(self.query(x), memory), "float32"))
        attention = attention / (1e-9 + ops.sum(attention, axis=-1, keepdims=True))
        y = ops.conv(ops.cast(attention, memory.dtype), ops.transpose(memory, (0, 1, 3, 2)))
        y = self.project(y)
        if training or self.norm == "batch":
            y = self.batch_norm(y, training=training)
        else:
            y = y * (1 + _EPSILON) ** -0.5
        return leaky_relu(x + y)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "slots": self.slots}


def _conv(filters: int, kernel_size: int = 3, strides: int = 1, *, upsample: bool = False) -> ConvBlock:
    padding = "same" if strides == 1 else "start"
    conv = PaddedConv2D(filters, kernel_size, strides, padding=padding, upsample=upsample, initializer=_XAVIER)
    return ConvBlock(conv, LADE())


@keras.saving.register_keras_serializable(package="animegan_tf")
class Tail(layers.Layer):
    """From the base's four maps to a picture: [x0, x1, x2, x3], fine to coarse -> [B, H, W, 3] float32 in [-1, 1]."""

    def __init__(self, width: int, norm: str = "batch", **kwargs):
        super().__init__(**kwargs)
        self.width, self.norm = width, norm
        self.attention = ExternalAttention(norm)
        # Coarse to fine: before and after a map of the base is added.
        self.stages = [[_conv(filters, upsample=True), _conv(filters)] for filters in (4 * width, 2 * width, width)]
        self.to_rgb = PaddedConv2D(3, 7, initializer=_XAVIER)

    def build(self, input_shape):
        *skips, shape = input_shape
        self.attention.build(shape)
        for (first, second), skip in zip(self.stages, reversed(skips), strict=True):
            first.build(shape)
            second.build(skip)
            shape = skip
        self.to_rgb.build(shape)

    def call(self, maps, training=False):
        *skips, x = maps
        x = self.attention(x, training=training)
        for (first, second), skip in zip(self.stages, reversed(skips), strict=True):
            x = second(first(x) + skip)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 3)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "norm": self.norm}


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANv3Generator(Generator):
    """The published generator: 1,557,792 trained parameters at width 32, of which an export holds 1,027,520.

    One base and two tails: 'support' learns the strokes of the style, 'main' smooths that into the final picture.
    Training needs both (`tails`); stylizing needs base and main. See `Generator` for input and output.

    attention_norm: 'batch' | 'published', see `ExternalAttention`.
    """

    published_width = 32
    size_multiple = 8
    takes = ("attention_norm",)

    def __init__(self, width: int = 0, *, attention_norm: str = "batch", **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.attention_norm = attention_norm
        self.base = [
            [_conv(w, 7)],
            [_conv(w, strides=2), _conv(2 * w)],
            [_conv(2 * w, strides=2), _conv(4 * w)],
            [_conv(4 * w, strides=2), _conv(4 * w)],
        ]
        self.support = Tail(w, attention_norm)
        self.main = Tail(w, attention_norm)

    def build(self, input_shape):
        if not self.built:
            batch, height, width, _ = input_shape
            maps = [(batch, height // s, width // s, c * self.width) for s, c in ((1, 1), (2, 2), (4, 4), (8, 4))]
            super().build(input_shape)
            # `call` passes through base and main alone.
            self.support.build(maps)

    def call(self, photo, training=False):
        return self.main(self._maps(photo), training=training)

    def tails(self, photo, training=False):
        """Returns (support, main), what a training step needs.

        Args:
          photo: [B, H, W, 3] float in [-1, 1], RGB.
          training: batch statistics in the attention of both tails.

        Returns:
          Two [B, H, W, 3] float32 in [-1, 1], RGB.
        """
        maps = self._maps(photo)
        return self.support(maps, training=training), self.main(maps, training=training)

    @property
    def inference_variables(self) -> list:
        support = {id(variable) for variable in self.support.variables}
        return [variable for variable in self.variables if id(variable) not in support]

    def _maps(self, photo) -> list:
        maps = [photo]
        for blocks in self.base:
            maps.append(chain(maps[-1], blocks))
        return maps[1:]


def _spectral(filters: int, kernel_size: int = 3, strides: int = 1) -> SpectralConv2D:
    padding = "same" if strides == 1 else "start"
    return SpectralConv2D(filters, kernel_size, strides, padding=padding, mode="reflect", initializer=_XAVIER)


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANv3Discriminator(Network):
    """image: [B, H, W, 3] float in [-1, 1], RGB -> logits: [B, H/8, W/8, 1], one per overlapping patch.

    Spectral norm on every convolution, LADE's included; 693,088 trained parameters at width 32. Training has two: one
    sees grey pictures and the support tail, the other colour and the main tail.
    """

    published_width = 32

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.blocks = [ConvBlock(_spectral(w, 7))]
        for filters in (w, 2 * w, 4 * w):
            self.blocks.append(ConvBlock(_spectral(filters, strides=2), LADE(spectral=True)))
            self.blocks.append(ConvBlock(_spectral(2 * filters), LADE(spectral=True)))
        self.logits = _spectral(1, 1)

    def call(self, image, training=False):
        x = image
        for block in self.blocks:
            x = block(x, training=training)
        return self.logits(x, training=training)
