"""The Keras network on pictures of any size: what every exported file has to give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from animegan_tf import images
from animegan_tf.models import Generator


def stylize_pixels(generator: Generator, pixels: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the result of `generator` for a picture with its margin around it, float32 [H, W, 3] in [-1, 1].

    Args:
      generator: in float32.
      pixels: uint8 RGB [H, W, 3], any size.
      further: the further inputs by name, float32 [1, n].
    """
    margin, (height, width) = generator.margin, pixels.shape[:2]
    padded = images.pad_to_multiple(pixels, generator.size_multiple, images.MINIMUM_SIDE, margin)
    stylized = np.asarray(generator(images.to_float(padded)[None], **further, training=False))[0]
    return stylized[margin : margin + height, margin : margin + width]


def encode_pixels(generator: Generator, pixels: np.ndarray) -> np.ndarray:
    """Returns the code of a style picture, float32 [1, n]; `pixels`: uint8 RGB [H, W, 3], any size."""
    padded = images.pad_to_multiple(pixels, 1, images.MINIMUM_SIDE)
    return np.asarray(generator.encode(images.to_float(padded)[None]))
