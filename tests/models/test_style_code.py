"""The style-code system: what code and noise do to the picture, and what the style encoder keeps of a style."""

import keras
import numpy as np
import pytest

from animegan_tf.models import build_generator
from animegan_tf.models.style_code import CODE_SIZE, NOISE_SIZE, AdaptiveInstanceNorm, StyleEncoder


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    return build_generator("style_code", 4)


def _picture(rng, *size):
    return rng.uniform(-1, 1, (1, *(size or (32, 32)), 3)).astype("float32")


def _no_noise(batch=1):
    return np.zeros((batch, NOISE_SIZE), "float32")


def _code(rng, batch=1):
    return rng.normal(size=(batch, CODE_SIZE)).astype("float32")


def test_adaptive_norm_equals_its_definition(rng):
    layer = AdaptiveInstanceNorm(7)
    x = rng.normal(2.0, 3.0, (2, 4, 6, 5)).astype("float32")
    layer.build(x.shape)
    kernel, bias = rng.normal(size=(7, 10)).astype("float32"), rng.normal(size=10).astype("float32")
    layer.set_weights([kernel, bias])
    style = rng.normal(size=(2, 7)).astype("float32")
    scale, shift = np.split((style @ kernel + bias)[:, None, None], 2, axis=-1)
    standard = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(x, style), standard * (1 + scale) + shift, atol=5e-5)


def test_the_code_is_a_linear_layer_of_mean_and_deviation(rng):
    encoder = StyleEncoder(4)
    style = _picture(rng, 48, 32)
    encoder.build(style.shape)
    features = style
    for block in encoder.blocks:
        features = np.asarray(block(features))
    assert features.shape == (1, 3, 2, 16)
    statistics = np.concatenate([features.mean((1, 2)), np.sqrt(features.var((1, 2)) + 1e-5)], axis=-1)
    kernel, bias = (np.asarray(v.value) for v in encoder.linear.weights)
    np.testing.assert_allclose(encoder(style), statistics @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (128, 32)])
def test_the_code_of_a_flat_picture_does_not_depend_on_its_size(network, size):
    color = np.array([0.3, -0.8, 0.5], "float32")
    codes = [network.encode(np.broadcast_to(color, (1, *s, 3)).copy()) for s in ((32, 32), size)]
    np.testing.assert_allclose(codes[1], codes[0], atol=1e-5)
    assert np.ptp(codes[0]) > 0.01


def test_more_of_a_pattern_moves_the_code_less_than_another_pattern(rng, network):
    # A side of whole strides: the tile repeated gives its features repeated, but for the borders.
    first, second = _picture(rng, 128, 128), 0.3 * _picture(rng, 128, 128) + 0.5
    one, more, other = (np.asarray(network.encode(p)) for p in (first, np.tile(first, (1, 2, 3, 1)), second))
    assert np.linalg.norm(more - one) < 0.15 * np.linalg.norm(other - one)


def test_contrast_is_part_of_the_code(rng, network):
    """An instance norm in the encoder would give both pictures one code."""
    style = _picture(rng)
    assert np.abs(np.asarray(network.encode(style)) - np.asarray(network.encode(0.2 * style))).mean() > 0.02


def test_codes_give_different_pictures(rng, network):
    photo = _picture(rng)
    pictures = [np.asarray(network(photo, code=_code(rng), noise=_no_noise())) for _ in range(2)]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.02


def test_the_photos_exposure_and_contrast_do_not_pass(rng, network):
    """Instance norm takes them away, so that the code alone decides on the range of colours."""
    photo, code = _picture(rng), _code(rng)
    plain = np.asarray(network(photo, code=code, noise=_no_noise()))
    pale = np.asarray(network(0.5 * photo + 0.4, code=code, noise=_no_noise()))
    np.testing.assert_allclose(pale, plain, atol=2e-3)


def test_the_photos_contours_pass(rng, network):
    code = _code(rng)
    pictures = [np.asarray(network(_picture(rng), code=code, noise=_no_noise())) for _ in range(2)]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.02


def test_noise_changes_the_picture_and_none_of_it_is_deterministic(rng, network):
    photo, code = _picture(rng), _code(rng)
    still, again = (np.asarray(network(photo, code=code, noise=_no_noise())) for _ in range(2))
    np.testing.assert_array_equal(still, again)
    noise = rng.normal(size=(1, NOISE_SIZE)).astype("float32")
    assert np.abs(np.asarray(network(photo, code=code, noise=noise)) - still).mean() > 0.01


def test_a_batch_is_conditioned_on_its_anime_pictures(rng, network):
    batch = {"photo": None, "anime": _picture(rng), "noise": _no_noise()}
    condition = network.condition(batch, training=True)
    assert set(condition) == set(network.inputs_shape) and condition["noise"] is batch["noise"]
    np.testing.assert_array_equal(condition["code"], network.encode(batch["anime"]))
    assert {name: (1, *shape) for name, shape in network.inputs_shape.items()} == {
        name: tuple(value.shape) for name, value in condition.items()
    }


def test_gradients_reach_the_style_encoder_and_all_else_through_the_picture(rng, network):
    tf = pytest.importorskip("tensorflow")
    noise = rng.normal(size=(1, NOISE_SIZE)).astype("float32")
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        condition = network.condition({"anime": _picture(rng), "noise": noise}, training=True)
        picture = network(_picture(rng), **condition, training=True)
        loss = keras.ops.mean(picture * rng.normal(size=picture.shape).astype("float32"))
    encoders = {id(v) for v in network.style_encoder.trainable_variables}
    assert len(encoders) == 12 and encoders < {id(v) for v in variables}
    for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
        assert np.abs(gradient).max() > 1e-8, variable.path


def test_a_flat_style_picture_has_a_gradient(network):
    """The deviation of its features is 0, where the root has none."""
    tf = pytest.importorskip("tensorflow")
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(network.encode(np.zeros((1, 32, 32, 3), "float32"), training=True))
    variables = network.style_encoder.trainable_variables
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [v.value for v in variables]))


def test_parameters():
    network = build_generator("style_code")
    assert network.count_params() == 1_885_120
    assert network.style_encoder.count_params() == 408_704


def test_config_and_weights_survive(tmp_path, rng, network):
    again = type(network).from_config(network.get_config())
    again.build((1, 64, 64, 3))
    network.save_weights(tmp_path / "g.weights.h5")
    again.load_weights(tmp_path / "g.weights.h5")
    style, photo, noise = _picture(rng), _picture(rng), _no_noise()
    code = network.encode(style)
    np.testing.assert_array_equal(again.encode(style), code)
    np.testing.assert_array_equal(again(photo, code=code, noise=noise), network(photo, code=code, noise=noise))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_answers_in_float32(rng, network, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        mixed = build_generator("style_code", 4)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(network.get_weights())
    photo, style = _picture(rng), _picture(rng)
    code = mixed.encode(style)
    result = np.asarray(mixed(photo, code=code, noise=_no_noise()))
    assert code.dtype == "float32" and result.dtype == np.float32
    np.testing.assert_allclose(code, network.encode(style), atol=0.05)
    assert np.abs(result - np.asarray(network(photo, code=code, noise=_no_noise()))).mean() < 0.05


@pytest.mark.parametrize("layer", [AdaptiveInstanceNorm(7), StyleEncoder(4)])
def test_layers_survive_serialisation(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
