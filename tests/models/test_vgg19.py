"""VGG19 features against Keras's own network, and its sources of weights."""

import h5py
import keras
import numpy as np
import pytest

from animegan_tf.errors import ConfigError
from animegan_tf.models.vgg19 import LAYERS, build_vgg19, needed_layers, read_weights


def _write_npz(path, last: str):
    features = build_vgg19((last,), "random")
    arrays = {}
    for name, (kernel, bias) in features.parts.items():
        arrays |= {f"{name}/kernel": kernel.numpy(), f"{name}/bias": bias.numpy() + 0.1}
    np.savez(path, **arrays)
    return path


def test_features_equal_keras_applications_before_relu(tmp_path, rng):
    path = _write_npz(tmp_path / "vgg.npz", "block2_conv2")
    reference = keras.applications.VGG19(include_top=False, weights=None)
    for name, pair in read_weights(path, needed_layers(("block2_conv2",))).items():
        reference.get_layer(name).set_weights(pair)
    layer = reference.get_layer("block2_conv2")
    layer.activation = keras.activations.linear
    image = rng.uniform(-1, 1, (2, 16, 20, 3)).astype("float32")
    caffe = keras.applications.vgg19.preprocess_input((image + 1) * 127.5)
    expected = keras.Model(reference.input, layer.output)(caffe)
    found = build_vgg19(("block2_conv2", "block2_relu2"), str(path))(image)
    np.testing.assert_allclose(found["block2_conv2"], expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["block2_relu2"], np.maximum(expected, 0), rtol=1e-4, atol=1e-2)


def test_only_what_is_needed_is_built_and_nothing_trains():
    features = build_vgg19(("block3_conv1", "block1_conv2"), "random")
    assert tuple(features.parts) == LAYERS[:5]
    assert features.trainable_variables == []


def test_h5_weights_are_read_as_keras_distributes_them(tmp_path, rng):
    kernel, bias = rng.normal(size=(3, 3, 3, 64)).astype("float32"), rng.normal(size=64).astype("float32")
    with h5py.File(tmp_path / "vgg19_notop.h5", "w") as file:
        file["block1_conv1/block1_conv1_b_1:0"] = bias
        file["block1_conv1/block1_conv1_W_1:0"] = kernel
    found = read_weights(tmp_path / "vgg19_notop.h5", ("block1_conv1",))
    np.testing.assert_array_equal(found["block1_conv1"][0], kernel)
    np.testing.assert_array_equal(found["block1_conv1"][1], bias)


def test_partial_weights_say_how_far_they_go(tmp_path):
    path = _write_npz(tmp_path / "vgg.npz", "block1_conv2")
    with pytest.raises(ConfigError, match="goes up to block1_conv2 but block4_conv4 is needed"):
        build_vgg19(("block4_conv4",), str(path))


@pytest.mark.parametrize(
    ("source", "message"), [("nowhere.npz", "does not exist"), (__file__, "cannot be read as .npz or .h5")]
)
def test_bad_sources(source, message):
    with pytest.raises(ConfigError, match=message):
        build_vgg19(("block1_conv1",), source)


def test_an_unknown_layer_is_named():
    with pytest.raises(ConfigError, match="no layer 'block4_conv9'"):
        needed_layers(("block4_conv9",))


@pytest.mark.parametrize("content", [b"", b"half a file"])
def test_an_interrupted_download_is_one_sentence(tmp_path, content):
    whole = _write_npz(tmp_path / "vgg.npz", "block1_conv2").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2] if content else b"")
    with pytest.raises(ConfigError, match="cannot be read as .npz or .h5"):
        read_weights(tmp_path / "cut.npz", LAYERS[:1])


def test_kernels_of_another_layout_are_refused(tmp_path):
    arrays = {"block1_conv1/kernel": np.zeros((64, 3, 3, 3)), "block1_conv1/bias": np.zeros(64)}
    np.savez(tmp_path / "torch.npz", **arrays)
    with pytest.raises(ConfigError, match="block1_conv1 has the shape"):
        read_weights(tmp_path / "torch.npz", LAYERS[:1])


def test_scaled_features_are_the_features_times_the_scale(rng):
    image = rng.uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    names = ("block1_conv1", "block2_relu1")
    plain, scaled = build_vgg19(names, "random")(image), build_vgg19(names, "random", 0.25)(image)
    for name in names:
        np.testing.assert_allclose(scaled[name], 0.25 * np.asarray(plain[name]), rtol=1e-5)
