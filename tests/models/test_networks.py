"""Networks: published parameter counts, sizes, ranges, and what each variable is for."""

import keras
import numpy as np
import pytest

from animegan_tf.errors import UnknownNameError
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator


def _trained(network) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("animegan", 3_956_096), ("animeganv2", 2_143_552), ("animeganv2_lite", 698_240), ("fast", 89_112)],
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
    network = build_generator(name, width=8)
    photo = rng.uniform(-1, 1, (2, *size, 3)).astype("float32")
    stylized = np.asarray(network(photo, training=False))
    assert stylized.shape == photo.shape and stylized.dtype == np.float32
    assert np.isfinite(stylized).all() and np.abs(stylized).max() <= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_a_flat_black_picture_gives_numbers(name):
    stylized = np.asarray(build_generator(name, width=8)(np.full((1, 32, 32, 3), -1, "float32"), training=False))
    assert np.isfinite(stylized).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_pictures_of_a_batch_do_not_mix(rng, name):
    network = build_generator(name, width=8)
    photo = rng.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    together = np.asarray(network(photo, training=False))
    np.testing.assert_allclose(together[1:], network(photo[1:], training=False), atol=1e-4)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator_gives_one_logit_per_4x4_patch(rng, name):
    network = build_discriminator(name, width=4)
    logits = np.asarray(network(rng.uniform(-1, 1, (2, 32, 48, 3)).astype("float32")))
    assert logits.shape == (2, 8, 12, 1) and np.ptp(logits) > 0


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


def test_the_fast_generator_is_local(rng):
    """Batch norm only: a change in one corner does not reach the other (no image-wide statistics)."""
    network = build_generator("fast")
    photo = rng.uniform(-1, 1, (1, 96, 96, 3)).astype("float32")
    changed = photo.copy()
    changed[:, :8, :8] = 1.0
    before, after = (np.asarray(network(p, training=False)) for p in (photo, changed))
    np.testing.assert_array_equal(before[:, 80:, 80:], after[:, 80:, 80:])
    assert np.abs(before - after).max() > 1e-3


def test_the_fast_generators_margin_takes_the_frame_of_zero_padding(rng):
    """Within the margin a picture's border is computed as if the picture went on."""
    network = build_generator("fast")
    whole = rng.uniform(-1, 1, (1, 160, 160, 3)).astype("float32")
    cut = whole[:, 32:128, 32:128]
    margin = network.margin
    inner = np.asarray(network(cut, training=False))[:, margin:-margin, margin:-margin]
    expected = np.asarray(network(whole, training=False))[:, 32 + margin : 128 - margin, 32 + margin : 128 - margin]
    # Zero padding reaches further than the margin, but what is left of it there is below a level.
    assert np.abs(inner - expected).max() < 1 / 127.5
