"""preview.jpg of a style folder: the photo beside what the style makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from animegan_tf import images
from animegan_tf.export.reference import encode_pixels, stylize_pixels
from animegan_tf.models import Generator


def draw_preview(generator: Generator, photo: np.ndarray, styles: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Returns the photo beside its result: in every class, or after every style picture, which stands above it.

    Args:
      generator: in float32; noise is 0.
      photo: uint8 RGB [H, W, 3].
      styles: uint8 RGB [h, w, 3] each, at least one for a generator that takes a code, else none.

    Returns:
      uint8 RGB [H, columns W, 3], or [H + H // 2, columns W, 3] with style pictures.
    """
    results = [stylize_pixels(generator, photo, further) for further in _variants(generator, styles)]
    row = np.concatenate([photo, *(images.to_uint8(result) for result in results)], axis=1)
    if not styles:
        return row
    size = (photo.shape[1], photo.shape[0] // 2)
    above = [ImageOps.pad(Image.fromarray(style), size, color="white") for style in styles]
    empty = np.full((size[1], size[0], 3), 255, np.uint8)
    return np.concatenate([np.concatenate([empty, *(np.asarray(image) for image in above)], axis=1), row])


def _variants(generator: Generator, styles: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    shapes = generator.inputs_shape
    zeros = {name: np.zeros((1, *shape), np.float32) for name, shape in shapes.items()}
    if "label" in shapes:
        return [zeros | {"label": row[None]} for row in np.eye(*shapes["label"], dtype=np.float32)]
    if "code" in shapes:
        return [zeros | {"code": encode_pixels(generator, style)} for style in styles]
    return [zeros]
