"""Networks: published parameter counts, sizes, ranges, and what each variable is for."""

import functools

import keras
import numpy as np
import pytest

from animegan_tf.errors import UnknownNameError
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator


def _trained(network) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@functools.cache
def _generator(name: str):
    """Returns a generator for tests that do not change it: building one takes longer than a picture."""
    return build_generator(name, width=8)


def _inputs(network, rng, size, batch=2) -> dict:
    """Returns pictures as 'image' and what the network asks for besides, by name; that sums to 1 in each row."""
    further = {name: rng.dirichlet(np.ones(shape[-1]), batch) for name, shape in network.inputs_shape.items()}
    inputs = {"image": rng.uniform(-1, 1, (batch, *size, 3)), **further}
    return {name: value.astype("float32") for name, value in inputs.items()}


def _call(network, inputs, **settings):
    return network(inputs["image"], **{name: inputs[name] for name in network.inputs_shape}, **settings)


def _maps(logits) -> list[np.ndarray]:
    return [np.asarray(part) for part in (logits if isinstance(logits, list) else [logits])]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("animegan", 3_956_096), ("animeganv2", 2_143_552), ("animeganv2_lite", 698_240), ("fast", 163_201)],
)
def test_generator_parameters(name, parameters):
    assert _trained(build_generator(name)) == parameters


@pytest.mark.parametrize("name", ["animegan", "animeganv2"])
def test_discriminator_parameters(name):
    network = build_discriminator(name)
    assert _trained(network) == 1_128_800
    # The rest is one u vector per convolution.
    assert network.count_params() - _trained(network) == 32 + 64 + 128 + 128 + 256 + 256 + 1


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_generator_keeps_size_and_range(rng, name, size):
    network = _generator(name)
    stylized = np.asarray(_call(network, _inputs(network, rng, size), training=False))
    assert stylized.shape == (2, *size, 3) and stylized.dtype == np.float32
    assert np.isfinite(stylized).all() and np.abs(stylized).max() <= 1 and np.ptp(stylized) > 0


@pytest.mark.parametrize("name", GENERATORS)
def test_a_flat_black_picture_gives_numbers(rng, name):
    network = _generator(name)
    inputs = _inputs(network, rng, (32, 32), batch=1)
    inputs["image"][:] = -1
    assert np.isfinite(_call(network, inputs, training=False)).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_pictures_of_a_batch_do_not_mix(rng, name):
    network = _generator(name)
    inputs = _inputs(network, rng, (32, 32))
    together = np.asarray(_call(network, inputs, training=False))
    alone = _call(network, {key: value[1:] for key, value in inputs.items()}, training=False)
    np.testing.assert_allclose(together[1:], alone, atol=1e-4)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator_gives_maps_of_the_pictures_form(rng, name):
    network = build_discriminator(name, width=4)
    for logits in _maps(_call(network, _inputs(network, rng, (64, 96)))):
        batch, height, width, channels = logits.shape
        assert (batch, channels, 2 * width) == (2, 1, 3 * height)
        assert np.isfinite(logits).all() and np.ptp(logits) > 0


@pytest.mark.parametrize("name", ["animegan", "animeganv2"])
def test_published_discriminators_give_one_logit_per_4x4_patch(rng, name):
    network = build_discriminator(name, width=4)
    assert network(rng.uniform(-1, 1, (2, 32, 48, 3)).astype("float32")).shape == (2, 8, 12, 1)


@pytest.mark.parametrize(
    ("build", "name"),
    [(build_generator, name) for name in GENERATORS] + [(build_discriminator, n) for n in DISCRIMINATORS],
)
def test_stored_statistics_change_in_training_only(rng, build, name):
    network = build(name, width=4)
    inputs, before = _inputs(network, rng, (32, 32)), network.get_weights()
    _call(network, inputs, training=False)
    for variable, old in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.path)
    _call(network, inputs, training=True)
    read = {id(v) for v in (network.inference_variables if build is build_generator else network.variables)}
    for variable, old in zip(network.variables, before, strict=True):
        # Batch renormalisation keeps statistics that only training reads.
        kept = id(variable) in read or variable.name in ("moving_stddev", "renorm_mean", "renorm_stddev")
        changes = not variable.trainable and kept
        assert np.array_equal(variable, old) != changes, variable.path


@pytest.mark.parametrize("build", [lambda: build_generator("fast"), lambda: build_discriminator("animegan")])
def test_networks_are_rebuilt_from_their_config(build):
    network = build()
    again = type(network).from_config(network.get_config())
    again.build((1, 64, 64, 3))
    assert [v.shape for v in again.variables] == [v.shape for v in network.variables]


def test_weights_survive_a_file(tmp_path, rng):
    first, second = build_generator("animeganv2_lite", 8), build_generator("animeganv2_lite", 8)
    first.save_weights(tmp_path / "g.weights.h5")
    second.load_weights(tmp_path / "g.weights.h5")
    photo = rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(first(photo), second(photo))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UnknownNameError, match="known are animegan, animeganv2.*Did you mean 'animeganv2'"):
        build_generator("animegan_v2")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_answers_in_float32(rng, policy):
    photo = rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    plain = build_generator("animeganv2", 8)
    keras.mixed_precision.set_global_policy(policy)
    try:
        mixed = build_generator("animeganv2", 8)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(plain.get_weights())
    result = np.asarray(mixed(photo))
    assert result.dtype == np.float32
    # bfloat16 keeps 8 bits of every product; through twenty layers this is what is left.
    assert np.abs(result - np.asarray(plain(photo))).mean() < 0.05
