"""How much more than the picture a trained network has to see for zero padding to leave no frame in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from animegan_tf.export.reference import stylize_pixels
from animegan_tf.models import Generator

_LEVEL = 1 / 127.5
# Of 255. In photos changes of four levels one way that fade over a dozen pixels were not seen, nor five of either sign.
_SHIFT, _CHANGE, _ON_FLAT = 4.0, 5.0, 2.0
_PHOTOS, _SIDE = 32, 128
_FLAT = ((0, 0, 0), (30, 30, 30), (128, 128, 128), (225, 225, 225), (255, 255, 255), (90, 140, 200), (200, 120, 60))


def fit_margin(generator: Generator, photos: Sequence[np.ndarray]) -> int:
    """Returns the least margin with which zero padding leaves no frame that is seen.

    A network that is trained on zero padding comes to terms with it, so that what it draws at a border is different,
    but not worse. A frame is what borders have in common: it is compared what a photo gives with a margin of the
    receptive radius, which no padding reaches across. At each distance from each of the four borders, over all photos,
    the mean of a colour may change by 4 levels of 255, and pixels by 5 on average. Some 32 photos are looked at, as of
    few it is the motif that differs. On pictures of one colour, where a frame is seen sooner, both may change by 2.

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
    crops += [np.full((_SIDE, _SIDE, 3), color, np.uint8) for color in _FLAT]
    try:
        widest = generator.margin = -(-radius // multiple) * multiple
        wanted = [stylize_pixels(generator, crop, {}) for crop in crops]
        for narrower in range(widest - multiple, -1, -multiple):
            generator.margin = narrower
            results = (stylize_pixels(generator, crop, {}) for crop in crops)
            changes = [a - b for a, b in zip(results, wanted, strict=True)]
            of_photos, flat = changes[: -len(_FLAT)], changes[-len(_FLAT) :]
            if _has_frame(of_photos) or any(_has_frame([change], _ON_FLAT, _ON_FLAT) for change in flat):
                return narrower + multiple
        return 0
    finally:
        generator.margin = margin


def _has_frame(changes: Sequence[np.ndarray], most_shift: float = _SHIFT, most_change: float = _CHANGE) -> bool:
    """Whether one would see the frame that `changes`, [H, W, 3] of each picture, have in common; limits in levels."""
    depth = min(side for change in changes for side in change.shape[:2]) // 2
    for turns in range(4):
        sides = np.concatenate([np.rot90(change, turns)[:depth] for change in changes], axis=1)  # [depth, pixels, 3]
        shift, change = np.abs(sides.mean(1)).max(), np.abs(sides).mean((1, 2)).max()
        if shift > most_shift * _LEVEL or change > most_change * _LEVEL:
            return True
    return False


def _corner(photo: np.ndarray, multiple: int) -> np.ndarray:
    """Returns the upper left of `photo`, of sides that need no padding but the margin."""
    height, width = (max(multiple, min(_SIDE, side) // multiple * multiple) for side in photo.shape[:2])
    return photo[:height, :width]
