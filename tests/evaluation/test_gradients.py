"""Gradients of pictures, against ramps, scipy and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from animegan_tf.evaluation.gradients import (
    GradientHistogram,
    edge_correlation,
    gradient_lengths,
    native_flatness,
    reduced_gradients,
)

cv2 = pytest.importorskip("cv2", reason="needs the extra train")


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def _histogram(*pictures: np.ndarray) -> GradientHistogram:
    found = GradientHistogram()
    for lengths in pictures:
        found.add(lengths)
    return found


def test_a_ramp_has_twice_its_slope():
    y, x = np.mgrid[:8, :9]
    np.testing.assert_allclose(gradient_lengths(3.0 * x + 4.0 * y), np.full((6, 7), 10.0))


def test_gradients_are_a_quarter_of_sobel():
    values = np.random.default_rng(0).uniform(0, 255, (12, 15))
    expected = np.hypot(cv2.Sobel(values, -1, 1, 0), cv2.Sobel(values, -1, 0, 1)) / 4
    np.testing.assert_allclose(gradient_lengths(values), expected[1:-1, 1:-1])


def test_large_pictures_are_reduced_to_256_by_area_and_small_ones_are_not():
    blocks = np.random.default_rng(0).integers(0, 256, (300, 256)).astype(np.uint8)
    large = _gray(np.kron(blocks, np.ones((2, 2))))  # halved by area, it is `blocks` again; of them the middle is seen
    expected = gradient_lengths(blocks[22:278].astype(float))
    np.testing.assert_allclose(reduced_gradients(large), expected)
    np.testing.assert_allclose(reduced_gradients(_gray(blocks[:40, :50])), gradient_lengths(blocks[:40, :50] * 1.0))


def test_native_flatness_counts_forward_differences_below_2():
    values = np.zeros((4, 5))
    values[:, 3:] = 2  # one of the four columns of differences is 2, which is not below 2
    assert native_flatness(_gray(values)) == pytest.approx(3 / 4)
    values[:, 3:] = 1.0
    assert native_flatness(_gray(values)) == 1


def test_shares_and_the_mean_of_a_set_weigh_each_picture_the_same():
    found = _histogram(np.array([0.0, 1.99, 2.0, 64.0]), np.full(100, 63.9))
    assert found.flatness == pytest.approx((2 / 4 + 0) / 2)
    assert found.strong == pytest.approx((1 / 4 + 0) / 2)
    assert found.mean == pytest.approx((67.99 / 4 + 63.9) / 2)


def test_the_steepest_gradient_there_is_has_a_place():
    assert _histogram(np.array([np.hypot(255, 255)])).strong == 1


def test_the_distance_of_distributions_is_that_of_wasserstein():
    from scipy.stats import wasserstein_distance

    random = np.random.default_rng(0)
    one, other = random.exponential(9, 4000).clip(0, 350), random.exponential(14, 3000).clip(0, 350)
    expected = wasserstein_distance(one, other)
    assert _histogram(one).distance(_histogram(other)) == pytest.approx(expected, abs=0.25)
    assert _histogram(one).distance(_histogram(one)) == 0
    assert _histogram(np.array([10.0])).distance(_histogram(np.array([15.0]))) == pytest.approx(5)


def test_the_edge_correlation_is_pearsons():
    random = np.random.default_rng(0)
    one, other = random.random((6, 7)), random.random((6, 7))
    assert edge_correlation(one, other) == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert edge_correlation(one, 3 * one + 1) == pytest.approx(1)
    assert edge_correlation(one, np.ones((6, 7))) is None
