"""How far a generator sees: by hand from its layers, and measured by gradients that cannot cancel."""

from __future__ import annotations

import numpy as np
import pytest

from animegan_tf.models import GENERATORS, build_generator

tf = pytest.importorskip("tensorflow", reason="gradients are taken by TensorFlow")


# What the samples [a, b] of a layer's result depend on, along an axis, in samples of its input.


def _conv(kernel, stride=1):
    """'same' padding of an even length: all of it behind for stride 2 and kernel 3."""
    before = (kernel - stride) // 2
    return lambda a, b: (a * stride - before, b * stride - before + kernel - 1)


def _up(a, b):
    """The resize of TensorFlow 1: an odd sample is the mean of its neighbours."""
    return a // 2, -(-b // 2)


def _blocks(a, b):
    """Space to depth and back, 2x2."""
    return 2 * a, 2 * b + 1


def _pixel_in_block(a, b):
    return a // 2, b // 2


def _transposed(a, b):
    """4x4 of strides 2: sample i adds to 2i - 1 ... 2i + 2."""
    return -(-(a - 2) // 2), (b + 1) // 2


def _times(layer, count):
    return [layer] * count


# From the result back to the photo, by the longest road.
LAYERS = {
    "fast": [
        _pixel_in_block,
        *_times(_conv(3), 2),
        *(_up, _conv(3), _up),
        *_times(_conv(3), 2),
        *(_conv(3, 2), _conv(3), _conv(3, 2), _conv(3), _blocks),
    ],
    "mobile": [
        *(_conv(3), _conv(3), _up, _conv(3), _up),
        *_times(_conv(3), 6),
        *_times(_conv(7), 6),
        *(_conv(3, 2), _conv(3, 2), _conv(3)),
    ],
    "dcgan": [*_times(_transposed, 3), *_times(_conv(4, 2), 3), _conv(7)],
}


def _by_hand(name, multiple):
    """Returns the largest distance along an axis, over the pixels of one period."""
    distances = []
    for pixel in range(multiple):
        first = last = pixel
        for layer in LAYERS[name]:
            first, last = layer(first, last)
        distances += [pixel - first, last - pixel]
    return max(distances)


def _measured(network, size):
    """Returns the largest distance at which the gradient of a pixel is not 0.

    All kernels are positive and small, the photo too: no sum cancels and no ReLU is at a bound.
    """
    random = np.random.default_rng(0)
    for variable in network.variables:
        if "kernel" in variable.path:
            fan = np.prod(variable.shape[:2]) * (1 if "depthwise" in variable.path else variable.shape[2])
            variable.assign(random.uniform(0.3, 0.6, variable.shape) / fan)
    photo = tf.constant(random.uniform(0.05, 0.1, (1, size, size, 3)).astype("float32"))
    distances = []
    for pixel in range(size // 2, size // 2 + network.size_multiple):
        with tf.GradientTape() as tape:
            tape.watch(photo)
            result = tf.reduce_sum(network(photo, training=False)[:, pixel, pixel])
        touched = np.abs(tape.gradient(result, photo).numpy()).sum((0, 3))
        for axis in (0, 1):
            (where,) = np.nonzero(touched.sum(axis))
            distances += [pixel - where[0], where[-1] - pixel]
    return max(distances)


@pytest.mark.parametrize(("name", "radius"), [("fast", 49), ("mobile", 110), ("dcgan", 24)])
def test_it_follows_from_the_layers(name, radius):
    assert GENERATORS[name].receptive_radius == radius == _by_hand(name, GENERATORS[name].size_multiple)


@pytest.mark.parametrize(("name", "width", "size"), [("fast", 6, 192), ("dcgan", 4, 96)])
def test_gradients_reach_as_far_and_no_further(name, width, size):
    network = build_generator(name, width)
    assert _measured(network, size) == network.receptive_radius


@pytest.mark.parametrize("settings", [{"upsampling": "resize"}, {"upsampling": "transpose"}])
def test_no_change_reaches_further_in_the_mobile_generator(settings, rng):
    """Its attentions fade so fast that gradients vanish before they get to the end: the bound is what holds."""
    network = build_generator("mobile", 4, **settings)
    photo = rng.uniform(-1, 1, (1, 360, 8, 3)).astype("float32")
    changed = photo.copy()
    changed[:, 176:184] = 1.0
    before, after = (np.asarray(network(p, training=False)) for p in (photo, changed))
    radius = network.receptive_radius
    np.testing.assert_array_equal(before[:, : 176 - radius], after[:, : 176 - radius])
    np.testing.assert_array_equal(before[:, 184 + radius :], after[:, 184 + radius :])
    assert np.abs(before - after)[:, 176:184].max() > 1e-3


@pytest.mark.parametrize("name", sorted(set(GENERATORS) - set(LAYERS)))
def test_norms_over_the_whole_picture_have_none(name):
    assert GENERATORS[name].receptive_radius is None
