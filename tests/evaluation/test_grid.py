"""The grid in calm areas: patterns of known strength, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from animegan_tf.evaluation.grid import grid_strength


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, axis=-1)


def _cells(cell: np.ndarray) -> np.ndarray:
    """Returns 100 + the cell, again and again: [96, 128]."""
    return 100.0 + np.tile(cell, (96 // len(cell), 128 // len(cell)))


@pytest.mark.parametrize(
    ("cell", "strength"),
    [
        (np.array([[2, -2], [-2, 2]]), 2.0),  # every place is 2 from the mean
        (np.array([[3, 0], [0, 0]]), 3 * 3**0.5 / 4),  # of 3, 0, 0, 0
        (np.eye(4)[:1] * np.array([[8], [0], [0], [0]]), 8 * 15**0.5 / 16),  # a dot in each 4 x 4: of 8 and 15 zeros
        (np.pad([[16]], ((0, 7), (0, 7))), 16 * 63**0.5 / 64),  # a dot in each 8 x 8
    ],
)
def test_a_pattern_has_the_deviation_of_its_cell(cell, strength):
    assert grid_strength(_gray(_cells(cell))) == pytest.approx(strength, rel=3e-3)


def test_slopes_noise_and_other_periods_are_no_grid(rng):
    ramp = np.add.outer(np.arange(96), np.arange(128))
    assert grid_strength(_gray(ramp)) < 0.1
    assert grid_strength(_gray(100 + rng.normal(0, 2, (480, 640)))) < 0.1
    stripes = 100.0 + 3 * np.tile(np.array([1, 0, 0]), (96, 43))[:, :128]
    assert grid_strength(_gray(stripes)) < 0.15


def test_a_pattern_among_edges_does_not_count_nor_does_a_picture_without_calm_areas(rng):
    assert grid_strength(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)) is None
    half = np.tile(_cells(np.array([[2, -2], [-2, 2]])), (2, 2))
    half[:, 128:] = rng.integers(0, 256, (192, 128))
    assert grid_strength(_gray(half)) == pytest.approx(2.0, rel=0.05)


def test_the_luminance_counts_and_small_pictures_have_none():
    pixels = np.full((96, 128, 3), 100, np.uint8)
    pixels[::2, ::2, 2] = 140  # blue: 0.114 of 40, in a quarter of the pixels
    assert grid_strength(pixels) == pytest.approx(0.114 * 40 * 3**0.5 / 4, rel=0.02)
    assert grid_strength(pixels[:24, :24]) is None
