"""The operations of exported graphs against NumPy, and against what the layers train with."""

import keras
import numpy as np
import pytest

from animegan_tf.models import layers, portable
from animegan_tf.models.animeganv3 import LADE
from animegan_tf.models.layers import Conv2DTranspose, InstanceNorm, LayerNorm, PaddedConv2D


def _twice(layer, x):
    """Returns what `layer` trains with, and what it exports."""
    plain = np.asarray(layer(x))
    with portable.portable():
        return plain, np.asarray(layer(x))


@pytest.mark.parametrize("widths", [(1, 1), (3, 3), (0, 1), (1, 0), (0, 3), (2, 0)])
def test_reflection_is_numpys(rng, widths):
    x = rng.normal(size=(2, 6, 5, 3)).astype("float32")
    expected = np.pad(x, ((0, 0), widths, widths, (0, 0)), mode="reflect")
    np.testing.assert_array_equal(portable.pad_reflect(x, *widths), expected)


@pytest.mark.parametrize(("kernel", "rule"), [(3, "same"), (7, "same"), (3, "end"), (3, "start"), (1, "same")])
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_padding_by_rule_is_the_same(rng, kernel, rule, mode):
    x = rng.normal(size=(1, 6, 8, 2)).astype("float32")
    plain, exported = _twice(lambda x: layers.pad(x, kernel, rule, mode), x)
    np.testing.assert_array_equal(exported, plain)


def test_upsampling_by_hand():
    x = np.array([[0.0, 4.0], [8.0, 0.0]], "float32").reshape(1, 2, 2, 1)
    expected = [[0, 2, 4, 4], [4, 3, 2, 2], [8, 4, 0, 0], [8, 4, 0, 0]]
    np.testing.assert_array_equal(np.asarray(portable.upsample(x))[0, ..., 0], expected)


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 4, 2)])
def test_resizing_is_the_same(rng, shape):
    x = rng.normal(size=shape).astype("float32")
    plain, exported = _twice(layers.upsample_bilinear_tf1, x)
    np.testing.assert_allclose(exported, plain, atol=1e-6)
    plain, exported = _twice(layers.downsample_tf1, x)
    np.testing.assert_array_equal(exported, plain)


@pytest.mark.parametrize(("filters", "use_bias"), [(5, False), (5, True), (0, False)])
@pytest.mark.parametrize("size", [(2, 2), (5, 7)])
def test_a_convolution_of_a_doubled_picture_needs_no_doubled_picture(rng, filters, use_bias, size):
    """Its border included, where the last sample of the doubled picture is repeated and then reflected."""
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    layer = PaddedConv2D(filters, 3, upsample=True, use_bias=use_bias, initializer="random_normal")
    layer.build((None, None, None, 3))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    plain, exported = _twice(layer, x)
    doubled = layers.upsample_bilinear_tf1(x)
    padded = np.pad(np.asarray(doubled), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    np.testing.assert_allclose(plain, layer.conv(padded), atol=1e-6)
    np.testing.assert_allclose(exported, plain, atol=1e-5)
    assert exported.shape == layer.compute_output_shape(x.shape)
    again = PaddedConv2D.from_config(layer.get_config())
    assert again.upsample and again.use_bias == use_bias


@pytest.mark.parametrize(("filters", "kernel"), [(3, 7), (1, 3), (2, 5), (5, 7), (3, 1)])
def test_few_filters_by_blocks_are_the_same(rng, filters, kernel):
    x = rng.normal(size=(1, 10, 8, 6)).astype("float32")
    layer = PaddedConv2D(filters, kernel, use_bias=True)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    plain, exported = _twice(layer, x)
    np.testing.assert_allclose(exported, plain, atol=1e-4)


@pytest.mark.parametrize("use_bias", [True, False])
def test_transposed_convolution_is_the_same(rng, use_bias):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    layer = Conv2DTranspose(6, use_bias=use_bias)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    plain, exported = _twice(layer, x)
    assert plain.shape == (2, 6, 10, 6)
    np.testing.assert_allclose(exported, plain, atol=1e-5)
    assert Conv2DTranspose.from_config(layer.get_config()).get_config() == layer.get_config()


def _large_offset_map(rng):
    """Deviation 1 around means up to 300: the mean of the squares less the squared mean has two digits of it."""
    x = rng.normal(size=(1, 135, 240, 4)) + np.array([0.0, 3.0, -50.0, 300.0])
    return x.astype("float32")


@pytest.mark.parametrize(("layer", "axes"), [(LayerNorm(), (1, 2, 3)), (InstanceNorm(), (1, 2))])
def test_norms_keep_their_digits_far_from_zero(rng, layer, axes):
    x = _large_offset_map(rng)
    exact = x.astype("float64")
    exact = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True) + layer.epsilon)
    for found in _twice(layer, x):
        np.testing.assert_allclose(found, exact, atol=1e-4)


def test_lade_keeps_its_digits_far_from_zero(rng):
    """The moments of its convolution come from the centred map and from its mean; as trained, 1.2e-3 is lost here."""
    x = _large_offset_map(rng)
    layer = LADE()
    layer.build(x.shape)
    kernel = np.asarray(layer.conv.conv.kernel.value, "float64")[0, 0]
    exact, target = x.astype("float64"), x.astype("float64") @ kernel
    deviations = [np.sqrt(values.var((1, 2), keepdims=True) + 1e-5) for values in (target, exact)]
    exact = (exact - exact.mean((1, 2), keepdims=True)) / deviations[1] * deviations[0]
    exact = exact + target.mean((1, 2), keepdims=True)
    _, exported = _twice(layer, x)
    np.testing.assert_allclose(exported, exact, atol=1e-4)


def test_a_flat_picture_stays_flat():
    """Its deviation is 0: what rounding leaves of it must not be blown up to a picture."""
    x = np.full((1, 32, 32, 3), 0.7, "float32") + np.array([0, 100, 0.013], "float32")
    for layer in (LADE(), InstanceNorm()):
        layer.build(x.shape)
        for found in _twice(layer, x):
            assert np.ptp(found, axis=(1, 2)).max() < 1e-5


def test_spatial_softmax_is_the_softmax_of_all_positions(rng):
    scores = rng.normal(0, 30, (2, 4, 6, 3)).astype("float32")
    expected = keras.ops.softmax(scores.reshape(2, 24, 3), axis=1)
    np.testing.assert_allclose(layers.spatial_softmax(scores), np.reshape(expected, scores.shape), atol=1e-6)


@pytest.mark.parametrize("change", [{"kernel_size": 7}, {"mode": "constant"}, {"padding": "start"}, {"strides": 2}])
def test_other_convolutions_of_a_doubled_picture_are_the_same_too(rng, change):
    x = rng.normal(size=(1, 6, 8, 2)).astype("float32")
    layer = PaddedConv2D(5, **{"kernel_size": 3, "upsample": True} | change)
    layer.build((None, None, None, 2))
    plain, exported = _twice(layer, x)
    np.testing.assert_allclose(exported, plain, atol=1e-5)


def test_the_context_ends_where_it_ends():
    with pytest.raises(ValueError), portable.portable():
        assert portable.is_portable()
        raise ValueError
    assert not portable.is_portable()
