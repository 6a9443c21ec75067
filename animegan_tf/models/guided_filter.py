"""The guided filter: a smoothing that keeps the edges of its guide, differentiable, for training."""

from __future__ import annotations

from keras import ops


def box_mean(image, radius: int):
    """Returns the mean over the (2 radius + 1)^2 window around each pixel, cut at the picture's border.

    Args:
      image: [B, H, W, C] float32, any range.
      radius: of the window, in px.
    """
    # Padded pixels are not counted. Two short passes: a whole-picture running sum would lose digits in float32. Not by
    # average_pool, whose gradient TensorFlow 2.21 gets wrong on some CPUs: a window of 5 over a side of 4, for one.
    for window in ((1, 2 * radius + 1), (2 * radius + 1, 1)):
        ones = ops.ones((*window, image.shape[-1], 1), dtype=image.dtype)
        sums, counts = (ops.depthwise_conv(x, ones, padding="same") for x in (image, ops.ones_like(image)))
        image = sums / counts
    return image


def guided_filter(guide, image, radius: int, epsilon: float):
    """Returns `image` smoothed where `guide` is flat and left alone where it varies, channel by channel.

    Source: He et al. 2010, Guided Image Filtering, algorithm 1. AnimeGANv3 filters its support output by itself,
    radius 2, epsilon 0.01, on values in [0, 1].

    Args:
      guide: [B, H, W, C] float, the same range as `image`; one channel serves all of the image's.
      image: [B, H, W, C] float.
      radius: of the window, in px; the picture may be smaller.
      epsilon: variance of the guide, over a window, below which it counts as flat.

    Returns:
      [B, H, W, C] float32.
    """
    guide, image = ops.cast(guide, "float32"), ops.cast(image, "float32")
    guide_mean, image_mean = box_mean(guide, radius), box_mean(image, radius)
    covariance = box_mean(guide * image, radius) - guide_mean * image_mean
    variance = box_mean(guide * guide, radius) - guide_mean * guide_mean
    slope = covariance / (variance + epsilon)
    offset = image_mean - slope * guide_mean
    return box_mean(slope, radius) * guide + box_mean(offset, radius)
