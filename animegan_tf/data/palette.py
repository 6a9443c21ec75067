"""The colours of one set of pictures moved to those of another: what a style's palette makes of a photo."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from animegan_tf.data.edges import load_cv2

_ROTATIONS, _QUANTILES = 24, 256
_GRID = 17  # colours per channel in the table
_SMOOTHING = 1.0  # cells: noise of the samples would be steps in a smooth sky


class Palette:
    """A table of colours: [H, W, 3] uint8 RGB -> the same shape, linear between the entries.

    Args:
      table: [N, N, N, 3] float in [0, 255], RGB: by red, green and blue of the photo, from 0 to 255 in equal steps.
    """

    def __init__(self, table: np.ndarray):
        values = np.clip(table / 255.0, 0.0, 1.0).transpose(2, 1, 0, 3)  # Pillow counts red fastest
        self._filter = ImageFilter.Color3DLUT(len(table), values.astype(np.float32).ravel().tolist())

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns `picture` in the colours of the table."""
        return np.array(Image.fromarray(picture).filter(self._filter))


def match_palette(source: np.ndarray, target: np.ndarray, strength: float = 1.0, seed: int = 0) -> Palette:
    """Returns the palette that moves the distribution of colours `source` to `target`.

    One smooth map for all pictures: what is reddest becomes the reddest of the target, and no two hues fall together,
    as they do where a network is free to choose. Along random axes of Lab the quantiles of one are moved to the
    quantiles of the other, again and again.
    Source: Pitie, Kokaram, Dahyot 2007, Automated colour grading using colour distribution transfer, algorithm 1.
    Differs: carried out on a table of colours beside the samples, smoothed afterwards in place of their regrain step.

    Args:
      source, target: [N, 3] and [M, 3] uint8 RGB, samples of the pixels.
      strength: share of the way that every colour goes, 0 to 1.
      seed: of the axes.

    Raises:
      UsageError: OpenCV is missing.
    """
    cv2 = load_cv2()
    rng = np.random.default_rng(seed)
    levels = np.linspace(0.0, 255.0, _GRID, dtype=np.float32)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    colors, moving, goal = (_to_lab(values, cv2) for values in (grid.reshape(-1, 3), source, target))
    for _ in range(_ROTATIONS):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        maps = [_quantile_map(moving @ axis, goal @ axis) for axis in axes.T]
        colors, moving = (_moved(values, axes, maps) for values in (colors, moving))
    found = cv2.cvtColor(colors.astype(np.float32)[None], cv2.COLOR_LAB2RGB).reshape(grid.shape) * 255.0
    return Palette(grid + strength * _smooth(found - grid, cv2))


def _to_lab(colors: np.ndarray, cv2) -> np.ndarray:
    return cv2.cvtColor(colors.astype(np.float32)[None] / 255.0, cv2.COLOR_RGB2LAB)[0].astype(np.float64)


def _quantile_map(moving: np.ndarray, goal: np.ndarray):
    """Returns the monotone function of numbers that moves the quantiles of `moving` to those of `goal`."""
    shares = np.linspace(0.0, 100.0, _QUANTILES)
    wanted = np.percentile(goal, shares)
    given = np.maximum.accumulate(np.percentile(moving, shares) + 1e-6 * np.arange(_QUANTILES))

    def move(values: np.ndarray) -> np.ndarray:
        # Beyond the samples the distance to their end is kept.
        beyond = values - np.clip(values, given[0], given[-1])
        return np.interp(values, given, wanted) + beyond

    return move


def _moved(values: np.ndarray, axes: np.ndarray, maps: list) -> np.ndarray:
    along = values @ axes
    return np.stack([move(along[:, k]) for k, move in enumerate(maps)], axis=-1) @ axes.T


def _smooth(table: np.ndarray, cv2) -> np.ndarray:
    """Returns a table of vectors blurred along its three axes."""
    for _ in range(3):
        plane = table.reshape(_GRID, -1)
        plane = cv2.GaussianBlur(plane, (1, 0), sigmaX=1e-3, sigmaY=_SMOOTHING, borderType=cv2.BORDER_REPLICATE)
        table = np.moveaxis(plane.reshape(table.shape), 0, 2)
    return table
