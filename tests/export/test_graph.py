"""Norms as files: the statistics of a large map far from zero, in every runtime, against float64."""

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from tflite_runs import run_tflite

from animegan_tf.export.graph import frozen_function
from animegan_tf.export.onnx import convert_onnx
from animegan_tf.models.animeganv3 import LADE
from animegan_tf.models.layers import InstanceNorm, LayerNorm

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SHAPE = (1, 360, 480, 4)


def _normalised(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def _lade(layer, x):
    target = x @ np.asarray(layer.conv.conv.kernel.value, "float64")[0, 0]
    deviation = np.sqrt(target.var((1, 2), keepdims=True) + 1e-5)
    return _normalised(x, (1, 2)) * deviation + target.mean((1, 2), keepdims=True)


LAYERS = {
    "layer_norm": (lambda: LayerNorm(epsilon=1e-5), lambda layer, x: _normalised(x, (1, 2, 3))),
    "instance_norm": (InstanceNorm, lambda layer, x: _normalised(x, (1, 2))),
    "lade": (LADE, _lade),
}


def _tflite(function, x):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen_function(function)], tf.Module())
    return run_tflite(converter.convert(), x)


def _onnx(function, x):
    session = onnxruntime.InferenceSession(convert_onnx(function), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})[0]


@pytest.mark.parametrize("run", [_tflite, _onnx], ids=["tflite", "onnx"])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_statistics_of_a_large_map_far_from_zero(rng, name, run):
    """Means of 0 to 300, deviation 1. At 1920x1080 E[x^2] - E[x]^2 in float32 is off by 0.29, these by 2.8e-4."""
    new, define = LAYERS[name]
    layer = new()
    x = (rng.normal(size=SHAPE) + np.array([0.0, 3.0, -50.0, 300.0])).astype("float32")
    layer.build(x.shape)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, SHAPE[-1]], tf.float32, name="image")])
    def function(image):
        return {"stylized": layer(image)}

    np.testing.assert_allclose(run(function, x), define(layer, x.astype("float64")), atol=2e-4)
