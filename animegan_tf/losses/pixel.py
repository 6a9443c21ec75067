"""Losses on pictures [B, H, W, 3] float in [-1, 1], RGB."""

from __future__ import annotations

import numpy as np
from keras import ops

# tf.image.rgb_to_yuv's kernel: columns are Y, U, V.
_RGB_TO_YUV = np.array(
    [
        [0.299, -0.14714119, 0.61497538],
        [0.587, -0.28886916, -0.51496512],
        [0.114, 0.43601035, -0.10001026],
    ],
    "float32",
)
_FLATNESS = 24.0


def rgb_to_yuv(image):
    """Returns [B, H, W, 3] float32 YUV of RGB in [0, 1]: Y in [0, 1], U and V around 0. Source: ITU-R BT.601."""
    return ops.matmul(ops.cast(image, "float32"), _RGB_TO_YUV)


def huber(error):
    """Returns mean of 0.5 e^2 where |e| <= 1, else |e| - 0.5. Source: Huber 1964, delta 1."""
    size = ops.abs(error)
    return ops.mean(ops.where(size <= 1.0, 0.5 * ops.square(error), size - 0.5))


def color(photo, stylized):
    """Returns L1 of Y plus Huber of U plus Huber of V between photo and result, taken in [0, 1].

    Source: AnimeGAN, eq. 6, colour reconstruction loss.
    """
    difference = rgb_to_yuv((_float(photo) + 1.0) / 2.0) - rgb_to_yuv((_float(stylized) + 1.0) / 2.0)
    return ops.mean(ops.abs(difference[..., 0])) + huber(difference[..., 1]) + huber(difference[..., 2])


def chroma_contrast(photo, stylized):
    """Returns L1 of U plus L1 of V between photo and result in [0, 1], each less its mean over the picture.

    A style may tint the whole picture freely, but what differs in hue goes on differing.
    Differs: ours; in AnimeGAN's colour loss Huber makes U and V count for next to nothing beside Y.
    """
    chroma = [rgb_to_yuv((_float(image) + 1.0) / 2.0)[..., 1:] for image in (photo, stylized)]
    kept, found = (values - ops.mean(values, axis=(1, 2), keepdims=True) for values in chroma)
    return 2.0 * ops.mean(ops.abs(kept - found))


def total_variation(stylized):
    """Returns half the mean squared difference of neighbours, vertical plus horizontal.

    Source: AnimeGANv2, tools/ops.py: l2_loss(dh) / N_dh + l2_loss(dw) / N_dw, on values in [-1, 1].
    """
    down, right = _gradients(_float(stylized))
    return 0.5 * ops.mean(ops.square(down)) + 0.5 * ops.mean(ops.square(right))


def flat_variation(photo, stylized):
    """Returns the mean absolute difference of neighbours in the result, weighted by how flat the photo is there.

    The weight exp(-24 |gradient of the photo's grey|) is 1 in a clear sky and near 0 at an edge: calm areas stay
    calm while lines are drawn freely.
    Differs: ours; total variation punishes ink lines and paper grain alike.
    """
    gray = ops.mean(_float(photo), axis=-1, keepdims=True)
    terms = zip(_gradients(gray), _gradients(_float(stylized)), strict=True)
    return sum(ops.mean(ops.exp(-_FLATNESS * ops.abs(guide)) * ops.abs(step)) for guide, step in terms)


def _gradients(image):
    return image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]


def _float(x):
    return ops.cast(x, "float32")
