"""Bounds that let a share of the gradient through while a network learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from animegan_tf.models import build_generator
from animegan_tf.models.bounds import BoundedReLU, clip, leaking

VALUES = np.array([-3.0, -0.5, 0.25, 0.75, 2.0], "float32")


def _gradient(function, values) -> tuple[np.ndarray, np.ndarray]:
    x = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y.numpy(), tape.gradient(y, x).numpy()


@pytest.mark.parametrize("function", [lambda x: clip(x, 0.0, 1.0), BoundedReLU(max_value=1.0)])
def test_beyond_the_bounds_a_tenth_of_the_gradient_comes_through_where_a_network_learns(function):
    y, gradient = _gradient(function, VALUES)
    np.testing.assert_array_equal(y, [0, 0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(gradient, [0, 0, 1, 1, 0])
    with leaking():
        learned, leaked = _gradient(function, VALUES)
    np.testing.assert_array_equal(learned, y)
    np.testing.assert_allclose(leaked, np.array([0, 0, 1, 1, 0]) + 0.1, rtol=1e-6)


def test_maps_that_left_their_bounds_for_every_picture_come_back():
    """The narrow last maps of `fast`, all of them below 0: nothing behind the photo's own way would learn."""
    keras.utils.set_random_seed(0)
    generator = build_generator("fast", 4)
    photo = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    generator(photo)
    norm = generator.refine[1]
    norm.beta.assign(-1e3 * np.ones(norm.beta.shape, "float32"))
    target = -photo
    seen = {}
    for name in ("plain", "leaking"):
        with tf.GradientTape() as tape:
            if name == "leaking":
                with leaking():
                    stylized = generator(photo, training=False)
            else:
                stylized = generator(photo, training=False)
            loss = ops.mean(ops.abs(stylized - target))
        seen[name] = tape.gradient(loss, generator.stem[0].kernel)
    assert float(tf.reduce_max(tf.abs(seen["plain"]))) == 0.0
    assert float(tf.reduce_max(tf.abs(seen["leaking"]))) > 0.0
