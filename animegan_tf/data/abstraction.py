"""A photo as calm areas and contour lines: what a stylized picture is to keep of it, in place of every detail."""

from __future__ import annotations

import numpy as np

from animegan_tf.data.edges import load_cv2
from animegan_tf.data.strokes import add_strokes

_DIAMETER, _COLOR_SIGMA, _SPACE_SIGMA = 7, 30.0, 3.0
_LINE_SIGMA, _WIDER, _SHARE = 0.9, 1.6, 0.98
_THRESHOLD, _STEEPNESS = -0.5, 0.6  # in levels of 255, and per level
_SHARPNESS = 4.0  # of the bounds between two levels of lightness, per level


def abstract(
    photo: np.ndarray,
    lines: float = 0.8,
    passes: int = 2,
    levels: int = 0,
    strokes: float = 0.0,
    stroke_length: int = 4,
    recolored: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the photo with its texture smoothed away and its contours drawn dark: the same shape.

    Bilateral passes keep edges and lose texture; lightness is drawn towards a few levels; the soft-thresholded
    difference of two Gaussians of the luminance darkens the dark side of every edge.
    Source: Winnemoeller, Olsen, Gooch 2006, Real-Time Video Abstraction, eq. 1 to 3.
    Differs: the steps between the levels are equally sharp everywhere, which in a still picture does not flicker.

    Args:
      photo: [H, W, 3] uint8 RGB.
      lines: share of its brightness that a pixel on a line loses, 0 to 1; 0 draws none.
      passes: bilateral passes; more make larger areas one.
      levels: of lightness; 0 leaves it.
      strokes: contrast of the brush strokes that its texture becomes, see `add_strokes`; 0 paints none.
      stroke_length: px that they are smeared either way.
      recolored: the photo in other colours, the same shape, whose areas are then taken, and the contours of both: what
        is near in the dark of a photo may lie apart in a palette without black, and what lies apart in the light be
        near on its paper.

    Raises:
      UsageError: OpenCV is missing.
    """
    cv2 = load_cv2()
    calm = smoothed(photo, passes)
    drawn = _contours(calm, cv2)
    if recolored is not None:
        calm = smoothed(recolored, passes)
        drawn = np.maximum(drawn, _contours(calm, cv2))
    if levels:
        calm = _quantised(calm, levels, cv2)
    if strokes:
        calm = add_strokes(calm, photo if recolored is None else recolored, strokes, stroke_length)
    return np.clip(calm * (1.0 - lines * drawn)[..., None], 0, 255).astype(np.uint8)


def _contours(picture: np.ndarray, cv2) -> np.ndarray:
    """Returns how dark each pixel of [H, W, 3] uint8 RGB is to be drawn, [H, W] in [0, 1]."""
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    narrow, wide = (cv2.GaussianBlur(luminance, (0, 0), sigma) for sigma in (_LINE_SIGMA, _WIDER * _LINE_SIGMA))
    contrast = narrow - _SHARE * wide
    return np.where(contrast > _THRESHOLD, 0.0, -np.tanh(_STEEPNESS * (contrast - _THRESHOLD)))


def smoothed(picture: np.ndarray, passes: int) -> np.ndarray:
    """Returns [H, W, 3] uint8 after `passes` bilateral filters, which take texture and grain and leave edges.

    Raises:
      UsageError: OpenCV is missing.
    """
    if not passes:
        return picture
    cv2 = load_cv2()
    for _ in range(passes):
        picture = cv2.bilateralFilter(picture, _DIAMETER, _COLOR_SIGMA, _SPACE_SIGMA)
    return picture


def _quantised(picture: np.ndarray, levels: int, cv2) -> np.ndarray:
    """Returns [H, W, 3] uint8 with L* of Lab drawn towards the middles of `levels` equal steps."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    step = 100.0 / levels
    bound = np.rint(lab[..., 0] / step) * step
    beyond = np.tanh(_SHARPNESS * (lab[..., 0] - bound) / step) / np.tanh(0.5 * _SHARPNESS)
    lab[..., 0] = np.clip(bound + 0.5 * step * beyond, 0.0, 100.0)
    return np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255.0).astype(np.uint8)
