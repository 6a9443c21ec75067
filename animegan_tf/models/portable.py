"""The same operations in the words that every runtime is fast in, for the graphs of exported files.

Between `portable()` and its end the layers write these in place of what they train with. TFLite's XNNPACK and GPU
delegates take a graph as a whole only where it has no reflecting pad, no shape computed at run time, no block or
stride they lack; what they leave out runs on one thread, and every handing over is a copy. The results are equal but
for rounding. Kernels are rearranged in the graph; the converters fold that into constants.

All tensors are NHWC, of any height and width unless it says otherwise.
"""

from __future__ import annotations

import contextlib
import contextvars

import numpy as np
from keras import ops

_PORTABLE = contextvars.ContextVar("portable", default=False)
# By rows: the samples of a picture that a 3-tap filter over its doubled copy meets; by columns: the taps. For even
# samples of the doubled picture x[i-1], x[i], x[i+1], for odd ones x[i], x[i+1].
_TAPS = (
    np.array([[0.5, 0, 0], [0.5, 1, 0.5], [0, 0, 0.5]], "float32"),
    np.array([[1, 0.5, 0], [0, 0.5, 1]], "float32"),
)
_FEW_FILTERS = 3


@contextlib.contextmanager
def portable():
    """Context in which the layers write graphs for TFLite and ONNX."""
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def is_portable() -> bool:
    """Returns whether this is within `portable()`."""
    return _PORTABLE.get()


def pad_reflect(x, before: int, after: int):
    """Returns [B, H + before + after, W + before + after, C]: np.pad's 'reflect', by slices; H and W above both."""
    for axis in (1, 2):
        first = [_slice(x, axis, i, i + 1) for i in range(before, 0, -1)]
        last = [_slice(x, axis, -i - 1, -i) for i in range(1, after + 1)]
        # One side at a time: XNNPACK joins up to five tensors, and with a 7x7 kernel's padding these are seven.
        parts = [ops.concatenate(part, axis=axis) for part in (first, [x], last) if part]
        x = ops.concatenate(parts, axis=axis)
    return x


def upsample(x):
    """Returns [B, 2H, 2W, C] of [B, H, W, C], see `layers.upsample_bilinear_tf1`: four maps, put together as blocks."""
    wide, tall = _repeat_last(x, 2), _repeat_last(x, 1)
    blocks = [x, _average(wide, 1, 2), _average(tall, 2, 1), _average(_repeat_last(wide, 1), 2, 2)]
    return ops.depth_to_space(ops.concatenate(blocks, axis=-1), 2)


def conv_of_upsampled(x, kernel, *, depthwise: bool = False):
    """Returns [B, 2H, 2W, F]: a convolution of the doubled picture, padded by reflection, without making that.

    Every output pixel of a block of four meets 3 or 2 rows and columns of x, which have 25 taps together in place of
    36. Beyond the picture the doubled one is reflected; that is x reflected at the start and repeated at the end.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, C, F], or [3, 3, C, 1] if depthwise.
    """
    for axis in (1, 2):
        x = ops.concatenate([_slice(x, axis, 1, 2), x, _slice(x, axis, -1, None)], axis=axis)
    convolve = ops.depthwise_conv if depthwise else ops.conv
    blocks = [
        convolve(x[:, row:, column:], _fitted(kernel, _TAPS[row], _TAPS[column])) for row in (0, 1) for column in (0, 1)
    ]
    return ops.depth_to_space(ops.concatenate(blocks, axis=-1), 2)


def has_few_filters(kernel_size: int, strides: int, filters: int) -> bool:
    """Returns whether `conv_by_blocks` is the faster way: to RGB, where height and width are even in every network."""
    return kernel_size > 1 and strides == 1 and 0 < filters <= _FEW_FILTERS


def conv_by_blocks(x, kernel):
    """Returns the VALID convolution [B, H, W, F] of [B, H + k - 1, W + k - 1, C], kernel [k, k, C, F]; H and W even.

    Runtimes compute 16 or 32 filters at once, whether there are so many or not: four output pixels as one of 4F
    channels, by a kernel of k + 1, leave less of that empty.
    """
    blocks = [
        ops.pad(kernel, ((row, 1 - row), (column, 1 - column), (0, 0), (0, 0))) for row in (0, 1) for column in (0, 1)
    ]
    return ops.depth_to_space(ops.conv(x, ops.concatenate(blocks, axis=-1), strides=2), 2)


def conv_transpose(x, kernel):
    """Returns [B, 2H, 2W, F] of [B, H, W, C]: `ops.conv_transpose` of strides 2, SAME; kernel [4, 4, F, C].

    Two by two samples of x, zeros beyond its border, give the block of four pixels between them.
    """
    filters, channels = kernel.shape[2:]
    taps = ops.flip(ops.reshape(kernel, (2, 2, 2, 2, filters, channels)), axis=(0, 2))
    blocks = ops.reshape(ops.transpose(taps, (0, 2, 5, 1, 3, 4)), (2, 2, channels, 4 * filters))
    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return ops.depth_to_space(ops.conv(padded, blocks), 2)[:, 1:-1, 1:-1]


def downsample(x):
    """Returns x[:, ::2, ::2], as a depthwise convolution that multiplies by 1."""
    return ops.depthwise_conv(x, ops.ones((1, 1, x.shape[-1], 1), dtype=x.dtype), strides=2)


def _slice(x, axis: int, start: int, end: int | None):
    return x[:, start:end] if axis == 1 else x[:, :, start:end]


def _repeat_last(x, axis: int):
    return ops.concatenate([x, _slice(x, axis, -1, None)], axis=axis)


def _average(x, rows: int, columns: int):
    """Returns the mean over windows of rows x columns, whole ones only."""
    share = ops.full((rows, columns, x.shape[-1], 1), 1 / (rows * columns), dtype=x.dtype)
    return ops.depthwise_conv(x, share)


def _fitted(kernel, rows: np.ndarray, columns: np.ndarray):
    """Returns rows @ kernel @ columns.T over the first two axes of [3, 3, C, F]."""
    kernel = ops.tensordot(ops.cast(rows, kernel.dtype), kernel, axes=1)
    return ops.transpose(ops.tensordot(ops.cast(columns, kernel.dtype), kernel, axes=(1, 1)), (1, 0, 2, 3))
