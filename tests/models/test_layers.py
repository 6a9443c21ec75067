"""Layers against NumPy and hand-computed values."""

import keras
import numpy as np
import pytest

from animegan_tf.models.layers import (
    ConvBlock,
    InstanceNorm,
    LayerNorm,
    PaddedConv2D,
    SpectralConv2D,
    downsample_tf1,
    leaky_relu,
    pad,
    upsample_bilinear_tf1,
)


def test_upsampling_is_tensorflow_1s_grid(rng):
    tf = pytest.importorskip("tensorflow")
    x = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    expected = tf.raw_ops.ResizeBilinear(images=x, size=(10, 14), align_corners=False, half_pixel_centers=False)
    np.testing.assert_allclose(upsample_bilinear_tf1(x), expected, atol=1e-6)


def test_upsampling_by_hand():
    x = np.array([[0.0, 4.0], [8.0, 0.0]], "float32").reshape(1, 2, 2, 1)
    expected = [[0, 2, 4, 4], [4, 3, 2, 2], [8, 4, 0, 0], [8, 4, 0, 0]]
    np.testing.assert_array_equal(np.asarray(upsample_bilinear_tf1(x))[0, ..., 0], expected)


def test_downsampling_takes_every_second_sample(rng):
    x = rng.normal(size=(1, 6, 8, 2)).astype("float32")
    np.testing.assert_array_equal(downsample_tf1(x), x[:, ::2, ::2])


@pytest.mark.parametrize(
    ("kernel", "rule", "expected"),
    [(3, "same", (1, 1)), (7, "same", (3, 3)), (3, "end", (0, 1)), (3, "start", (1, 0)), (1, "same", (0, 0))],
)
def test_padding_rules(rng, kernel, rule, expected):
    x = rng.normal(size=(1, 6, 5, 2)).astype("float32")
    widths = ((0, 0), expected, expected, (0, 0))
    np.testing.assert_array_equal(pad(x, kernel, rule), np.pad(x, widths, mode="reflect"))
    np.testing.assert_array_equal(pad(x, kernel, rule, "constant"), np.pad(x, widths))


@pytest.mark.parametrize(("layer", "axes"), [(LayerNorm(), (1, 2, 3)), (InstanceNorm(), (1, 2))])
def test_norms_equal_their_definition(rng, layer, axes):
    x = rng.normal(2.0, 3.0, (2, 4, 6, 3)).astype("float32")
    layer.build(x.shape)
    gamma, beta = rng.normal(size=3), rng.normal(size=3)
    layer.set_weights([gamma, beta])
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta
    np.testing.assert_allclose(layer(x), expected, atol=2e-5)


def test_norm_statistics_do_not_overflow_in_float16():
    layer = InstanceNorm(dtype="mixed_float16")
    x = np.full((1, 64, 64, 1), 300.0, "float16")
    x[:, ::2] = -300.0
    result = np.asarray(layer(x), "float32")
    np.testing.assert_allclose(np.abs(result), 1.0, atol=1e-2)


def test_padded_conv_equals_padding_then_keras(rng):
    x = rng.normal(size=(1, 8, 8, 2)).astype("float32")
    layer = PaddedConv2D(3, 3, 2, padding="end")
    y = np.asarray(layer(x))
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="reflect")
    kernel = np.asarray(layer.conv.kernel.value)
    window = padded[0, 2:5, 4:7]
    np.testing.assert_allclose(y[0, 1, 2], np.einsum("hwc,hwcf->f", window, kernel), atol=1e-5)
    assert y.shape == layer.compute_output_shape(x.shape) == (1, 4, 4, 3)


def _spectral(rng):
    layer = SpectralConv2D(5, 3, padding="start", strides=2)
    x = rng.normal(size=(1, 8, 8, 2)).astype("float32")
    layer.build(x.shape)
    return layer, x


def test_spectral_sigma_converges_to_the_largest_singular_value(rng):
    layer, x = _spectral(rng)
    kernel = np.asarray(layer.kernel.value)
    for _ in range(60):
        y = layer(x, training=True)
    sigma = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    plain = keras.ops.conv(pad(x, 3, "start", "constant"), kernel, strides=2)
    np.testing.assert_allclose(y, np.asarray(plain) / sigma, atol=1e-4)


def test_spectral_u_changes_in_training_only(rng):
    layer, x = _spectral(rng)
    kernel, before = layer.kernel.numpy().reshape(-1, 5), layer.u.numpy().copy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.u.numpy(), before)
    layer(x, training=True)
    v = before @ kernel.T
    u = (v / np.linalg.norm(v)) @ kernel
    np.testing.assert_allclose(layer.u.numpy(), u / np.linalg.norm(u), atol=1e-5)


def test_conv_block_order_and_activation(rng):
    x = rng.normal(size=(1, 4, 4, 2)).astype("float32")
    block = ConvBlock(PaddedConv2D(3, 1), InstanceNorm())
    y = np.asarray(block(x))
    np.testing.assert_allclose(y, leaky_relu(block.norm(block.conv(x))), atol=1e-6)
    assert (y < 0).any() and np.asarray(leaky_relu(np.float32(-1.0))) == np.float32(-0.2)


def test_blocks_survive_serialisation():
    block = ConvBlock(SpectralConv2D(3, 3, 2, padding="start"), LayerNorm(), activate=False)
    again = ConvBlock.from_config(block.get_config() | {})
    assert again.conv.get_config()["padding"] == "start"
    assert again.activate is False and again.norm.epsilon == 1e-12


def test_parameters_of_norms_and_spectral_norm_stay_float32_in_mixed_precision():
    """Keras hands layers their weights rounded to the compute type unless told otherwise."""
    x = np.zeros((1, 8, 8, 2), "float32")
    layer = LayerNorm(dtype="mixed_bfloat16")
    layer.build(x.shape)
    layer.set_weights([np.full(2, 1.001), np.full(2, 0.3001)])
    spectral = SpectralConv2D(3, 3, dtype="mixed_bfloat16")
    spectral.build(x.shape)
    with layer._open_name_scope(), keras.src.backend.common.variables.AutocastScope("bfloat16"):
        assert keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(layer.gamma)).dtype == np.float32
        assert keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(spectral.kernel)).dtype == np.float32


def test_blocks_of_one_name_in_two_systems_are_told_apart():
    from animegan_tf.models import animegan, animeganv2, mobile

    for module, arguments in ((animegan, ()), (animeganv2, (8,)), (mobile, ())):
        block = module.InvertedResidual(*arguments)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
        assert type(again) is module.InvertedResidual
