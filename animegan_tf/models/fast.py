"""The project's own fast generator: a small U-Net that says how much of each detail of the photo stays, and draws."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from animegan_tf.models.bounds import BoundedReLU, clip
from animegan_tf.models.layers import chain, upsample_bilinear_tf1
from animegan_tf.models.mobile import ResidualGenerator, conv_norm

_SHARE_OF_MAPS = 0.1  # of their usual size at the start, beside the photo
_OPEN, _AT_START = 6.0, 0.9  # of a gate: ReLU6's bound, and how far it is open at the start
_DETAIL = (
    1 / 12
)  # of a detail's size: an open gate then lets a half of it through, which int8 holds on the photo's scale
_AROUND = 7  # side of the window, in blocks of two pixels
_INK_SIDE, _INK_SIGMAS, _INK_SHARE = 3, (0.7, 2.0), 0.98  # blocks; px; of the wider Gaussian
_INK_THRESHOLD, _INK_STEEPNESS, _INK_DARKNESS = 0.6, 0.3, 0.4  # in levels of 255, per level, of the range -1 to 1


@keras.saving.register_keras_serializable(package="animegan_tf")
class FastGenerator(ResidualGenerator):
    """163 thousand trained parameters and 0.39 GMAC at 256x256 at width 16. See `Generator` for input and output.

    Ours. A U-Net from half to an eighth of the resolution, on 2x2 blocks of pixels as channels. Beside maps the last
    convolution is given the photo in three bands, a smooth picture and two finer and finer details, each detail times
    a gate that the U-Net opens and closes: texture goes where a gate is shut, and what stays is as sharp as the photo.
    A network without gates has to cancel texture by drawing its negative: 600 steps leave it a quarter more loss.
    A gated map of ink besides says where the dark sides of edges are, at the photo's resolution, for contour lines.
    Source: the idea of smoothing by gates per band, Paris et al. 2011, Local Laplacian Filters, and Chen et al. 2007,
    bilateral grid; of ink, Winnemoeller et al. 2006, Real-Time Video Abstraction. Differs: gates and ink are learned.

    Made for int8: batch norm, which folds into the convolutions, ReLU6, which bounds every map, and no sum over the
    whole picture. What joins in front of the last convolution is bounded by 1, because a joint scale takes the largest
    range; the result is cut off at -1 and 1, because the steps of a tanh's input are three levels wide in the midtones.

    Made for speed: runtimes compute a convolution's maps 16 at a time, so that at half the resolution, where half of
    the time goes, none makes more of them.
    """

    published_width = 16
    size_multiple = 8
    margin = 40
    receptive_radius = 49
    block_count = 4

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w, blocks = self.width, self._make_blocks()
        self.stem = conv_norm(w)
        self.to_quarter = conv_norm(3 * w, strides=2)
        self.quarter = blocks[:1]
        self.to_eighth = conv_norm(6 * w, strides=2)
        self.eighth = blocks[1:3]
        self.from_eighth = conv_norm(3 * w, 1, activate=False)
        self.quarter_up = blocks[3:]
        self.from_quarter = conv_norm(w, 1, activate=False)
        self.refine = conv_norm(w, bound=1.0)
        self.gates_of_details = [Gates(np.repeat(np.eye(5), 3, axis=1)), BoundedReLU(max_value=_OPEN)]
        self.gates_of_ink = [Gates(np.eye(4) / _OPEN), BoundedReLU(max_value=1.0)]
        bias = keras.initializers.Constant(-_INK_STEEPNESS * (_INK_THRESHOLD + 127.5 * (1.0 - _INK_SHARE)))
        ink = layers.Conv2D(4, _INK_SIDE, padding="same", kernel_initializer=_darker_sides, bias_initializer=bias)
        self.ink = [ink, BoundedReLU(max_value=1.0)]
        self.to_rgb = layers.Conv2D(4 * 3, 3, padding="same", kernel_initializer=_photo_and_equal_subpixels)

    def call(self, photo):
        pixels = ops.space_to_depth(ops.cast(photo, self.compute_dtype), 2)
        half = chain(pixels, self.stem)
        quarter = chain(half, [*self.to_quarter, *self.quarter])
        x = chain(quarter, [*self.to_eighth, *self.eighth, *self.from_eighth])
        x = chain(upsample_bilinear_tf1(x) + quarter, [*self.quarter_up, *self.from_quarter])
        x = chain(upsample_bilinear_tf1(x) + half, self.refine)
        smooth, details = _bands(pixels)
        # Apart: joined before their gates, details would have the scale of ink in int8, a sixth of their steps.
        kept = details * chain(x, self.gates_of_details)
        ink = chain(pixels, self.ink) * chain(x, self.gates_of_ink)
        x = clip(self.to_rgb(ops.concatenate([x, kept, ink, smooth], axis=-1)), -1.0, 1.0)
        return ops.cast(ops.depth_to_space(x, 2), "float32")


@keras.saving.register_keras_serializable(package="animegan_tf")
class Gates(layers.Layer):
    """How far gates are open, before their bounds: x [B, H, W, C] -> [B, H, W, O], from 0.9 of the way on.

    A 1x1 convolution to I gates, of which each of the O outputs is given a share. The shares are part of the kernel of
    an exported file, where a second convolution would be a fortieth of the time.

    Args:
      shares: [I, O]; a gate that is for the three colours of a detail is repeated.
    """

    def __init__(self, shares, **kwargs):
        super().__init__(**kwargs)
        self.shares = np.asarray(shares, "float32")

    def build(self, input_shape):
        gates, start = len(self.shares), keras.initializers.Constant(_AT_START * _OPEN)
        self.kernel = self.add_weight(name="kernel", shape=(1, 1, input_shape[-1], gates), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(gates,), initializer=start)

    def call(self, x):
        shares = ops.cast(self.shares, x.dtype)
        kernel = ops.matmul(ops.cast(self.kernel, x.dtype), shares)
        return ops.conv(x, kernel) + ops.matmul(ops.cast(self.bias, x.dtype)[None], shares)[0]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.shares.shape[1])

    def get_config(self):
        return {**super().get_config(), "shares": self.shares.tolist()}


def _bands(pixels):
    """Returns (smooth [B, H, W, 3], details [B, H, W, 15]) of blocks of pixels [B, H, W, 12]; details times 1 / 12.

    Details are what a pixel differs by from its block (12), and a block from the mean of 7 x 7 around it (3), the
    smooth picture (3). Beyond the border there are zeros.
    """
    block = ops.conv(pixels, ops.cast(_BLOCK, pixels.dtype))
    smooth = _mean(block, _AROUND)
    fine = ops.conv(pixels, ops.cast(_DETAIL * (np.eye(12) - _BLOCK @ _BLOCK_AGAIN), pixels.dtype))
    return smooth, ops.concatenate([fine, _DETAIL * (block - smooth)], axis=-1)


def _mean(x, side: int):
    """Returns the means over windows of `side`, [B, H, W, C], columns, then rows: 14 terms in place of 49.

    As convolutions, because delegates pool no int8.
    """
    for window in ((side, 1), (1, side)):
        x = ops.depthwise_conv(x, ops.full((*window, x.shape[-1], 1), 1 / side, dtype=x.dtype), padding="same")
    return x


# 1x1 kernels [1, 1, I, O] over the 12 channels of a block, four pixels times RGB.
_BLOCK_AGAIN = np.tile(np.eye(3, dtype="float32"), 4)[None, None]
_BLOCK = np.swapaxes(_BLOCK_AGAIN, 2, 3) / 4


def _darker_sides(shape, dtype=None):
    """Returns a kernel [3, 3, 12, 4] that finds the dark side of every edge of the luminance, per pixel of a block.

    Source: Winnemoeller, Olsen, Gooch 2006, Real-Time Video Abstraction, eq. 2 and 3: the difference of two Gaussians.
    """
    side, reach = shape[0], 2 * (shape[0] // 2)  # in blocks; in pixels before the block
    offsets = np.arange(-reach, reach + 2)[None] - np.arange(2)[:, None]  # [pixel of the block, pixel of the window]
    narrow, wide = (_gaussian(offsets, sigma) for sigma in _INK_SIGMAS)
    weights = _INK_SHARE * np.einsum("ay,bx->yxab", wide, wide) - np.einsum("ay,bx->yxab", narrow, narrow)
    weights = weights.reshape(side, 2, side, 2, 4).transpose(0, 2, 1, 3, 4).reshape(side, side, 4, 1, 4)
    kernel = 127.5 * _INK_STEEPNESS * weights * np.array([0.299, 0.587, 0.114])[:, None]  # of luminance, ITU-R BT.601
    return ops.convert_to_tensor(kernel.reshape(shape), dtype=dtype)


def _gaussian(offsets, sigma: float):
    """Returns weights that sum to 1 over the last axis; equally many on either side, or slopes would be edges."""
    ends = np.minimum(-offsets.min(axis=-1), offsets.max(axis=-1))[:, None]
    values = np.exp(-0.5 * (offsets / sigma) ** 2) * (np.abs(offsets) <= ends)
    return values / values.sum(axis=-1, keepdims=True)


def _photo_and_equal_subpixels(shape, dtype=None):
    """Returns a kernel [3, 3, maps + 15 + 4 + 3, 12] with which training starts from the photo, inked.

    The maps add a little, and the same to all four pixels of a block, so that there is no grid.
    Source: Aitken et al. 2017, Checkerboard artifact free sub-pixel convolution (ICNR), for the maps.
    """
    subpixels = shape[3]
    again = _BLOCK_AGAIN[0, 0]
    details = np.concatenate([np.eye(subpixels), again]) / (_DETAIL * _AT_START * _OPEN)
    # From zero, the ink of one of the four pixels was never found, and lines were dotted.
    ink = -_INK_DARKNESS * np.repeat(np.eye(subpixels // 3), 3, axis=1)
    photo = ops.convert_to_tensor(np.concatenate([details, ink, again])[None, None], dtype=dtype)
    color_shape = (*shape[:2], shape[2] - photo.shape[2], subpixels // 4)
    drawn = _SHARE_OF_MAPS * keras.initializers.GlorotUniform()(color_shape, dtype=dtype)
    middle = ops.pad(photo, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return ops.concatenate([ops.concatenate([drawn] * 4, axis=-1), middle], axis=2)
