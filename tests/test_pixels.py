"""images: the pixel convention, a share of the style, and the pixels beyond the edge."""

from __future__ import annotations

import numpy as np
import pytest

from animegan_tf.images import blend, pad_to_multiple, reflect_indices, to_float, to_uint8

ALL_LEVELS = np.arange(256, dtype=np.uint8)


def test_float_range_ends_at_exactly_minus_one_and_one():
    floats = to_float(np.array([0, 255], np.uint8))
    assert floats.tolist() == [-1.0, 1.0]
    assert floats.dtype == np.float32


def test_all_256_levels_survive_the_round_trip():
    np.testing.assert_array_equal(to_uint8(to_float(ALL_LEVELS)), ALL_LEVELS)


def test_to_uint8_rounds_to_the_nearest_level_and_clips():
    values = np.array([-2.0, (100.4 / 127.5) - 1, (100.6 / 127.5) - 1, 2.0], np.float32)
    assert to_uint8(values).tolist() == [0, 100, 101, 255]


def test_a_blend_is_linear_and_rounded():
    photo, styled = np.array([0, 10, 255], np.uint8), np.array([255, 11, 0], np.uint8)
    assert blend(photo, styled, 0.2).tolist() == [51, 10, 204]
    assert blend(photo, styled, 0).tolist() == photo.tolist() and blend(photo, styled, 1).tolist() == styled.tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("extra", [0, 1, 5, 30])
def test_reflect_indices_equal_numpys_reflect(size, extra):
    expected = np.pad(np.arange(size), (0, extra), mode="reflect") if size > 1 else np.zeros(1 + extra)
    np.testing.assert_array_equal(reflect_indices(size, size + extra), expected)


def test_a_margin_is_added_on_every_side(rng):
    pixels = rng.integers(0, 256, (10, 13, 3)).astype(np.uint8)
    expected = np.pad(pixels, ((4, 10), (4, 7), (0, 0)), mode="reflect")
    padded = pad_to_multiple(pixels, 8, margin=4)
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(padded[4:14, 4:17], pixels)


def test_pad_to_multiple_reflects_at_the_bottom_and_right(rng):
    pixels = rng.integers(0, 256, (5, 9, 3), dtype=np.uint8)
    expected = np.pad(pixels, ((0, 3), (0, 7), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(pad_to_multiple(pixels, 8), expected)


@pytest.mark.parametrize(
    ("shape", "multiple", "minimum", "expected"),
    [((16, 24), 8, 0, (16, 24)), ((1, 1), 8, 32, (32, 32)), ((40, 3), 8, 32, (40, 32)), ((10, 50), 24, 32, (48, 72))],
)
def test_padded_size_is_a_multiple_and_at_least_the_minimum(shape, multiple, minimum, expected):
    assert pad_to_multiple(np.zeros((*shape, 3), np.uint8), multiple, minimum).shape == (*expected, 3)
