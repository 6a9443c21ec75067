"""FID and KID, against closed forms, the square root of a matrix, and a loop over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from animegan_tf.evaluation import distributions
from animegan_tf.evaluation.distributions import frechet_distance, kernel_distance


def _points(mean, deviations) -> np.ndarray:
    """Returns [2 D, D] with exactly this mean and the covariance diag(deviations^2)."""
    size = len(deviations)
    scale = np.sqrt((2 * size - 1) / 2)
    arms = np.diag(np.asarray(deviations, float)) * scale
    return np.concatenate([arms, -arms]) + mean


def test_fid_of_normal_distributions_with_axes_in_common():
    """|m1 - m2|^2 + sum (s1 - s2)^2."""
    one, other = _points([1, 2, 3], [1, 2, 0.5]), _points([1, 4, 2], [3, 2, 1])
    np.testing.assert_allclose(np.cov(other.T), np.diag([9, 4, 1]), atol=1e-12)
    assert frechet_distance(one, other) == pytest.approx(4 + 1 + 4 + 0 + 0.25)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_fid_of_rotated_distributions_is_that_of_the_matrix_square_root():
    from scipy.linalg import sqrtm

    random = np.random.default_rng(0)
    one = random.normal(size=(50, 6)) @ random.normal(size=(6, 6))
    other = random.normal(size=(40, 6)) @ random.normal(size=(6, 6)) + 1
    c1, c2 = np.cov(one.T), np.cov(other.T)
    shift = np.square(one.mean(0) - other.mean(0)).sum()
    expected = shift + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert frechet_distance(one, other) == pytest.approx(expected)


def test_fid_is_sound_with_fewer_pictures_than_features():
    """Two points each lie on a line: C = d d^T / 2, and the trace of the root is |d1 . d2| / 2."""
    one = np.zeros((2, 50))
    one[0, 0] = 2
    other = np.zeros((2, 50))
    other[0, :2] = 3, 4
    shift = np.square([1 - 1.5, 2]).sum()
    assert frechet_distance(one, other) == pytest.approx(shift + 4 / 2 + 25 / 2 - 2 * (6 / 2))


def _discrepancy_by_pairs(one, other):
    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def own(items):
        return np.mean([kernel(x, y) for x, y in itertools.permutations(items, 2)])

    return own(one) + own(other) - 2 * np.mean([kernel(x, y) for x in one for y in other])


def test_kid_is_the_mean_kernel_over_all_pairs_of_different_pictures():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(7, 4)), random.normal(1, 2, size=(5, 4))
    assert kernel_distance(one, other) == pytest.approx(_discrepancy_by_pairs(one, other))


def test_kid_has_no_bias():
    random = np.random.default_rng(0)
    found = [kernel_distance(random.normal(size=(6, 3)), random.normal(size=(8, 3))) for _ in range(3000)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_kid_of_large_sets_is_a_mean_over_subsets(monkeypatch):
    monkeypatch.setattr(distributions, "KID_SUBSET", 20)
    random = np.random.default_rng(0)
    one, other = random.normal(size=(60, 3)), random.normal(1, size=(70, 3))
    found = kernel_distance(one, other)
    monkeypatch.undo()
    assert found == pytest.approx(kernel_distance(one, other), rel=0.15)
    assert found != kernel_distance(one, other)
