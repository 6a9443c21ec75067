"""What the networks are shown, and which one makes the vectors of FID and KID."""

from __future__ import annotations

import numpy as np
import pytest

from animegan_tf.errors import ConfigError
from animegan_tf.evaluation.metrics import STYLE_LAYERS
from animegan_tf.evaluation.networks import Networks, load_networks

keras = pytest.importorskip("keras", reason="needs the extra train")


@pytest.fixture
def no_download(monkeypatch):
    def fail(**_):
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "InceptionV3", fail)


def test_vectors_of_layers_are_means_over_positions_of_normalised_features():
    values = np.array([[[[3, 4, -9]], [[0, 0, 2]], [[-1, -1, -1]]]], np.float32)  # three positions
    networks = Networks(lambda image: {"layer": values}, features="of a test")
    views = networks.look(np.zeros((40, 40, 3), np.uint8))
    root = np.sqrt(3)  # of three channels, |x| / root is the root mean square
    np.testing.assert_allclose(views.vector, root * np.array([3 / 5, 4 / 5, 1]) / 3, rtol=1e-6)
    np.testing.assert_array_equal(views.layers["layer"], values)  # before ReLU, as they are


def test_vgg19_sees_the_middle_in_the_range_of_networks():
    seen = []
    networks = Networks(lambda image: seen.append(image) or {"layer": image})
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3)).astype(np.uint8)
    assert networks.look(pixels).vector is None  # without a name for the vectors there are none
    np.testing.assert_allclose(seen[0], pixels[None, 22:278, 2:258] / 127.5 - 1.0, atol=1e-6)
    assert seen[0].dtype == np.float32


def test_without_a_download_vgg19_is_taken_and_said(no_download):
    networks = load_networks("random", "auto")
    assert networks.features == f"VGG19 {', '.join(STYLE_LAYERS)}, normalised, mean over positions"
    views = networks.look(np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8))
    assert views.vector.shape == (64 + 128 + 256,) and set(views.layers) == set(STYLE_LAYERS)
    # Squares of a normalised position average to 1, so those of a mean over positions to at most 1.
    assert 0.1 < np.square(views.vector[:64]).mean() <= 1


def test_inception_sees_the_whole_picture_at_299(monkeypatch):
    asked, shown = [], []

    def network(image, training):
        shown.append((image, training))
        return image.mean((1, 2))

    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **settings: asked.append(settings) or network)
    networks = load_networks("none", "auto")
    assert networks.features.startswith("InceptionV3") and networks.layers is None
    pixels = np.full((40, 60, 3), (0, 255, 51), np.uint8)
    np.testing.assert_allclose(networks.look(pixels).vector, [-1, 1, -0.6], atol=1e-3)
    assert asked == [{"include_top": False, "weights": "imagenet", "pooling": "avg"}]
    assert shown[0][0].shape == (1, 299, 299, 3) and shown[0][1] is False


@pytest.mark.parametrize(
    ("weights", "features", "sentence"),
    [
        ("none", "inception", r"InceptionV3 could not be downloaded \(no network\): --features=vgg19 does without."),
        ("none", "vgg19", "--features=vgg19 needs --vgg19_weights."),
        ("/nowhere.npz", "none", "--vgg19_weights=/nowhere.npz does not exist."),
    ],
)
def test_what_cannot_be_had_is_one_sentence(no_download, weights, features, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_networks(weights, features)


def test_no_network_at_all(no_download):
    assert load_networks("none", "none") == Networks()
    assert load_networks("none", "auto") == Networks()
