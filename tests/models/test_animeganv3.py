"""AnimeGANv3's layers against NumPy, its two tails, and its discriminator."""

import keras
import numpy as np
import pytest

from animegan_tf.errors import UnknownNameError
from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.animeganv3 import LADE, ExternalAttention, Tail
from animegan_tf.models.layers import SpectralConv2D, pad


def _count(variables) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)


@pytest.fixture
def photo(rng):
    return rng.uniform(-1, 1, (2, 32, 48, 3)).astype("float32")


def _lade(x, t, epsilon=1e-5):
    mean, deviation = x.mean((1, 2), keepdims=True), np.sqrt(x.var((1, 2), keepdims=True) + epsilon)
    return (x - mean) / deviation * np.sqrt(t.var((1, 2), keepdims=True) + epsilon) + t.mean((1, 2), keepdims=True)


def test_lade_equals_its_definition(rng):
    x = rng.normal(1.0, 2.0, (2, 6, 4, 3))
    layer = LADE()
    layer.build(x.shape)
    kernel = rng.normal(size=(3, 3))
    layer.set_weights([kernel[None, None]])
    np.testing.assert_allclose(layer(x.astype("float32")), _lade(x, x @ kernel), atol=1e-5)


def test_lade_by_hand():
    """Values 1 and 3, a weight of -2: t is -2 and -6, mean -4, deviation 2."""
    layer = LADE(epsilon=0.0)
    layer.build((1, 1, 2, 1))
    layer.set_weights([np.full((1, 1, 1, 1), -2.0)])
    result = np.asarray(layer(np.array([1.0, 3.0], "float32").reshape(1, 1, 2, 1)))
    np.testing.assert_allclose(result.ravel(), [-6.0, -2.0], atol=1e-6)


def test_lade_statistics_do_not_overflow_in_float16():
    layer = LADE(dtype="mixed_float16")
    layer.build((1, 64, 64, 1))
    layer.set_weights([np.ones((1, 1, 1, 1))])
    x = np.full((1, 64, 64, 1), 400.0, "float16")
    x[:, ::2] = -400.0
    np.testing.assert_allclose(np.asarray(layer(x), "float32"), x, rtol=1e-2)


def _attention(rng, x, norm):
    layer = ExternalAttention(norm, slots=5)
    layer.build(x.shape)
    channels = x.shape[-1]
    shapes = {"memory": (channels, 5), "query": (channels, channels), "project": (channels, channels)}
    memory, query, project = (rng.normal(size=shape) for shape in shapes.values())
    layer.memory.assign(memory)
    layer.query.set_weights([query[None, None]])
    layer.project.set_weights([project[None, None]])
    statistics = {"gamma": 1.5, "beta": -0.3, "moving_mean": 0.2, "moving_variance": 2.0}
    for name, value in statistics.items():
        getattr(layer.batch_norm, name).assign(np.full(channels, value))
    positions = x.reshape(x.shape[0], -1, channels) @ query
    scores = np.exp(positions @ memory)
    weights = scores / scores.sum(1, keepdims=True)
    weights = weights / (1e-9 + weights.sum(2, keepdims=True))
    return layer, (weights @ memory.T @ project).reshape(x.shape)


def _add(x, y):
    return np.where(x + y < 0, 0.2, 1.0) * (x + y)


@pytest.mark.parametrize(
    ("norm", "normalise"),
    [
        ("batch", lambda y: (y - 0.2) / np.sqrt(2.0 + 1e-3) * 1.5 - 0.3),
        ("published", lambda y: y / np.sqrt(1 + 1e-3)),
    ],
)
def test_external_attention_equals_its_definition_at_inference(rng, norm, normalise):
    x = rng.normal(size=(2, 3, 4, 6))
    layer, y = _attention(rng, x, norm)
    np.testing.assert_allclose(layer(x.astype("float32")), _add(x, normalise(y)), atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "published"])
def test_external_attention_takes_batch_statistics_in_training_and_keeps_their_average(rng, norm):
    x = rng.normal(size=(2, 3, 4, 6))
    layer, y = _attention(rng, x, norm)
    mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    normalised = (y - mean) / np.sqrt(variance + 1e-3) * 1.5 - 0.3
    np.testing.assert_allclose(layer(x.astype("float32"), training=True), _add(x, normalised), atol=1e-4)
    kept = layer.batch_norm
    np.testing.assert_allclose(kept.moving_mean, 0.999 * 0.2 + 0.001 * mean, atol=1e-5)
    np.testing.assert_allclose(kept.moving_variance, 0.999 * 2.0 + 0.001 * variance, atol=1e-5)


def test_an_unknown_attention_norm_is_refused():
    with pytest.raises(UnknownNameError, match="known are batch, published"):
        build_generator("animeganv3", 4, attention_norm="layer")


def test_published_parameter_counts():
    generator = build_generator("animeganv3")
    assert _count(generator.trainable_variables) == 1_557_792
    held = generator.inference_variables
    assert _count(v for v in held if v.trainable) == 1_027_520
    # The moving mean and variance of one attention: 1,027,776 numbers, as in the released file.
    assert _count(held) == 1_027_520 + 2 * 128
    assert _count(v for blocks in generator.base for b in blocks for v in b.variables) == 497_248


def test_both_tails_are_built_and_differ_on_one_base(photo):
    generator = build_generator("animeganv3", 4)
    assert len(generator.support.variables) == len(generator.main.variables) == 20
    support, main = (np.asarray(picture) for picture in generator.tails(photo))
    assert support.shape == main.shape == photo.shape and support.dtype == main.dtype == np.float32
    assert np.abs(support - main).mean() > 0.01
    np.testing.assert_array_equal(main, generator(photo))
    kernel = generator.base[0][0].conv.conv.kernel
    kernel.assign(kernel + 0.1)
    moved = [
        np.abs(np.asarray(new) - old).max() for new, old in zip(generator.tails(photo), (support, main), strict=True)
    ]
    assert min(moved) > 1e-3


def test_stylizing_reads_the_inference_variables_alone(photo):
    generator = build_generator("animeganv3", 4)
    held = {id(v) for v in generator.inference_variables}
    before, support = np.asarray(generator(photo)), np.asarray(generator.tails(photo)[0])
    others = [v for v in generator.variables if id(v) not in held]
    assert {id(v) for v in others} == {id(v) for v in generator.support.variables}
    for variable in others:
        variable.assign(np.full(variable.shape, 0.3))
    np.testing.assert_array_equal(generator(photo), before)
    assert np.abs(np.asarray(generator.tails(photo)[0]) - support).max() > 1e-3


def test_training_and_inference_differ_by_the_attention_norm(photo):
    """The published mismatch: whatever was learned by the norm, inference does not see it. Ours does."""
    outputs = {}
    for norm in ("batch", "published"):
        keras.utils.set_random_seed(3)
        generator = build_generator("animeganv3", 4, attention_norm=norm)
        before = np.asarray(generator(photo))
        for tail in (generator.main, generator.support):
            beta = tail.attention.batch_norm.beta
            beta.assign(beta + 2.0)
        outputs[norm] = np.abs(np.asarray(generator(photo)) - before).max(), np.asarray(generator.tails(photo, True)[1])
    assert outputs["published"][0] == 0 and outputs["batch"][0] > 1e-3
    np.testing.assert_allclose(outputs["batch"][1], outputs["published"][1], atol=1e-6)


def test_the_generator_is_rebuilt_from_its_config():
    generator = build_generator("animeganv3", 4, attention_norm="published")
    assert generator.get_config()["attention_norm"] == "published"
    again = type(generator).from_config(generator.get_config())
    again.build((1, 64, 64, 3))
    assert [v.shape for v in again.variables] == [v.shape for v in generator.variables]
    assert again.main.attention.norm == "published"


@pytest.mark.parametrize(
    "layer", [LADE(spectral=True, epsilon=1e-3), ExternalAttention("published", slots=3), Tail(4, "published")]
)
def test_layers_survive_serialisation(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


def test_mixed_precision_answers_in_float32(photo):
    plain = build_generator("animeganv3", 4)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = build_generator("animeganv3", 4)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(plain.get_weights())
    for mixed_tail, plain_tail in zip(mixed.tails(photo), plain.tails(photo), strict=True):
        result = np.asarray(mixed_tail)
        assert result.dtype == np.float32
        assert np.abs(result - np.asarray(plain_tail)).mean() < 0.05


def test_discriminator_counts_and_map(rng):
    network = build_discriminator("animeganv3")
    assert _count(network.trainable_variables) == 693_088
    # The rest is one u vector per convolution, LADE's 1x1 included.
    assert network.count_params() - 693_088 == 32 + 2 * (32 + 64 + 64 + 128 + 128 + 256) + 1
    logits = np.asarray(build_discriminator("animeganv3", 4)(rng.uniform(-1, 1, (2, 32, 48, 3)).astype("float32")))
    assert logits.shape == (2, 4, 6, 1) and np.ptp(logits) > 0


def test_discriminator_renews_every_u_in_training_only(photo):
    network = build_discriminator("animeganv3", 4)
    vectors = [v for v in network.variables if v.name == "u"]
    assert len(vectors) == 14
    before = [v.numpy().copy() for v in vectors]
    network(photo)
    assert all(np.array_equal(v.numpy(), old) for v, old in zip(vectors, before, strict=True))
    network(photo, training=True)
    # Of the one-channel map's convolution u is +-1, and may stay.
    assert all(not np.array_equal(v.numpy(), old) for v, old in zip(vectors[:-1], before[:-1], strict=True))


def test_spectral_lade_normalises_by_its_convolution(rng):
    x = rng.normal(size=(1, 6, 4, 3)).astype("float32")
    layer = LADE(spectral=True)
    for _ in range(60):
        y = layer(x, training=True)
    kernel = np.asarray(layer.conv.kernel.value).reshape(3, 3)
    kernel = kernel / np.linalg.svd(kernel, compute_uv=False)[0]
    np.testing.assert_allclose(y, _lade(x, x @ kernel), atol=1e-4)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_spectral_convolution_pads_as_told(rng, mode):
    x = rng.normal(size=(1, 6, 6, 2)).astype("float32")
    layer = SpectralConv2D(3, 3, 2, padding="start", mode=mode)
    y = np.asarray(layer(x))
    kernel = np.asarray(layer.kernel.value)
    corner = np.einsum("hwc,hwcf->f", np.asarray(pad(x, 3, "start", mode))[0, :3, :3], kernel)
    # The same sigma divides all: compare with a place that padding does not reach.
    inside = np.einsum("hwc,hwcf->f", x[0, 1:4, 1:4], kernel)
    np.testing.assert_allclose(y[0, 0, 0] / corner, y[0, 1, 1] / inside, rtol=1e-4)
    assert SpectralConv2D.from_config(layer.get_config()).mode == mode
