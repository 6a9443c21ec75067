"""One generator for many styles by class label, and a patch discriminator conditioned on the same label.

Ours, from parts of the literature: encoder and decoder with additive skips, conditional instance norm (Dumoulin et
al. 2017), external attention on the coarsest map (Guo et al. 2021), projection discriminator (Miyato and Koyama 2018).
"""

from __future__ import annotations

import keras
from keras import initializers, layers, ops

from animegan_tf.models.discriminators import patch_blocks
from animegan_tf.models.layers import (
    ConditionedBlock,
    InstanceNorm,
    LayerNorm,
    PaddedConv2D,
    SpectralConv2D,
)
from animegan_tf.models.network import Generator, Network


@keras.saving.register_keras_serializable(package="animegan_tf")
class ConditionalInstanceNorm(InstanceNorm):
    """Instance norm with one scale and shift per class: [B, H, W, C], label [B, classes] -> [B, H, W, C].

    Scale and shift are label @ table, so that a one-hot label selects a row and a blend mixes rows.
    Source: Dumoulin et al. 2017, A Learned Representation for Artistic Style, equation 5.

    Args:
      classes: rows of the tables.
    """

    def __init__(self, classes: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(epsilon, **kwargs)
        self.classes = classes

    def build(self, input_shape):
        shape = (self.classes, input_shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)

    def call(self, x, label):
        weights = ops.cast(label, "float32")
        gamma, beta = (ops.matmul(weights, ops.cast(table, "float32")) for table in (self.gamma, self.beta))
        return self._normalise(x, gamma[:, None, None, :], beta[:, None, None, :])

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="animegan_tf", name="ConditionalExternalAttention")
class ExternalAttention(layers.Layer):
    """Attention to a learned memory of keys and values: [B, H, W, C] -> [B, H, W, C], in time linear in H x W.

    Every slot shares out its attention over the positions of the picture, then every position over the slots.
    Source: Guo et al. 2021, Beyond Self-attention, algorithm 1 (two memories, double normalisation).
    Differs: both normalisations are one softmax, over scores less their log-sum-exp over the positions: the same
    numbers, but no quotient that a large picture makes tiny.

    Args:
      slots: rows of each memory.
    """

    def __init__(self, slots: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.slots = slots

    def build(self, input_shape):
        channels = input_shape[-1]
        self.keys, self.values = PaddedConv2D(self.slots, 1), PaddedConv2D(channels, 1)
        self.keys.build(input_shape)
        self.values.build((*input_shape[:-1], self.slots))

    def call(self, x):
        scores = ops.cast(self.keys(x), "float32")
        attention = ops.softmax(scores - _log_sum_exp(scores), axis=-1)
        return self.values(ops.cast(attention, x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "slots": self.slots}


def _log_sum_exp(scores):
    # It cancels out, so it needs no gradient, and XLA's of a maximum may be 0 / 0: see mobile._largest.
    peak = ops.stop_gradient(ops.max(scores, axis=(1, 2), keepdims=True))
    # One axis after the other, as `mean_by_axis` says.
    total = ops.sum(ops.sum(ops.exp(scores - peak), axis=2, keepdims=True), axis=1, keepdims=True)
    return peak + ops.log(total)


@keras.saving.register_keras_serializable(package="animegan_tf")
class ConditionalGenerator(Generator):
    """About 1.1 million parameters at width 32, 2,432 more per class. See `Generator` for input and output.

    call(photo, label): label [B, classes] float32, one-hot or a blend that sums to 1.

    Works down to 1/8 with attention there; skips from every resolution keep the photo's contours.

    Args:
      classes: number of styles.
    """

    published_width = 32
    size_multiple = 8
    takes = ("classes",)
    streams = ("label",)

    def __init__(self, width: int = 0, *, classes: int = 1, **kwargs):
        super().__init__(width, **kwargs)
        self.classes = classes
        w = self.width
        self.stem = self._conv(w, 7)
        self.down = [self._conv(2 * w, strides=2), self._conv(4 * w, strides=2), self._conv(4 * w, strides=2)]
        self.attention = ConditionedBlock(ExternalAttention(2 * w), ConditionalInstanceNorm(classes))
        self.first = [self._conv(4 * w), self._conv(4 * w)]
        self.second = [self._conv(4 * w), self._conv(4 * w)]
        self.up = [self._conv(filters, upsample=True) for filters in (4 * w, 2 * w, w)]
        self.to_rgb = PaddedConv2D(3, 7)

    def _conv(self, filters: int, kernel_size: int = 3, strides: int = 1, upsample: bool = False) -> ConditionedBlock:
        padding, initializer = "same" if strides == 1 else "end", initializers.HeNormal()
        conv = PaddedConv2D(filters, kernel_size, strides, padding=padding, upsample=upsample, initializer=initializer)
        return ConditionedBlock(conv, ConditionalInstanceNorm(self.classes))

    @property
    def inputs_shape(self) -> dict[str, tuple[int, ...]]:
        return {"label": (self.classes,)}

    def call(self, photo, label, training=False):
        x = self.stem(photo, label)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x, label)
        x = self.attention(x, label, skip=x)
        for first, second in zip(self.first, self.second, strict=True):
            x = second(first(x, label), label, skip=x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, label, skip=skip)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


@keras.saving.register_keras_serializable(package="animegan_tf")
class ConditionalDiscriminator(Network):
    """image: [B, H, W, 3] float in [-1, 1], RGB, label: [B, classes] -> logits: [B, H/4, W/4, 1], one per patch.

    The convolutions and norms of AnimeGANv2's discriminator; the logits are a 1x1 convolution of the features, plus
    their inner product with the label's embedding at every position. Spectral norm on the embedding too.
    Source: Miyato and Koyama 2018, cGANs with Projection Discriminator, equation 4. Differs: by patch, not summed up.

    Args:
      classes: number of styles.
    """

    published_width = 32
    takes = ("classes",)
    streams = ("label",)

    def __init__(self, width: int = 0, *, classes: int = 1, **kwargs):
        super().__init__(width, **kwargs)
        self.classes = classes
        self.blocks = patch_blocks(self.width, LayerNorm)
        self.logits = SpectralConv2D(1, 1)
        # A label as a picture of one pixel: the kernel is the table of embeddings.
        self.embedding = SpectralConv2D(8 * self.width, 1)

    @property
    def inputs_shape(self) -> dict[str, tuple[int, ...]]:
        return {"label": (self.classes,)}

    def call(self, image, label, training=False):
        x = image
        for block in self.blocks:
            x = block(x, training=training)
        embedding = self.embedding(ops.cast(label, x.dtype)[:, None, None, :], training=training)
        projection = ops.sum(x * embedding, axis=-1, keepdims=True)
        return self.logits(x, training=training) + projection
