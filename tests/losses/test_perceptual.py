"""Feature losses against NumPy."""

import numpy as np

from animegan_tf.config import TrainConfig
from animegan_tf.losses import perceptual


def test_gram_by_hand():
    features = np.array([[[1.0, 2.0], [3.0, 0.0]]], "float32")[None]
    # F^T F = [[1 + 9, 2], [2, 4]], divided by H W C = 1 * 2 * 2.
    np.testing.assert_allclose(perceptual.gram_matrix(features)[0], [[2.5, 0.5], [0.5, 1.0]])


def test_gram_does_not_depend_on_position(rng):
    features = rng.normal(size=(1, 4, 6, 3)).astype("float32")
    shuffled = features.reshape(1, 24, 3)[:, rng.permutation(24)].reshape(1, 4, 6, 3)
    np.testing.assert_allclose(perceptual.gram_matrix(features), perceptual.gram_matrix(shuffled), atol=1e-6)


def test_centered_grams_are_covariances_and_ignore_a_shift(rng):
    features = rng.normal(1.0, 1.0, (1, 4, 6, 3)).astype("float32")
    found = perceptual.gram_matrix(features, centered=True)
    # H W C times the Gram matrix is H W times the covariance.
    np.testing.assert_allclose(found[0] * 3, np.cov(features.reshape(24, 3).T, bias=True), rtol=1e-4)
    shifted = features + np.array([5, -2, 1], "float32")
    np.testing.assert_allclose(perceptual.gram_matrix(shifted, centered=True), found, atol=1e-5)


def test_losses_against_numpy(rng):
    a, b = rng.normal(size=(2, 2, 3, 4, 5)).astype("float32")
    np.testing.assert_allclose(perceptual.l1(a, b), np.abs(a - b).mean(), rtol=1e-5)
    np.testing.assert_allclose(perceptual.l2(a, b), ((a - b) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(perceptual.feature_distance(a, b), np.abs(a - b).mean() / 5, rtol=1e-5)
    relative = (((a - b) ** 2).sum((1, 2, 3)) / (a**2).sum((1, 2, 3))).mean()
    np.testing.assert_allclose(perceptual.relative_l2(a, b), relative, rtol=1e-5)
    g, h = a[..., 0], b[..., 0]
    np.testing.assert_allclose(perceptual.gram_l1(g, h), np.abs(g - h).mean(), rtol=1e-5)
    np.testing.assert_allclose(perceptual.gram_l2(g, h), ((g - h) ** 2).sum((1, 2)).mean(), rtol=1e-5)
    np.testing.assert_allclose(perceptual.gram_l2(g[:1], h), ((g[:1] - h) ** 2).sum((1, 2)).mean(), rtol=1e-5)
    relative = (np.abs(g - h).sum((1, 2)) / np.abs(g).sum((1, 2))).mean()
    np.testing.assert_allclose(perceptual.gram_relative_l1(g, h), relative, rtol=1e-5)


def test_zero_on_identical_inputs(rng):
    a = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    for loss in perceptual.CONTENT_LOSSES.values():
        assert float(loss(a, a)) == 0
    gram = perceptual.gram_matrix(a)
    for loss in perceptual.GRAM_LOSSES.values():
        assert float(loss(gram, gram)) == 0


def test_the_flags_offer_what_exists():
    fields = TrainConfig.__dataclass_fields__
    assert set(fields["content_loss"].metadata["choices"]) == set(perceptual.CONTENT_LOSSES)
    assert set(fields["gram_loss"].metadata["choices"]) == set(perceptual.GRAM_LOSSES)
