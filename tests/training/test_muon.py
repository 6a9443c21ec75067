"""Muon against matrices in NumPy, and against Adam where it is Adam."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from animegan_tf.training.muon import Muon, orthogonalised


def build_network() -> keras.Sequential:
    """Returns a small network with every kind of variable that an optimizer meets."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(8, 1, use_bias=False),
            layers.Conv2D(8, 1, kernel_initializer="zeros"),
            layers.Conv2D(3, 3, padding="same"),
        ]
    )
    network.build((None, 8, 8, 3))
    return network


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 3, 16), (1, 1, 16, 5)])
def test_all_directions_become_equally_long(shape, rng):
    kernel = rng.normal(size=shape).astype("float32")
    kernel[..., 0] *= 30
    made = np.asarray(orthogonalised(kernel))
    left, values, right = np.linalg.svd(made.reshape(-1, shape[-1]), full_matrices=False)
    assert values.min() > 0.6 and values.max() < 1.3
    # The directions stay: what was the polar factor of the kernel still is.
    expected_left, _, expected_right = np.linalg.svd(kernel.reshape(-1, shape[-1]), full_matrices=False)
    np.testing.assert_allclose(left @ right, expected_left @ expected_right, atol=1e-3)


def moved(kernel, direction, rate):
    """Returns a kernel after a step of 10 x rate of its length, brought back to its length."""
    length = np.linalg.norm(kernel)
    found = kernel - 10 * rate * length * direction / np.linalg.norm(direction)
    return found * length / np.linalg.norm(found)


def test_a_step_has_the_length_that_the_rate_says(rng):
    network, optimizer = build_network(), Muon(0.002)
    variables = network.trainable_variables
    before = [np.array(variable) for variable in variables]
    gradients = [rng.normal(size=v.shape).astype("float32") for v in variables]
    optimizer.apply(list(map(ops.convert_to_tensor, gradients)), variables)
    for index in (0, 4):  # the kernels of the first convolution and of the 1x1
        expected = moved(before[index], np.asarray(orthogonalised(gradients[index])), 0.002)
        np.testing.assert_allclose(np.array(variables[index]), expected, atol=1e-6)
        assert np.linalg.norm(expected - before[index]) > 0.015 * np.linalg.norm(before[index])


def test_a_kernel_keeps_its_length(rng):
    """Steps that all go one way, along the kernel too, made it 1.02 times as long each time."""
    network, optimizer = build_network(), Muon(0.002)
    variables = network.trainable_variables
    before = [np.array(variable) for variable in variables]
    for _ in range(20):
        optimizer.apply([-ops.convert_to_tensor(value) for value in before], variables)
    for index in (0, 4):
        found = np.array(variables[index])
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(before[index]), rel=1e-4)
        assert np.abs(found - before[index]).max() > 0.01


def test_momentum_is_nesterovs(rng):
    network, optimizer = build_network(), Muon(0.001, beta_1=0.8)
    variables = network.trainable_variables
    gradients = [[rng.normal(size=v.shape).astype("float32") for v in variables] for _ in range(2)]
    optimizer.apply(list(map(ops.convert_to_tensor, gradients[0])), variables)
    before = np.array(variables[4])
    optimizer.apply(list(map(ops.convert_to_tensor, gradients[1])), variables)
    first, second = gradients[0][4], gradients[1][4]
    direction = np.asarray(orthogonalised(second + 0.8 * (second + 0.8 * first)))
    np.testing.assert_allclose(np.array(variables[4]), moved(before, direction, 0.001), atol=1e-6)


def test_all_else_is_adams(rng):
    networks, optimizers = [build_network(), build_network()], [Muon(0.002), keras.optimizers.Adam(0.002)]
    for _ in range(3):
        gradients = [rng.normal(size=v.shape).astype("float32") for v in networks[0].trainable_variables]
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.apply(list(map(ops.convert_to_tensor, gradients)), network.trainable_variables)
    pairs = list(zip(*(network.trainable_variables for network in networks), strict=True))
    same = [bool(np.allclose(ours, adams, atol=1e-7)) for ours, adams in pairs]
    assert [len(ours.shape) for ours, _ in pairs] == [4, 4, 1, 1, 4, 4, 1, 4, 1]
    assert same == [False, True, True, True, False, True, True, True, True]
    # A kernel that begins at zero, as that of a gate may, begins to move.
    assert np.abs(np.array(pairs[5][0])).min() > 0


def test_it_fits_faster_than_adam_where_directions_differ(rng):
    """A convolution is to become another, up to its norm; its input has directions of very different strength."""
    x = rng.normal(size=(64, 1, 1, 12)).astype("float32") * np.logspace(0, -2, 12, dtype="float32")
    wanted = x @ rng.normal(size=(12, 12)).astype("float32")
    left = []
    for kind in (Muon, keras.optimizers.Adam):
        keras.utils.set_random_seed(0)
        network = keras.Sequential(
            [layers.Conv2D(12, 1, use_bias=False), layers.BatchNormalization(), layers.Conv2D(12, 1)]
        )
        network.build((None, 1, 1, 12))
        optimizer = kind(0.003)
        for _ in range(200):
            left.append(_descend(network, optimizer, x, wanted))
    assert left[199] < 0.8 * left[399]


def _descend(network, optimizer, x, wanted) -> float:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = ops.mean(ops.square(network(x, training=True) - wanted))
    variables = network.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return float(loss)
