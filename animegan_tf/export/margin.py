"""How much more than the picture a trained network has to see for zero padding to leave no frame in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from animegan_tf.export.reference import stylize_pixels
from animegan_tf.models import Generator

_LEVEL = 1 / 127.5
_PHOTOS, _SIDE = 8, 128


def fit_margin(generator: Generator, photos: Sequence[np.ndarray]) -> int:
    """Returns the least margin with which zero padding changes no pixel of `photos` by half a level of 255.

    How far a frame is seen depends on the training: strong lines carry it further. Each photo is compared with itself
    seen with a margin of the receptive radius, which no padding reaches across. Some eight photos are looked at.

    Args:
      generator: in float32, its weights trained. One without a margin, or with statistics of the whole picture, keeps
        the margin that it has.
      photos: uint8 RGB [H, W, 3].

    Returns: a multiple of `size_multiple`.
    """
    margin, multiple, radius = generator.margin, generator.size_multiple, generator.receptive_radius
    if not margin or radius is None or generator.inputs_shape:
        return margin
    crops = [_corner(photo, multiple) for photo in photos[:: max(1, len(photos) // _PHOTOS)]]
    try:
        widest = generator.margin = -(-radius // multiple) * multiple
        wanted = [stylize_pixels(generator, crop, {}) for crop in crops]
        for narrower in range(widest - multiple, -1, -multiple):
            generator.margin = narrower
            results = (stylize_pixels(generator, crop, {}) for crop in crops)
            if any(np.abs(a - b).max() >= _LEVEL / 2 for a, b in zip(results, wanted, strict=True)):
                return narrower + multiple
        return 0
    finally:
        generator.margin = margin


def _corner(photo: np.ndarray, multiple: int) -> np.ndarray:
    """Returns the upper left of `photo`, of sides that need no padding but the margin."""
    height, width = (max(multiple, min(_SIDE, side) // multiple * multiple) for side in photo.shape[:2])
    return photo[:height, :width]
