"""Random changes of a training picture. Every function draws from the generator it is given, and always as often.

That a switched-off change still makes its draws has a use: turning the flip off leaves all crops where they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from animegan_tf.errors import ConfigError


@dataclass(frozen=True)
class Augmentation:
    """How a decoded picture becomes a training sample.

    image_size: side of the sample in pixels.
    crop_min, crop_max: the square crop's side is drawn between these fractions of the short side, in (0, 1];
      1 and 1 is the largest square.
    flip: probability of a left-right flip.
    brightness: b adds a value drawn from [-b, b], as a fraction of the full range.
    contrast: c scales around the mean by a factor drawn from [1 - c, 1 + c].

    With 1, 1, 0, 0, 0 a picture of image_size x image_size passes unchanged.
    Differs: the published loaders do none of this and need files of exactly the right size.
    """

    image_size: int
    crop_min: float = 1.0
    crop_max: float = 1.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self):
        if self.image_size < 1:
            raise ConfigError(f"image_size={self.image_size} must be at least 1.")
        if not 0 < self.crop_min <= self.crop_max <= 1:
            raise ConfigError(f"crop_min={self.crop_min} and crop_max={self.crop_max} must be 0 < min <= max <= 1.")
        for name in ("flip", "brightness", "contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be between 0 and 1.")

    @property
    def decode_side(self) -> int:
        """Short side at which a picture must be decoded so that the smallest crop is not enlarged."""
        return math.ceil(self.image_size / self.crop_min)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns a sample of `image`: [H, W, 3] uint8 RGB to [image_size, image_size, 3] uint8 RGB."""
        image = crop_resize(image, rng, size=self.image_size, crop_min=self.crop_min, crop_max=self.crop_max)
        image = flip(image, rng, probability=self.flip)
        image = jitter(image, rng, brightness=self.brightness, contrast=self.contrast)
        return np.ascontiguousarray(image)


def crop_resize(
    image: np.ndarray, rng: np.random.Generator, *, size: int, crop_min: float, crop_max: float
) -> np.ndarray:
    """Returns a random square of `image`, resized to `size`.

    The square lies on whole pixels, so that a crop that needs no resizing is not interpolated. Side and place are
    drawn as fractions: the same draws cut the same region from a copy of another resolution.

    Args:
      image: [H, W, 3] uint8 RGB.
      rng: source of three draws.
      size: side of the result.
      crop_min: least side of the square as a fraction of the short side.
      crop_max: greatest.

    Returns:
      [size, size, 3] uint8 RGB.
    """
    height, width = image.shape[:2]
    scale, down, right = crop_min + (crop_max - crop_min) * rng.random(), rng.random(), rng.random()
    side = min(max(round(scale * min(height, width)), 1), height, width)
    # Rounding a fraction, not drawing one of the whole places: a copy of twice the resolution gets twice the offset.
    top, left = round(down * (height - side)), round(right * (width - side))
    square = image[top : top + side, left : left + side]
    if side == size:
        return square
    kind = Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC
    resized = Image.fromarray(np.ascontiguousarray(square)).resize((size, size), kind, reducing_gap=3.0)
    return np.asarray(resized)


def flip(image: np.ndarray, rng: np.random.Generator, *, probability: float) -> np.ndarray:
    """Returns `image` ([H, W, 3], any dtype) mirrored left to right with `probability`; one draw."""
    return image[:, ::-1] if rng.random() < probability else image


def jitter(image: np.ndarray, rng: np.random.Generator, *, brightness: float, contrast: float) -> np.ndarray:
    """Returns `image` with another contrast, then another brightness, rounded and clipped.

    Contrast turns around each channel's mean, as in tf.image.adjust_contrast, which leaves the average colour of a
    style as it is.

    Args:
      image: [H, W, 3] uint8 RGB.
      rng: source of two draws: contrast, brightness.
      brightness: b; 255 * uniform[-b, b] is added.
      contrast: c; differences from the mean are multiplied by uniform[1 - c, 1 + c].

    Returns:
      [H, W, 3] uint8 RGB; `image` itself when both are 0.
    """
    factor, offset = 1 + contrast * rng.uniform(-1, 1), 255 * brightness * rng.uniform(-1, 1)
    if not brightness and not contrast:
        return image
    # A channel has only 256 levels: changing a table of them is three times as fast as changing the picture.
    mean = image.mean(axis=(0, 1))
    table = (np.arange(256)[:, None] - mean) * factor + mean + offset
    table = np.rint(table).clip(0, 255).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)
