"""Picture losses by hand and against independent code."""

import numpy as np
import pytest

from animegan_tf.losses import pixel


def _gray(values):
    return np.repeat(np.asarray(values, "float32")[None, ..., None], 3, axis=-1)


def test_yuv_equals_tensorflow(rng):
    tf = pytest.importorskip("tensorflow")
    image = rng.uniform(size=(1, 4, 5, 3)).astype("float32")
    np.testing.assert_allclose(pixel.rgb_to_yuv(image), tf.image.rgb_to_yuv(image), atol=1e-6)


def test_huber_by_hand():
    # 0.5 * 0.5^2 inside, 3 - 0.5 outside.
    np.testing.assert_allclose(pixel.huber(np.array([0.5, -3.0], "float32")), (0.125 + 2.5) / 2)


def test_color_of_black_against_white_is_luminance_alone():
    black, white = _gray([[-1.0]]), _gray([[1.0]])
    np.testing.assert_allclose(pixel.color(black, white), 1.0, atol=1e-6)


def test_color_of_black_against_red():
    black = _gray([[-1.0]])
    red = np.array([1.0, -1.0, -1.0], "float32").reshape(1, 1, 1, 3)
    y, u, v = 0.299, 0.14714119, 0.61497538
    np.testing.assert_allclose(pixel.color(black, red), y + 0.5 * u**2 + 0.5 * v**2, rtol=1e-5)


def test_chroma_contrast_is_free_of_a_tint_and_counts_lost_hues():
    red, cyan = np.array([1.0, -1, -1], "float32"), np.array([-1.0, 1, 1], "float32")
    photo = np.stack([red, cyan]).reshape(1, 1, 2, 3)
    assert float(pixel.chroma_contrast(photo, photo * 0.5 + 0.1)) == pytest.approx(
        0.5 * float(pixel.chroma_contrast(photo, np.zeros_like(photo))), rel=1e-5
    )
    # Red and cyan lie opposite each other around grey: each is red's own U and V away from the mean.
    lost = 0.14714119 + 0.61497538
    np.testing.assert_allclose(pixel.chroma_contrast(photo, np.zeros_like(photo)), lost, rtol=1e-4)


def test_total_variation_by_hand():
    # Vertical differences 1 and 3 of two, horizontal 2 and 4 of two; half the mean square of each.
    image = _gray([[0.0, 2.0], [1.0, 5.0]])
    np.testing.assert_allclose(pixel.total_variation(image), 0.5 * (1 + 9) / 2 + 0.5 * (4 + 16) / 2)


def test_total_variation_equals_the_published_expression(rng):
    image = rng.uniform(-1, 1, (2, 6, 7, 3)).astype("float32")
    down, right = np.diff(image, axis=1), np.diff(image, axis=2)
    published = (down**2).sum() / 2 / down.size + (right**2).sum() / 2 / right.size
    np.testing.assert_allclose(pixel.total_variation(image), published, rtol=1e-5)


def test_flat_variation_counts_where_the_photo_is_flat_only():
    step = _gray([[0.0, 0.0, 1.0, 1.0]] * 2)
    ripple = _gray([[0.0, 0.5, 0.5, 0.5]] * 2)
    # The ripple lies in the flat part: one of three horizontal differences of 0.5.
    np.testing.assert_allclose(pixel.flat_variation(step, ripple), 0.5 / 3, rtol=1e-5)
    assert float(pixel.flat_variation(step, step)) == pytest.approx(np.exp(-24) / 3, rel=1e-4)


def test_identical_pictures_cost_nothing(rng):
    image = rng.uniform(-1, 1, (2, 8, 8, 3)).astype("float32")
    assert float(pixel.color(image, image)) == 0
    assert float(pixel.total_variation(np.full((1, 4, 4, 3), 0.3, "float32"))) == 0
