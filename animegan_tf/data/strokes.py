"""Brush strokes made of a photo's own texture: what a painted picture has where the photo has leaves, waves, cloth."""

from __future__ import annotations

import numpy as np

from animegan_tf.data.edges import load_cv2

_SOFTNESS = 0.7  # px: paint has no edge as sharp as a photo's
_AROUND, _GRAIN = 8.0, 1.0  # px; levels of L* below which texture is grain
_MOST = 5.0  # times its own contrast
_BOUND = 12.0  # L* that a stroke differs by at the most, or letters would be blots
_WARMTH, _WIDER = 1.5, 1.5  # b* of a stroke per L* that it is lighter; px
_FLOW_SIGMA = 3.0  # px
_CRISPNESS, _CRISP_SIGMA = 0.2, 1.2  # for each px of length, as smearing takes contrast; px


def add_strokes(calm: np.ndarray, picture: np.ndarray, contrast: float, length: int = 4) -> np.ndarray:
    """Returns a calm picture with the texture of `picture` as brush strokes, the same shape, uint8 RGB.

    The texture is what a picture has beside its calm areas. It is brought to the same contrast everywhere, but for what
    is too faint to be more than grain; lighter strokes become warmer and darker ones cooler, as in broken colour; it is
    laid on softer edges; and everything is smeared along the edges nearby, and sharpened across them.
    All of it depends on the photo alone: strokes stay where they are while a film stands still.
    Source: smoothing along the flow and sharpening across it, Kyprianidis and Kang 2011, Image and Video Abstraction by
    Coherence-Enhancing Filtering, sections 3 and 4. Differs: unsharp masking in place of their shock filter, once, and
    texture is made stronger first in place of weaker.

    Args:
      calm: [H, W, 3] uint8 RGB, `picture` smoothed so that edges stay, see `abstraction.smoothed`.
      picture: [H, W, 3] uint8 RGB.
      contrast: standard deviation of L* that texture is brought to, in levels of 100.
      length: px that texture is smeared either way; 0 leaves dabs.

    Raises:
      UsageError: OpenCV is missing.
    """
    cv2 = load_cv2()
    base, full = (cv2.cvtColor(part.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB) for part in (calm, picture))
    texture = full - base
    deviation = np.sqrt(cv2.GaussianBlur(np.square(texture[..., 0]), (0, 0), _AROUND) + _GRAIN**2)
    texture *= np.clip(contrast / deviation, 1.0, _MOST)[..., None]
    texture[..., 0] = _BOUND * np.tanh(texture[..., 0] / _BOUND)
    lighter = _WARMTH * cv2.GaussianBlur(texture[..., 0], (0, 0), _WIDER)
    texture += np.stack([np.zeros_like(lighter), 0.4 * lighter, lighter], axis=-1)
    painted = _smeared(cv2.GaussianBlur(base, (0, 0), _SOFTNESS) + texture, length, cv2)
    rgb = cv2.cvtColor(painted, cv2.COLOR_LAB2RGB) * 255.0
    crisp = rgb + _CRISPNESS * length * (rgb - cv2.GaussianBlur(rgb, (0, 0), _CRISP_SIGMA))
    return np.rint(np.clip(crisp, 0.0, 255.0)).astype(np.uint8)


def _smeared(picture: np.ndarray, length: int, cv2) -> np.ndarray:
    """Returns [H, W, 3] float32 Lab averaged along the flow of its lightness, `length` px either way.

    Source: Cabral and Leedom 1993, Imaging Vector Fields Using Line Integral Convolution.
    """
    height, width = picture.shape[:2]
    flow = _flow(picture[..., 0], cv2)
    start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    total, weights = picture.copy(), 1.0
    for direction in (flow, -flow):
        place, ahead = start, direction
        for step in range(1, length + 1):
            place = place + ahead
            along = cv2.remap(flow, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            # An axis has no sign: it is the one that does not turn back.
            ahead = along * np.where((along * ahead).sum(-1, keepdims=True) < 0, -1, 1).astype(np.float32)
            weight = float(np.exp(-0.5 * (2.0 * step / length) ** 2))
            total += weight * cv2.remap(picture, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            weights += weight
    return total / weights


def _flow(lightness: np.ndarray, cv2) -> np.ndarray:
    """Returns unit vectors (x, y) along the edges around, [H, W, 2] float32: of the smoothed structure tensor."""
    soft = cv2.GaussianBlur(lightness, (0, 0), 1.0)
    x, y = (cv2.Sobel(soft, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), _FLOW_SIGMA) for product in (x * x, y * y, x * y))
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy) + 0.5 * np.pi
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)
