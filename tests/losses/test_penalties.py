"""Gradient penalties against numerical derivatives in float64, and by hand for linear critics."""

import numpy as np
import pytest

from animegan_tf.losses.penalties import GRADIENT_PENALTIES, critic_score, r1, wgan_gp

tf = pytest.importorskip("tensorflow")
SHAPE = (3, 4, 4, 3)


@pytest.fixture
def weights(rng):
    """Returns the two layers of a critic on patches of 2 x 2."""
    return [rng.normal(size=(12, 5)), rng.normal(size=(5, 1))]


@pytest.fixture
def pictures(rng):
    """Returns real and fake pictures and the shares in which they are mixed."""
    return {"real": rng.uniform(-1, 1, SHAPE), "fake": rng.uniform(-1, 1, SHAPE), "mix": rng.uniform(size=(3, 1, 1, 1))}


def _critic(images, weights, xp=np):
    """Returns logits [B, 2, 2, 1] of a small critic, in NumPy or TensorFlow."""
    patches = xp.transpose(xp.reshape(images, (-1, 2, 2, 2, 2, 3)), (0, 1, 3, 2, 4, 5))
    return xp.tanh(xp.reshape(patches, (-1, 2, 2, 12)) @ weights[0]) @ weights[1]


def _numerical_gradient(images, weights, step=1e-4):
    gradient = np.zeros(images.shape)
    for place in np.ndindex(images.shape[1:]):
        move = np.zeros(images.shape[1:])
        move[place] = step
        scores = [_critic(images + sign * move, weights).mean((1, 2, 3)) for sign in (1, -1)]
        gradient[(slice(None), *place)] = (scores[0] - scores[1]) / (2 * step)
    return gradient


def _numerical_penalty(name, weights, real, fake, mix):
    if name == "r1":
        return 0.5 * (_numerical_gradient(real, weights) ** 2).sum((1, 2, 3)).mean()
    gradient = _numerical_gradient(mix * real + (1 - mix) * fake, weights)
    return ((np.sqrt((gradient**2).sum((1, 2, 3))) - 1) ** 2).mean()


def _gradient_of(critic):
    def gradient_of(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(critic_score(critic(images)))
        return tape.gradient(score, images)

    return gradient_of


def _penalty(name, weights, pictures):
    floats = {key: value.astype("float32") for key, value in pictures.items()}
    return GRADIENT_PENALTIES[name](_gradient_of(lambda images: _critic(images, weights, tf)), **floats)


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_values_and_their_derivatives_by_the_critics_weights(name, weights, pictures, rng):
    variables = [tf.Variable(value, dtype="float32") for value in weights]
    with tf.GradientTape() as tape:
        penalty = _penalty(name, variables, pictures)
    np.testing.assert_allclose(penalty, _numerical_penalty(name, weights, **pictures), rtol=1e-5)
    directions = [rng.normal(size=value.shape) for value in weights]
    found = sum(np.sum(g * d) for g, d in zip(tape.gradient(penalty, variables), directions, strict=True))
    values = [
        _numerical_penalty(name, [w + step * d for w, d in zip(weights, directions, strict=True)], **pictures)
        for step in (1e-4, -1e-4)
    ]
    np.testing.assert_allclose(found, (values[0] - values[1]) / 2e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "expected"), [(1, (0, 0.5)), (3, (4, 4.5))])
def test_linear_critics_by_hand(size, expected, pictures, rng):
    plane = rng.normal(size=SHAPE[1:])
    plane = (size * plane / np.linalg.norm(plane)).astype("float32")
    gradient_of = _gradient_of(lambda images: tf.reduce_sum(images * plane, (1, 2, 3))[:, None])
    found = [float(penalty(gradient_of, **pictures)) for penalty in (wgan_gp, r1)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_picture_has_its_own_norm(pictures):
    # Gradients of norm 1 in two pictures and 1 + 3 in the third: only the third has a part, 3^2.
    plane = np.full(SHAPE, 48**-0.5, "float32") * np.array([1, 1, 4], "float32").reshape(3, 1, 1, 1)
    assert float(wgan_gp(lambda images: plane, **pictures)) == pytest.approx(9 / 3, rel=1e-5)
    assert float(r1(lambda images: plane, **pictures)) == pytest.approx(0.5 * (1 + 1 + 16) / 3, rel=1e-5)


def test_pictures_are_mixed_one_by_one(pictures):
    seen = []

    def gradient_of(images):
        seen.append(np.asarray(images))
        return images

    wgan_gp(gradient_of, **pictures | {"mix": np.array([0, 1, 0.25]).reshape(3, 1, 1, 1)})
    real, fake = pictures["real"], pictures["fake"]
    np.testing.assert_allclose(seen[0], np.stack([fake[0], real[1], 0.25 * real[2] + 0.75 * fake[2]]), atol=1e-6)
    r1(gradient_of, **pictures)
    np.testing.assert_allclose(seen[1], real, atol=1e-6)


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_a_critic_without_slope_has_finite_derivatives(name, pictures):
    weights = [tf.zeros((12, 5)), tf.Variable(tf.ones((5, 1)))]
    with tf.GradientTape() as tape:
        penalty = _penalty(name, weights, pictures)
    assert float(penalty) == pytest.approx(1.0 if name == "wgan_gp" else 0.0, abs=1e-5)
    assert np.isfinite(tape.gradient(penalty, weights[1])).all()


def test_the_score_is_the_mean_of_patches_and_scales():
    fine = np.array([[1.0, 3], [5, 7]], "float32").reshape(2, 1, 2, 1)
    coarse = np.array([[10.0], [-2]], "float32").reshape(2, 1, 1, 1)
    np.testing.assert_array_equal(critic_score(fine), [2, 6])
    np.testing.assert_array_equal(critic_score([fine, coarse]), [6, 2])
