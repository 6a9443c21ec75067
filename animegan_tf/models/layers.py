"""Layers the published AnimeGAN networks are made of, in `keras.ops`, exact to their TensorFlow 1 semantics.

All tensors are NHWC. Nothing here needs a static height or width, and nothing has more than four dimensions, so
that every exported file takes any picture size.
"""

from __future__ import annotations

import keras
from keras import ops

from animegan_tf.models import portable
from animegan_tf.models.portable import is_portable

LEAK = 0.2
"""Negative slope of every LeakyReLU in the family."""

# Rows and columns added before and after, by kernel size and rule. 'end' and 'start' are the published
# one-sided paddings of stride-2 convolutions.
_PADDING = {
    "same": lambda k: ((k - 1) // 2, (k - 1) // 2),
    "end": lambda k: (0, k - 2),
    "start": lambda k: (k - 2, 0),
}


def leaky_relu(x):
    """Returns LeakyReLU(x) with the family's slope, any shape."""
    return ops.leaky_relu(x, negative_slope=LEAK)


def chain(x, blocks):
    """Returns blocks[-1](... blocks[0](x))."""
    for block in blocks:
        x = block(x)
    return x


def pad(x, kernel_size: int, rule: str, mode: str = "reflect"):
    """Returns [B, H, W, C] padded for a VALID convolution of `kernel_size`.

    Args:
      rule: 'same' (k-1)/2 on each side; 'end' k-2 at bottom and right only; 'start' k-2 at top and left only.
      mode: 'reflect' or 'constant' (zeros).
    """
    before, after = _PADDING[rule](kernel_size)
    if before == after == 0:
        return x
    if mode == "reflect" and is_portable():
        return portable.pad_reflect(x, before, after)
    return ops.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode=mode)


def upsample_bilinear_tf1(x):
    """Returns [B, 2H, 2W, C]: bilinear, on the grid of TensorFlow 1 (half_pixel_centers=False).

    out[2i] = x[i], out[2i+1] = (x[i] + x[i+1]) / 2, the last sample repeated. Written with concatenation and
    reshape in four dimensions, because the resize operator differs between runtimes and this does not.
    Source: `tf.image.resize_images` of TensorFlow 1, which the published generators use.
    """
    if is_portable():
        return portable.upsample(x)
    x = _interleave(x, axis=1)
    return _interleave(x, axis=2)


def downsample_tf1(x):
    """Returns [B, ceil(H/2), ceil(W/2), C]: every second sample, which is what TensorFlow 1's bilinear x1/2 does."""
    return portable.downsample(x) if is_portable() else x[:, ::2, ::2, :]


def _interleave(x, axis: int):
    batch, height, width, channels = ops.shape(x)
    following = x[:, 1:] if axis == 1 else x[:, :, 1:]
    last = x[:, -1:] if axis == 1 else x[:, :, -1:]
    between = (x + ops.concatenate([following, last], axis=axis)) * 0.5
    # Joined along the next axis, even and odd samples lie alternately in memory: a reshape interleaves them.
    joined = ops.concatenate([x, between], axis=axis + 1)
    shape = (batch, 2 * height, width, channels) if axis == 1 else (batch, height, 2 * width, channels)
    return ops.reshape(joined, shape)


def mean_by_axis(values, axes: tuple[int, ...]):
    """Returns the mean over `axes`, kept as sides of 1; one axis after the other.

    TFLite adds up a whole picture naively, and loses two digits by it.
    """
    for axis in axes:
        values = ops.mean(values, axis=axis, keepdims=True)
    return values


def spatial_mean(values):
    """Returns the mean over H and W of [B, H, W, C], kept as sides of 1; in one sum, as the published graphs.

    The order of a sum of 100,000 float32 numbers moves AnimeGANv3's picture by 1e-5; TensorFlow's own sums are
    accurate, other runtimes' are not: see `mean_by_axis`.
    """
    return mean_by_axis(values, (2, 1)) if is_portable() else ops.mean(values, axis=(1, 2), keepdims=True)


def spatial_softmax(scores):
    """Returns the softmax over the positions of each channel: [B, H, W, C] float32 -> the same."""
    # The maximum cancels out, so it needs no gradient, and XLA's may be 0 / 0: see mobile._largest.
    values = ops.exp(scores - ops.stop_gradient(ops.max(scores, axis=(1, 2), keepdims=True)))
    return values / ops.sum(ops.sum(values, axis=2, keepdims=True), axis=1, keepdims=True)


class _MomentsNorm(keras.layers.Layer):
    """Normalises by mean and variance over `axes`, then scales and shifts per channel.

    Statistics are float32 whatever the compute type: in float16 a variance over H, W, C overflows.
    """

    axes: tuple[int, ...] = ()

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        channels = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros", autocast=False)

    def call(self, x):
        return self._normalise(x, self.gamma, self.beta)

    def _normalise(self, x, gamma, beta):
        values = ops.cast(x, "float32")
        centred = values - self._mean(values)
        # Of (x - mean)^2 TFLite's converter would make one operation, and compute x - mean twice.
        variance = self._mean(centred * centred)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(gamma, "float32")
        return ops.cast(centred * scale + ops.cast(beta, "float32"), x.dtype)

    def _mean(self, values):
        return mean_by_axis(values, self.axes)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="animegan_tf")
class LayerNorm(_MomentsNorm):
    """Layer norm over H, W and C together, scale and shift per channel: [B, H, W, C] -> the same.

    Source: `tf.contrib.layers.layer_norm` (begin_norm_axis=1, begin_params_axis=-1, epsilon 1e-12), used by AnimeGANv2.
    Not `keras.layers.LayerNormalization()`, which normalises every pixel over C alone.
    """

    axes = (2, 1, 3)

    def __init__(self, epsilon: float = 1e-12, **kwargs):
        super().__init__(epsilon, **kwargs)


@keras.saving.register_keras_serializable(package="animegan_tf")
class InstanceNorm(_MomentsNorm):
    """Instance norm over H and W, scale and shift per channel: [B, H, W, C] -> the same.

    Source: `tf.contrib.layers.instance_norm`; AnimeGAN passes epsilon 1e-5, and leaves 1e-6 in its separable blocks.
    """

    axes = (2, 1)

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(epsilon, **kwargs)


@keras.saving.register_keras_serializable(package="animegan_tf")
class PaddedConv2D(keras.layers.Layer):
    """Padding by rule, then a VALID convolution: [B, H, W, C] -> [B, H/strides, W/strides, filters].

    With `upsample` from [B, H/2, W/2, C], by `upsample_bilinear_tf1`. As exported, a 3x3 convolution does both at once.

    Args:
      filters: output channels; 0 makes it depthwise (as many as come in).
      kernel_size, strides: as in keras.layers.Conv2D.
      padding: 'same' | 'end' | 'start', see `pad`.
      mode: 'reflect' | 'constant'.
      use_bias: the published convolutions have none, but for v2's depthwise ones.
      upsample: doubles height and width first.
      initializer: of the kernel.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        *,
        padding: str = "same",
        mode: str = "reflect",
        use_bias: bool = False,
        upsample: bool = False,
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.padding, self.mode, self.use_bias, self.upsample = padding, mode, use_bias, upsample
        self.initializer = keras.initializers.get(initializer)
        settings = {"strides": strides, "padding": "valid", "use_bias": use_bias}
        if filters:
            self.conv = keras.layers.Conv2D(filters, kernel_size, kernel_initializer=self.initializer, **settings)
        else:
            self.conv = keras.layers.DepthwiseConv2D(kernel_size, depthwise_initializer=self.initializer, **settings)

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, x):
        if is_portable() and self._joins_upsampling:
            return self._with_bias(portable.conv_of_upsampled(x, self.conv.kernel, depthwise=not self.filters))
        x = upsample_bilinear_tf1(x) if self.upsample else x
        x = pad(x, self.kernel_size, self.padding, self.mode)
        if is_portable() and portable.has_few_filters(self.kernel_size, self.strides, self.filters):
            return self._with_bias(portable.conv_by_blocks(x, self.conv.kernel))
        return self.conv(x)

    @property
    def _joins_upsampling(self) -> bool:
        rule = (self.kernel_size, self.strides, self.padding, self.mode)
        return self.upsample and rule == (3, 1, "same", "reflect")

    def _with_bias(self, x):
        return x + self.conv.bias if self.use_bias else x

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        factor = 2 if self.upsample else 1
        sides = (None if side is None else -(-factor * side // self.strides) for side in sides)
        return (batch, *sides, self.filters or channels)

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding", "mode", "use_bias", "upsample")
        settings = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **settings, "initializer": keras.initializers.serialize(self.initializer)}


@keras.saving.register_keras_serializable(package="animegan_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's transposed convolution, 4x4 of strides 2: [B, H, W, C] -> [B, 2H, 2W, filters]; zero padding.

    A kernel of 4 is a multiple of the stride: every sample is the sum of as many products as its neighbours.
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(filters, **{"kernel_size": 4, "strides": 2, "padding": "same"} | kwargs)

    def call(self, inputs):
        if not is_portable():
            return super().call(inputs)
        x = portable.conv_transpose(inputs, self.kernel)
        return x + self.bias if self.use_bias else x


@keras.saving.register_keras_serializable(package="animegan_tf")
class SpectralConv2D(keras.layers.Layer):
    """Convolution whose kernel is divided by its largest singular value: [B, H, W, C] -> [B, H', W', filters].

    One power iteration per forward pass with training=True, from the stored vector u.

    Source: Miyato et al. 2018, Spectral Normalization for GANs, algorithm 1, as AnimeGAN writes it: the kernel as
    [k*k*C, filters], and the gradient flows through the estimate of sigma, u and v included.
    Differs: `keras.layers.SpectralNormalization` overwrites the kernel with the normalised one; this keeps both.

    Args:
      padding: 'same' | 'end' | 'start', see `pad`.
      mode: 'constant' (zeros) | 'reflect'.
      initializer: of the kernel; None for normal values of deviation 0.02.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        *,
        padding: str = "same",
        mode: str = "constant",
        initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.padding, self.mode = padding, mode
        self.initializer = keras.initializers.get(initializer or keras.initializers.RandomNormal(stddev=0.02))

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.initializer, autocast=False)
        self.u = self.add_weight(
            name="u",
            shape=(1, self.filters),
            trainable=False,
            initializer=keras.initializers.TruncatedNormal(stddev=1.0),
            autocast=False,
        )

    def call(self, x, training=False):
        kernel = ops.cast(self.kernel, "float32")
        matrix = ops.reshape(kernel, (-1, self.filters))
        v = _unit(ops.matmul(ops.cast(self.u, "float32"), ops.transpose(matrix)))
        u = _unit(ops.matmul(v, matrix))
        sigma = ops.sum(ops.matmul(v, matrix) * u)
        if training:
            self.u.assign(ops.stop_gradient(u))
        padded = pad(x, self.kernel_size, self.padding, self.mode)
        return ops.conv(padded, ops.cast(kernel / sigma, x.dtype), strides=self.strides, padding="valid")

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *sides, self.filters)

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding", "mode")
        settings = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **settings, "initializer": keras.initializers.serialize(self.initializer)}


def _unit(vector):
    return vector * ops.rsqrt(ops.sum(ops.square(vector)) + 1e-12)


@keras.saving.register_keras_serializable(package="animegan_tf")
class ConvBlock(keras.layers.Layer):
    """Convolution, normalisation, LeakyReLU: [B, H, W, C] -> [B, H/strides, W/strides, filters].

    Args:
      conv: PaddedConv2D or SpectralConv2D, or any layer.
      norm: a normalisation layer or None.
      activate: False leaves out the LeakyReLU.
    """

    def __init__(self, conv, norm=None, *, activate: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.norm, self.activate = conv, norm, activate

    def build(self, input_shape):
        self.conv.build(input_shape)
        if self.norm is not None:
            self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x, training=False):
        x = self.conv(x, training=training) if isinstance(self.conv, SpectralConv2D) else self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return leaky_relu(x) if self.activate else x

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(input_shape)

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("conv", "norm")}
        return {**super().get_config(), **parts, "activate": self.activate}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("conv", "norm")}
        return cls(parts["conv"], parts["norm"], **config)


@keras.saving.register_keras_serializable(package="animegan_tf")
class ConditionedBlock(ConvBlock):
    """ConvBlock whose norm is steered by a condition: [B, H, W, C], [B, N] -> [B, H/strides, W/strides, filters].

    A skip connection is added before the norm, so that the condition decides on the statistics of the sum and the
    skip brings none of its own.
    """

    def call(self, x, condition, skip=None):
        x = self.conv(x) if skip is None else self.conv(x) + skip
        x = self.norm(x, condition)
        return leaky_relu(x) if self.activate else x
