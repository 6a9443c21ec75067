"""Random changes of a training picture. Every function draws from the generator it is given, and always as often.

That a switched-off change still makes its draws has a use: turning the flip off leaves all crops where they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from animegan_tf.data.edges import load_cv2
from animegan_tf.errors import ConfigError

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """How a decoded picture becomes a training sample.

    image_size: side of the sample in pixels.
    crop_min, crop_max: the square crop's side is drawn between these fractions of the short side, in (0, 1];
      1 and 1 is the largest square.
    flip: probability of a left-right flip.
    brightness: b adds a value drawn from [-b, b], as a fraction of the full range.
    contrast: c scales around the mean by a factor drawn from [1 - c, 1 + c].
    rotation: r turns by an angle drawn from [-r, r] degrees; what turns in from outside is the picture's reflection.
    saturation: s scales around each pixel's luma by a factor drawn from [1 - s, 1 + s].

    With 1, 1, 0, 0, 0, 0, 0 a picture of image_size x image_size passes unchanged.
    Differs: the published loaders do none of this and need files of exactly the right size.
    """

    image_size: int
    crop_min: float = 1.0
    crop_max: float = 1.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    rotation: float = 0.0
    saturation: float = 0.0

    def __post_init__(self):
        if self.image_size < 1:
            raise ConfigError(f"image_size={self.image_size} must be at least 1.")
        if not 0 < self.crop_min <= self.crop_max <= 1:
            raise ConfigError(f"crop_min={self.crop_min} and crop_max={self.crop_max} must be 0 < min <= max <= 1.")
        limits = {"flip": 1, "brightness": 1, "contrast": 1, "rotation": 180, "saturation": 1}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ConfigError(f"{name}={getattr(self, name)} must be between 0 and {limit}.")

    @property
    def decode_side(self) -> int:
        """Short side at which a picture must be decoded so that the smallest crop is not enlarged."""
        return math.ceil(self.image_size / self.crop_min)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns a sample of `image`: [H, W, 3] uint8 RGB to [image_size, image_size, 3] uint8 RGB."""
        image = self._cut(image, rng)
        image = jitter(image, rng, brightness=self.brightness, contrast=self.contrast)
        image = rotate(image, rng, degrees=self.rotation)
        image = saturate(image, rng, amount=self.saturation)
        return np.ascontiguousarray(image)

    def geometry(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the region of a companion of a picture that `self(picture, rng)` shows, without changes of colour.

        Args:
          image: [H, W] or [H, W, 1 or 3] uint8, of the picture's proportions: a map of facial landmarks.
          rng: in the state in which the picture's own generator began.

        Returns:
          [image_size, image_size] or [image_size, image_size, 1 or 3] uint8.
        """
        plane = image[..., 0] if image.shape[2:] == (1,) else image  # Pillow knows no third axis of one channel
        plane = self._cut(plane, rng)
        plane = jitter(plane, rng, brightness=0.0, contrast=0.0)  # for its draws alone
        plane = rotate(plane, rng, degrees=self.rotation)
        return np.ascontiguousarray(plane).reshape(*plane.shape[:2], *image.shape[2:])

    def _cut(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = crop_resize(image, rng, size=self.image_size, crop_min=self.crop_min, crop_max=self.crop_max)
        return flip(image, rng, probability=self.flip)


def crop_resize(
    image: np.ndarray, rng: np.random.Generator, *, size: int, crop_min: float, crop_max: float
) -> np.ndarray:
    """Returns a random square of `image`, resized to `size`.

    The square lies on whole pixels, so that a crop that needs no resizing is not interpolated. Side and place are
    drawn as fractions: the same draws cut the same region from a copy of another resolution.

    Args:
      image: [H, W, 3] uint8 RGB, or [H, W] uint8.
      rng: source of three draws.
      size: side of the result.
      crop_min: least side of the square as a fraction of the short side.
      crop_max: greatest.

    Returns:
      [size, size, 3] uint8 RGB, or [size, size] uint8.
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
    """Returns `image` ([H, W] or [H, W, 3], any dtype) mirrored left to right with `probability`; one draw."""
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


def rotate(image: np.ndarray, rng: np.random.Generator, *, degrees: float) -> np.ndarray:
    """Returns `image` turned around its middle by a random angle, at the same size.

    Beyond its border the picture goes on as its reflection, so that no black corner tells the discriminator anything.

    Args:
      image: [H, W] or [H, W, 3] uint8.
      rng: source of one draw.
      degrees: r; the angle is uniform[-r, r], anticlockwise.

    Returns:
      [H, W] or [H, W, 3] uint8, bicubic; `image` itself when `degrees` is 0 or it is one pixel wide or high.

    Raises:
      UsageError: OpenCV is missing and `degrees` is not 0.
    """
    angle = degrees * rng.uniform(-1, 1)
    if not degrees or min(image.shape[:2]) == 1:  # OpenCV never returns from reflecting a single pixel
        return image
    cv2 = load_cv2("Rotation")  # Pillow's bicubic rotation sharpens: it is off by twice as many levels
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    return cv2.warpAffine(
        np.ascontiguousarray(image), matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def saturate(image: np.ndarray, rng: np.random.Generator, *, amount: float) -> np.ndarray:
    """Returns `image` with stronger or weaker colours of the same luma, rounded and clipped.

    Args:
      image: [H, W, 3] uint8 RGB.
      rng: source of one draw.
      amount: s; differences from the luma (0.299, 0.587, 0.114) are multiplied by uniform[1 - s, 1 + s].

    Returns:
      [H, W, 3] uint8 RGB; `image` itself when `amount` is 0.
    """
    factor = np.float32(1 + amount * rng.uniform(-1, 1))
    if not amount:
        return image
    luma = (image @ _LUMA)[..., None]
    return np.rint(luma + (image - luma) * factor).clip(0, 255).astype(np.uint8)
