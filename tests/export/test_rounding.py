"""Kernels in whole steps: the result is kept, not every weight."""

import numpy as np
import pytest

from animegan_tf.export.rounding import round_kernel, second_moment


def test_the_second_moment_is_that_of_patches_in_the_order_of_a_kernel(rng):
    picture = rng.normal(size=(1, 10, 13, 2))
    patches = np.array([picture[0, y : y + 3, x : x + 3].ravel() for y in range(0, 8, 3) for x in range(0, 11, 3)])
    expected = patches.T @ patches / len(patches)
    np.testing.assert_allclose(second_moment([picture], 3, 3), expected, rtol=1e-12)
    np.testing.assert_allclose(second_moment([picture, picture], 3, 3), expected, rtol=1e-12)


def test_inputs_that_have_nothing_in_common_are_rounded_one_by_one(rng):
    steps = rng.uniform(-127, 127, (4, 9))
    np.testing.assert_array_equal(round_kernel(steps, np.diag(rng.uniform(1, 2, 9))), np.rint(steps))


def test_weights_that_meet_one_colour_keep_their_sum(rng):
    # On a flat picture all inputs are equal: what counts is the sum of the weights.
    steps = np.full((1, 9), 3.4)
    rounded = round_kernel(steps, np.ones((9, 9)))
    assert np.rint(steps).sum() == 27 and rounded.sum() == pytest.approx(30.6, abs=0.6)
    assert rounded.dtype == np.int8 and np.abs(rounded - steps).max() <= 1.0


def test_the_result_of_smooth_pictures_errs_less(rng):
    noise = rng.normal(size=(1, 40, 40, 4))
    smooth = noise + sum(np.roll(noise, (y, x), (1, 2)) for y in range(-2, 3) for x in range(-2, 3))
    steps = rng.normal(0, 30, (12, 36))
    moment = second_moment([smooth], 3, 3)

    def error(kernel):
        return np.einsum("fi,ij,fj->", kernel - steps, moment, kernel - steps)

    assert error(round_kernel(steps, moment)) < 0.5 * error(np.rint(steps))


def test_no_weight_leaves_int8(rng):
    rounded = round_kernel(np.full((2, 4), 126.9), np.ones((4, 4)))
    assert rounded.max() <= 127
    assert round_kernel(np.zeros((1, 4)), np.zeros((4, 4))).tolist() == [[0, 0, 0, 0]]
