"""A photo as calm areas and contour lines: what a stylized picture is to keep of it, in place of every detail."""

from __future__ import annotations

import numpy as np

from animegan_tf.data.edges import load_cv2

_PASSES, _DIAMETER, _COLOR_SIGMA, _SPACE_SIGMA = 2, 7, 30.0, 3.0
_LINE_SIGMA, _WIDER, _SHARE = 0.9, 1.6, 0.98
_THRESHOLD, _STEEPNESS = -0.5, 0.6  # in levels of 255, and per level


def abstract(photo: np.ndarray, lines: float = 0.8) -> np.ndarray:
    """Returns the photo with its texture smoothed away and its contours drawn dark: the same shape.

    Two bilateral passes keep edges and lose texture; the soft-thresholded difference of two Gaussians of the luminance
    darkens the dark side of every edge.
    Source: Winnemoeller, Olsen, Gooch 2006, Real-Time Video Abstraction, eq. 1 and 2.
    Differs: no quantisation of the luminance; which areas a style joins is the style's to say.

    Args:
      photo: [H, W, 3] uint8 RGB.
      lines: share of its brightness that a pixel on a line loses, 0 to 1; 0 draws none.

    Raises:
      UsageError: OpenCV is missing.
    """
    cv2 = load_cv2()
    calm = photo
    for _ in range(_PASSES):
        calm = cv2.bilateralFilter(calm, _DIAMETER, _COLOR_SIGMA, _SPACE_SIGMA)
    luminance = cv2.cvtColor(calm, cv2.COLOR_RGB2GRAY).astype(np.float32)
    narrow, wide = (cv2.GaussianBlur(luminance, (0, 0), sigma) for sigma in (_LINE_SIGMA, _WIDER * _LINE_SIGMA))
    contrast = narrow - _SHARE * wide
    drawn = np.where(contrast > _THRESHOLD, 0.0, -np.tanh(_STEEPNESS * (contrast - _THRESHOLD)))
    return np.clip(calm * (1.0 - lines * drawn)[..., None], 0, 255).astype(np.uint8)
