"""UE-AnimeGANv2's generator: AnimeGANv2's and three skips, each of which reaches the picture."""

import numpy as np
import pytest

from animegan_tf.models import build_generator

# Channels of the decoder's map at each concatenation, in widths.
DEEP = {"quarter": 8, "half": 4, "full": 4}


def test_parameters_are_animeganv2s_and_the_skips():
    count = build_generator("ue_animeganv2").count_params()
    assert count == 2_383_168
    skips = 9 * (128 * 128 + 64 * 128 + 32 * 64)
    assert count - build_generator("animeganv2").count_params() == skips == 239_616


def test_without_its_skips_it_is_animeganv2(rng):
    network, plain = build_generator("ue_animeganv2", 4), build_generator("animeganv2", 4)
    for mine, published in zip(network.variables, plain.variables, strict=True):
        value = np.zeros(mine.shape, "float32")
        value[tuple(slice(side) for side in published.shape)] = published.numpy()
        mine.assign(value)
    photo = rng.uniform(-1, 1, (1, 32, 40, 3)).astype("float32")
    np.testing.assert_allclose(network(photo), plain(photo), atol=1e-5)


@pytest.mark.parametrize("kept", ["quarter", "half", "full", None])
def test_each_skip_alone_carries_the_photo(rng, kept):
    """Every path from the encoder to the decoder is cut, but for one skip."""
    network = build_generator("ue_animeganv2", 4)
    for name, deep in DEEP.items():
        kernel = getattr(network, f"join_{name}")[0].conv.conv.kernel
        value = kernel.numpy()
        if name != kept:
            value[:, :, 4 * deep :] = 0
        if name == "quarter":
            value[:, :, : 4 * deep] = 0
        kernel.assign(value)
    first, second = np.asarray(network(rng.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")))
    assert (np.abs(first - second).max() > 0.1) == (kept is not None)
    if kept is None:
        np.testing.assert_array_equal(first, 0)
