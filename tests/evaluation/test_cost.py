"""Multiply-accumulates against a count by hand, sizes and times."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from animegan_tf.evaluation.cost import count_macs, count_onnx, count_tflite, file_sizes, measure_latency
from animegan_tf.manifest import read_manifest

KERNELS = {"conv": (3, 3, 3, 8), "depthwise": (5, 5, 8, 1), "up": (4, 4, 6, 8), "last": (1, 1, 6, 3), "dense": (6, 6)}


def _macs(side: int) -> int:
    """Returns what the network of `network_files` needs, by hand."""
    half = (side // 2) ** 2
    conv = half * 8 * 3 * 3 * 3  # stride 2
    depthwise = half * 8 * 5 * 5
    up = half * 8 * 6 * 4 * 4  # each pixel of the small picture is spread over 4 x 4
    dense = side * side * 6 * 6
    last = side * side * 6 * 3
    return conv + depthwise + up + dense + last


@pytest.fixture(scope="module")
def network_files(tmp_path_factory):
    """Returns (.tflite, .onnx) of a network with one operator of each kind, H and W open."""
    tf = pytest.importorskip("tensorflow", reason="building the network needs TensorFlow")
    tf2onnx = pytest.importorskip("tf2onnx", reason="building the network needs tf2onnx")
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in KERNELS.items()}

    def network(image):
        kernel = {name: tf.constant(values) for name, values in weights.items()}
        size = tf.shape(image)
        x = tf.nn.relu(tf.nn.conv2d(image, kernel["conv"], 2, "SAME"))
        x = tf.nn.depthwise_conv2d(x, kernel["depthwise"], [1, 1, 1, 1], "SAME")
        x = tf.nn.conv2d_transpose(x, kernel["up"], tf.stack([1, size[1], size[2], 6]), 2, "SAME")
        x = tf.matmul(x, kernel["dense"])
        return tf.nn.conv2d(x, kernel["last"], 1, "SAME")

    signature = [tf.TensorSpec([1, None, None, 3], tf.float32, "image")]
    function = tf.function(network, input_signature=signature)
    folder = tmp_path_factory.mktemp("network")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own deprecations are not ours
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
        (folder / "network.tflite").write_bytes(converter.convert())
        model, _ = tf2onnx.convert.from_function(function, signature, opset=17)
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    return folder / "network.tflite", folder / "network.onnx"


@pytest.mark.parametrize("side", [32, 64])
def test_every_kind_of_product_is_counted_as_by_hand(network_files, side):
    tflite, onnx = network_files
    assert count_tflite(tflite, side) == _macs(side)
    assert count_onnx(onnx, side) == _macs(side)


def test_a_style_is_counted_from_its_folder(tiny_style, label_style, code_style):
    manifest = read_manifest(tiny_style)
    assert count_macs(tiny_style, manifest, 64) == 64 * 64 * 9 * 3 * 3  # its blur
    onnx_only = type(manifest)(**{**vars(manifest), "files": tuple(f for f in manifest.files if f.format == "onnx")})
    assert count_macs(tiny_style, onnx_only, 64) == 64 * 64 * 9 * 3 * 3
    none = type(manifest)(**{**vars(manifest), "files": ()})
    assert count_macs(tiny_style, none) is None
    # Further inputs are given too; a label of 3 times a [3, 3] matrix, a code of 64 and a noise of 16 to 3 numbers.
    assert count_macs(label_style, read_manifest(label_style)) == 9
    assert count_macs(code_style, read_manifest(code_style)) == 64 * 3 + 16 * 3


def test_sizes_are_those_of_the_manifest(tiny_style, code_style):
    found = file_sizes(read_manifest(code_style))
    assert set(found) == {
        "tflite float32", "onnx float32", "saved_model float32",
        "style encoder tflite float32", "style encoder onnx float32",
    }  # fmt: skip
    assert found["tflite float32"] == (code_style / "model_float32.tflite").stat().st_size
    assert found["style encoder onnx float32"] == (code_style / "encoder.onnx").stat().st_size


def test_the_latency_is_the_median_of_what_is_timed(monkeypatch):
    clock = iter([0, 9, 0, 9, 0, 0.002, 0, 0.007, 0, 0.003])  # two passes warm up
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    seen = []
    assert measure_latency(lambda pixels: seen.append(pixels) or pixels, 3, side=40) == pytest.approx(3)
    assert len(seen) == 5 and seen[0].shape == (40, 40, 3) and seen[0].dtype == np.uint8
