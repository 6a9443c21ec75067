"""Lines and calm areas: how steep the luminance of a set of pictures is, and where.

Two scales, since a print scanned at 1200 pixels and a photo of 600 have no pixel size in common: the picture reduced
to a short side of 256, where all are alike, and the pixels as they are, where grain and JPEG noise show.
"""

from __future__ import annotations

import numpy as np

from animegan_tf.data.edges import load_cv2
from animegan_tf.evaluation.metrics import centre, luminance

SHORT_SIDE = 256
FLAT_BELOW = 2.0
STRONG_FROM = 64.0
_BIN = 0.25
_BINS = 1 + int(np.hypot(255, 255) / _BIN)


def gradient_lengths(values: np.ndarray) -> np.ndarray:
    """Returns the length of the gradient inside the border pixels, [H-2, W-2], of luminance [H, W].

    Each component is Sobel's (1968) divided by 4: the difference between the pixels on both sides, two pixels apart,
    averaged (1, 2, 1) / 4 across. A ramp of 1 level per pixel has the length 2.
    """
    down = (values[:-2] + 2 * values[1:-1] + values[2:]) / 4
    along = (values[:, :-2] + 2 * values[:, 1:-1] + values[:, 2:]) / 4
    return np.hypot(down[:, 2:] - down[:, :-2], along[2:] - along[:-2])


def reduced_gradients(pixels: np.ndarray) -> np.ndarray:
    """Returns `gradient_lengths` of the middle 256 x 256 of a picture whose short side is reduced to 256.

    A smaller picture stays as it is. By area, which adds no ringing that would count as gradient.

    Args:
      pixels: [H, W, 3] uint8 RGB.
    """
    height, width = pixels.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    if scale < 1:
        cv2 = load_cv2("Evaluation")
        size = (round(width * scale), round(height * scale))
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return gradient_lengths(luminance(centre(pixels, SHORT_SIDE)))


def native_flatness(pixels: np.ndarray) -> float:
    """Returns the share of pixels, [H, W, 3] uint8 RGB, whose forward differences of luminance are below 2 levels."""
    values = luminance(pixels)
    across, down = np.diff(values, axis=1)[:-1], np.diff(values, axis=0)[:, :-1]
    return float(np.mean(np.hypot(across, down) < FLAT_BELOW))


def edge_correlation(photo: np.ndarray, stylized: np.ndarray) -> float | None:
    """Returns Pearson's correlation of two maps of gradient lengths; None where one of them has no edge at all.

    1: edges where the photo has them, in proportion; 0: elsewhere.
    """
    photo, stylized = photo - photo.mean(), stylized - stylized.mean()
    energy = np.sqrt(np.square(photo).sum() * np.square(stylized).sum())
    return float((photo * stylized).sum() / energy) if energy else None


class GradientHistogram:
    """The distribution of gradient lengths over a set of pictures, each picture weighing the same."""

    def __init__(self) -> None:
        self.count = 0
        self._shares = np.zeros(_BINS)
        self._mean = 0.0

    def add(self, lengths: np.ndarray) -> None:
        """Adds the gradient lengths of a picture, in levels of 255."""
        bins = (lengths / _BIN).astype(np.int64).ravel()
        self._shares += np.bincount(bins, minlength=_BINS) / bins.size
        self._mean += float(lengths.mean())
        self.count += 1

    @property
    def flatness(self) -> float:
        """Share of gradients below 2 levels."""
        return float(self._shares[: int(FLAT_BELOW / _BIN)].sum() / self.count)

    @property
    def strong(self) -> float:
        """Share of gradients of 64 levels or more: contours."""
        return float(self._shares[int(STRONG_FROM / _BIN) :].sum() / self.count)

    @property
    def mean(self) -> float:
        """Mean length in levels."""
        return self._mean / self.count

    def distance(self, other: GradientHistogram) -> float:
        """Returns the 1-Wasserstein distance of the two distributions in levels, to within a bin of 0.25.

        That is the area between their cumulative distributions: by how much lengths must change on average to turn
        one into the other.
        """
        apart = np.cumsum(self._shares / self.count - other._shares / other.count)
        return float(np.abs(apart).sum() * _BIN)
