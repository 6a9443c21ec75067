"""Models that others published, run as they are: frozen TensorFlow 1 graph, TFLite, ONNX; uint8 pictures in and out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.errors import needs_extra
from animegan_tf.native import load_tensorflow, silent_stderr

MULTIPLES = {"graph": 8, "tflite": 8, "onnx": 16}
"""Of the sides of pictures, by format: what the full AnimeGANv3 and the tiny one take."""

_IMAGE, _STYLIZED = "AnimeGANv3_input:0", "generator_1/main/out_layer:0"


def load(path: Path, format: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns [H, W, 3] uint8 RGB -> the same, by the model in `path`; format: 'graph', 'tflite' or 'onnx'.

    Raises:
      MissingExtraError: its runtime is not installed.
    """
    compute = {"graph": _load_graph, "tflite": _load_tflite, "onnx": _load_onnx}[format](path)

    def stylize(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        padded = images.pad_to_multiple(pixels, MULTIPLES[format])
        return images.to_uint8(compute(images.to_float(padded)[None])[0, :height, :width])

    return stylize


def count_graph(path: Path, side: int) -> int:
    """Returns the multiply-accumulates of one side x side picture through the frozen graph in `path`."""
    tensorflow = load_tensorflow("Counting the operations of a graph")
    from animegan_tf.benchmark.macs import count_ops

    with tensorflow.Graph().as_default():
        return count_ops([_import_graph(tensorflow, path, [1, side, side, 3])[1]])


def _load_graph(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    tensorflow = load_tensorflow("A published graph")
    with tensorflow.Graph().as_default() as graph:
        image, stylized = _import_graph(tensorflow, path, [1, None, None, 3])
    session = tensorflow.compat.v1.Session(graph=graph)
    return lambda picture: session.run(stylized, {image: picture})


def _import_graph(tensorflow, path: Path, shape: list[int | None]):
    """Adds the graph in `path` to the current one; returns its input, of that shape, and its output."""
    definition = tensorflow.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    image = tensorflow.compat.v1.placeholder(tensorflow.float32, shape)
    (stylized,) = tensorflow.compat.v1.import_graph_def(definition, {_IMAGE: image}, [_STYLIZED], name="")
    return image, stylized


def _load_tflite(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    with silent_stderr():
        interpreter = Interpreter(os.fspath(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    image, stylized = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def compute(picture: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(image, picture)
        interpreter.invoke()
        return interpreter.get_tensor(stylized)

    return compute


def _load_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    with needs_extra("onnxruntime", "onnxruntime", "onnx", "A published ONNX model"):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture})[0]
