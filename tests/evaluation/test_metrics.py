"""What is kept of a photo and how near a style is, against values by hand and by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from animegan_tf.evaluation.metrics import MeanGrams, centre, content_distance, luminance, psnr, ssim, style_distance

pytest.importorskip("skimage", reason="needs the extra train")


def _flat(*rgb: int) -> np.ndarray:
    return np.full((16, 20, 3), rgb, np.uint8)


def test_luminance_weighs_colours_and_keeps_grey_levels():
    assert luminance(np.array([[[10, 20, 30]]], np.uint8))[0, 0] == pytest.approx(2.99 + 11.74 + 3.42)
    levels = np.arange(256)
    np.testing.assert_array_equal(luminance(np.stack([levels] * 3, -1)[None].astype(np.uint8))[0], levels)


def test_psnr_is_the_logarithm_of_the_mean_square_over_all_colours():
    photo = np.random.default_rng(0).integers(0, 200, (16, 20, 3)).astype(np.uint8)
    assert psnr(photo, photo + 5) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(_flat(9, 9, 9), _flat(9, 9, 12)) == pytest.approx(10 * math.log10(255**2 / 3))
    assert psnr(photo, photo) == math.inf


def test_ssim_of_flat_pictures_is_that_of_their_luminance():
    """Without variance only the first factor is left: (2 x y + C1) / (x^2 + y^2 + C1)."""
    x, y, c1 = 100, 0.299 * 100 + 0.587 * 50 + 0.114 * 200, (0.01 * 255) ** 2
    expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
    assert ssim(_flat(100, 100, 100), _flat(100, 50, 200)) == pytest.approx(expected)


def test_ssim_is_the_formula_of_its_paper():
    """Gaussian window of 11 pixels and sigma 1.5, means over the places where it fits."""
    from scipy.ndimage import correlate1d

    random = np.random.default_rng(1)
    x, y = (random.integers(0, 256, (20, 22, 1)).repeat(3, 2).astype(np.uint8) for _ in range(2))
    window = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))

    def blurred(values):
        kernel = window / window.sum()
        return correlate1d(correlate1d(values, kernel, 0), kernel, 1)[5:-5, 5:-5]

    a, b = x[..., 0].astype(float), y[..., 0].astype(float)
    mean_a, mean_b = blurred(a), blurred(b)
    spread_a, spread_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * (blurred(a * b) - mean_a * mean_b) + c2)
    expected = top / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))
    assert ssim(x, y) == pytest.approx(expected.mean(), abs=1e-9)


def test_ssim_is_1_for_equal_pictures_and_falls_with_structure_not_with_colour():
    random = np.random.default_rng(0)
    photo = random.integers(40, 200, (24, 24, 1)).repeat(3, 2).astype(np.uint8)
    recoloured = photo + np.array([10, 0, -26], np.int16)  # 0.299 * 10 = 0.114 * 26, nearly
    assert ssim(photo, photo) == pytest.approx(1)
    assert ssim(photo, recoloured.astype(np.uint8)) > 0.999
    assert ssim(photo, photo[::-1]) < 0.2


def test_the_centre_is_the_middle_and_smaller_sides_stay():
    pixels = np.arange(7 * 10 * 3).reshape(7, 10, 3)
    np.testing.assert_array_equal(centre(pixels, 4), pixels[1:5, 3:7])
    np.testing.assert_array_equal(centre(pixels, 8), pixels[:, 1:9])


def test_mean_gram_matrices_by_hand():
    grams = MeanGrams()
    grams.add({"own": np.array([[[[1, -1, 1]]]], np.float32)})
    grams.add({"own": np.ones((1, 1, 2, 3), np.float32)})  # size does not matter
    np.testing.assert_allclose(grams.mean()["own"], np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]) / 3)


def test_the_style_distance_is_relative_in_each_layer():
    def grams(*pixel):
        found = MeanGrams()
        values = np.array(pixel, np.float32).reshape(1, 1, 1, 3)
        found.add({"one": values, "tenth": values / 10})
        return found

    style = grams(1, 1, 1)
    assert style_distance(style, style) == 0
    # All 9 products are 1 / 3 in the style; with -1, 1, 1 four of them change their sign.
    assert style_distance(grams(-1, 1, 1), style) == pytest.approx(4 * 2 / 9)


def test_the_content_distance_is_the_share_of_the_energy_that_differs():
    photo = np.array([3.0, 4.0])
    assert content_distance(photo, photo) == 0
    assert content_distance(photo, np.array([3.0, 1.0])) == pytest.approx(9 / 25)
    assert content_distance(10 * photo, np.array([30.0, 10.0])) == pytest.approx(9 / 25)
