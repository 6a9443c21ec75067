"""The guided filter against its definition in float64."""

import numpy as np
import pytest

from animegan_tf.models.guided_filter import box_mean, guided_filter


def _windows(image, radius):
    """Returns a function that maps a function of windows [h, w, C] over all pixels of `image` [H, W, C]."""
    height, width = image.shape[:2]

    def each(function):
        rows = [(max(y - radius, 0), y + radius + 1) for y in range(height)]
        columns = [(max(x - radius, 0), x + radius + 1) for x in range(width)]
        return np.array([[function(np.s_[top:bottom, left:right]) for left, right in columns] for top, bottom in rows])

    return each


def _reference(guide, image, radius, epsilon):
    guide, image = (np.asarray(x, "float64") for x in (guide, image))
    each = _windows(image, radius)

    def line(window):
        g, p = guide[window], image[window]
        covariance = ((g - g.mean((0, 1))) * (p - p.mean((0, 1)))).mean((0, 1))
        slope = covariance / (g.var((0, 1)) + epsilon)
        return np.stack([slope, p.mean((0, 1)) - slope * g.mean((0, 1))])

    lines = each(line)
    slope, offset = np.moveaxis(each(lambda window: lines[window].mean((0, 1))), 2, 0)
    return slope * guide + offset


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_box_mean_counts_only_what_is_inside(rng, radius):
    image = rng.uniform(size=(2, 7, 9, 3)).astype("float32")
    expected = [_windows(one, radius)(lambda window, one=one: one[window].mean((0, 1))) for one in image]
    np.testing.assert_allclose(box_mean(image, radius), expected, atol=1e-6)


@pytest.mark.parametrize(("radius", "epsilon"), [(2, 0.01), (5, 0.2), (1, 1e-4)])
def test_equals_the_definition(rng, radius, epsilon):
    guide, image = rng.uniform(size=(2, 2, 8, 11, 3)).astype("float32")
    expected = [_reference(g, p, radius, epsilon) for g, p in zip(guide, image, strict=True)]
    np.testing.assert_allclose(guided_filter(guide, image, radius, epsilon), expected, atol=2e-5)
    expected = [_reference(p, p, radius, epsilon) for p in image]
    np.testing.assert_allclose(guided_filter(image, image, radius, epsilon), expected, atol=2e-5)


def test_one_guide_serves_all_channels(rng):
    guide, image = rng.uniform(size=(1, 6, 6, 1)).astype("float32"), rng.uniform(size=(1, 6, 6, 3)).astype("float32")
    np.testing.assert_allclose(
        guided_filter(guide, image, 2, 0.01), guided_filter(guide.repeat(3, -1), image, 2, 0.01), atol=1e-6
    )


def test_constants_stay_and_steps_survive_where_noise_does_not(rng):
    flat = np.full((1, 6, 5, 3), 0.37, "float32")
    np.testing.assert_allclose(guided_filter(flat, flat, 2, 0.01), flat, atol=1e-6)
    step = np.zeros((1, 16, 16, 1), "float32")
    step[:, :, 8:] = 1
    noisy = (step + rng.normal(0, 0.03, step.shape)).astype("float32")
    found = np.asarray(guided_filter(noisy, noisy, 2, 0.01))
    away = np.s_[:, :, [0, 1, 2, 3, 12, 13, 14, 15]]
    assert (found - step)[away].std() < 0.4 * (noisy - step)[away].std()
    assert (found[:, :, 8] - found[:, :, 7]).min() > 0.85


def test_half_precision_is_computed_in_float32(rng):
    image = rng.uniform(size=(1, 8, 8, 3)).astype("float16")
    found = guided_filter(image, image, 2, 0.01)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, guided_filter(image.astype("float32"), image.astype("float32"), 2, 0.01))


def test_any_size_in_one_graph_and_gradients_flow(rng):
    tf = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def compute(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(tf.sin(3.0 * guided_filter(image, image, 2, 0.01)))
        return tape.gradient(loss, image)

    for size in ((4, 5), (8, 3)):
        image, direction = rng.uniform(size=(1, *size, 3)), rng.normal(size=(1, *size, 3))
        values = [np.sin(3 * _reference(*[image[0] + s * direction[0]] * 2, 2, 0.01)).sum() for s in (1e-5, -1e-5)]
        found = np.sum(compute(image.astype("float32")) * direction)
        np.testing.assert_allclose(found, (values[0] - values[1]) / 2e-5, rtol=1e-3)
