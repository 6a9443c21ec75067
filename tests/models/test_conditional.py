"""The conditional system: what a label does to the generator and to the discriminator."""

import keras
import numpy as np
import pytest

from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.conditional import ConditionalInstanceNorm, ExternalAttention


def _one_hot(*classes, count=3):
    return np.eye(count, dtype="float32")[list(classes)]


def _photo(rng, batch=1):
    return rng.uniform(-1, 1, (batch, 32, 32, 3)).astype("float32")


def _vary_tables(network, rng):
    for variable in network.trainable_variables:
        if variable.path.endswith(("gamma", "beta")):
            variable.assign_add(rng.normal(0, 0.3, variable.shape).astype("float32"))


@pytest.fixture
def norm(rng):
    layer = ConditionalInstanceNorm(3)
    layer.build((None, 4, 6, 5))
    layer.set_weights([rng.normal(size=(3, 5)), rng.normal(size=(3, 5))])
    return layer


def test_conditional_norm_equals_its_definition(rng, norm):
    x = rng.normal(2.0, 3.0, (2, 4, 6, 5)).astype("float32")
    label = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], "float32")
    gamma, beta = (label @ table for table in norm.get_weights())
    standard = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    expected = standard * gamma[:, None, None] + beta[:, None, None]
    np.testing.assert_allclose(norm(x, label), expected, atol=2e-5)


def test_a_one_hot_label_selects_a_row_and_a_blend_lies_between(rng, norm):
    x = rng.normal(size=(1, 4, 6, 5)).astype("float32")
    first, last = (np.asarray(norm(x, _one_hot(k))) for k in (0, 2))
    before = norm.gamma.numpy()
    norm.gamma.assign(before + np.array([[0.0], [9.0], [9.0]], "float32"))
    np.testing.assert_array_equal(norm(x, _one_hot(0)), first)
    norm.gamma.assign(before)
    blend = norm(x, np.array([[0.25, 0.0, 0.75]], "float32"))
    np.testing.assert_allclose(blend, 0.25 * first + 0.75 * last, atol=1e-5)


def test_external_attention_equals_its_definition(rng):
    layer = ExternalAttention(slots=7)
    x = rng.normal(size=(2, 4, 6, 5)).astype("float32")
    layer.build(x.shape)
    keys, values = (rng.normal(size=v.shape).astype("float32") for v in layer.weights)
    layer.set_weights([keys, values])
    scores = np.exp(x.reshape(2, 24, 5) @ keys[0, 0])
    over_positions = scores / scores.sum(1, keepdims=True)
    attention = over_positions / over_positions.sum(2, keepdims=True)
    np.testing.assert_allclose(layer(x), (attention @ values[0, 0]).reshape(x.shape), atol=1e-5)


def test_attention_reaches_over_the_whole_picture_and_bears_large_scores(rng):
    layer = ExternalAttention(slots=4)
    x = rng.normal(size=(1, 4, 4, 3)).astype("float32")
    changed = x.copy()
    changed[0, 0, 0] += 3.0
    assert np.abs(np.asarray(layer(changed) - layer(x))[0, 3, 3]).max() > 1e-4
    assert np.isfinite(layer(1e4 * x)).all()


def test_parameters():
    """A class costs a scale and a shift for each of 1216 normed channels."""
    one, three = (build_generator("conditional", classes=n).count_params() for n in (1, 3))
    assert (one, three) == (1_097_280, 1_097_280 + 2 * 2 * 1216)


def test_labels_give_different_pictures_once_the_tables_differ(rng):
    network = build_generator("conditional", 4, classes=3)
    photo = np.repeat(_photo(rng), 3, axis=0)
    same = np.asarray(network(photo, label=_one_hot(0, 1, 2)))
    np.testing.assert_allclose(same[1:], same[:2], atol=1e-4)
    _vary_tables(network, rng)
    first, second, third = np.asarray(network(photo, label=_one_hot(0, 1, 2)))
    assert min(np.abs(first - second).mean(), np.abs(second - third).mean()) > 0.02
    half = np.asarray(network(photo[:1], label=np.array([[0.5, 0.5, 0.0]], "float32")))[0]
    assert 0.01 < np.abs(half - first).mean() and 0.01 < np.abs(half - second).mean()


def test_one_class_is_the_default(rng):
    network = build_generator("conditional", 4)
    assert network.inputs_shape == {"label": (1,)}
    stylized = np.asarray(network(_photo(rng, 2), label=np.ones((2, 1), "float32")))
    assert stylized.shape == (2, 32, 32, 3) and np.ptp(stylized) > 0.1


def test_the_label_of_a_batch_is_the_condition():
    batch = {"photo": 1, "label": 2, "noise": 3}
    assert build_generator("conditional", 4, classes=3).condition(batch) == {"label": 2}


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_gradients_reach_every_variable_and_of_tables_only_the_labels_row(rng, build):
    tf = pytest.importorskip("tensorflow")
    network = build("conditional", 4, classes=3)
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        result = network(_photo(rng), label=_one_hot(1), training=True)
        loss = keras.ops.mean(result * rng.normal(size=result.shape).astype("float32"))
    for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
        assert np.abs(gradient).max() > 1e-8, variable.path
        if build is build_generator and variable.path.endswith(("gamma", "beta")):
            assert np.abs(gradient[1]).max() > 0 and not np.abs(gradient[::2]).any()


def test_projection_equals_its_definition(rng):
    network = build_discriminator("conditional", 4, classes=3)
    image, label = _photo(rng, 2), np.array([[0.0, 1.0, 0.0], [0.6, 0.0, 0.4]], "float32")
    for _ in range(40):  # until the power iterations stand
        network(image, label=label, training=True)
    features = image
    for block in network.blocks:
        features = block(features)
    table, linear = (np.asarray(layer.kernel.value)[0, 0] for layer in (network.embedding, network.logits))
    embedding = label @ table / np.linalg.svd(table, compute_uv=False)[0]
    expected = features @ linear / np.linalg.norm(linear) + np.einsum("bhwc,bc->bhw", features, embedding)[..., None]
    logits = np.asarray(network(image, label=label))
    assert logits.shape == (2, 8, 8, 1)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_the_discriminator_answers_by_label(rng):
    network = build_discriminator("conditional", 4, classes=3)
    image = np.repeat(_photo(rng), 2, axis=0)
    first, second = np.asarray(network(image, label=_one_hot(0, 2)))
    assert np.abs(first - second).mean() > 0.01


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_config_and_weights_survive(tmp_path, rng, build):
    network = build("conditional", 4, classes=2)
    _vary_tables(network, rng)
    again = type(network).from_config(network.get_config())
    again.build((1, 64, 64, 3))
    network.save_weights(tmp_path / "n.weights.h5")
    again.load_weights(tmp_path / "n.weights.h5")
    image, label = _photo(rng), np.array([[0.3, 0.7]], "float32")
    np.testing.assert_array_equal(network(image, label=label), again(image, label=label))


@pytest.mark.parametrize("layer", [ConditionalInstanceNorm(3), ExternalAttention(7)])
def test_layers_survive_serialisation(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
