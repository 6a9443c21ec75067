"""What a style costs: multiplications, bytes, milliseconds. From its folder alone, without the network's code."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animegan_tf.errors import needs_extra
from animegan_tf.manifest import Manifest, verify_file
from animegan_tf.native import silent_stderr

MACS_SIDE = 256
LATENCY_SIDE = 512

Shape = Sequence[int]


@dataclass(frozen=True)
class Cost:
    """parameters: numbers in the files. macs: multiply-accumulates at 256 x 256, None where no file tells.

    bytes: of each model file, 'tflite int8' -> size. latency_ms: median for a 512 x 512 picture, uint8 in and out,
    None where it was not measured.
    """

    parameters: int
    macs: int | None
    bytes: dict[str, int]
    latency_ms: float | None = None


def file_sizes(manifest: Manifest) -> dict[str, int]:
    """Returns 'tflite float32', 'style encoder onnx float32' ... -> bytes of the files of a style."""
    names = (f"{f.role.replace('_', ' ')} {f.format} {f.precision}".removeprefix("generator ") for f in manifest.files)
    return {name: file.bytes for name, file in zip(names, manifest.files, strict=True)}


def measure_latency(stylize: Callable[[np.ndarray], np.ndarray], rounds: int, side: int = LATENCY_SIDE) -> float:
    """Returns the median time of `stylize` for a side x side picture in ms, after two passes that warm up.

    Args:
      stylize: [side, side, 3] uint8 RGB -> the same.
      rounds: timed passes.
    """
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        stylize(picture)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


def count_macs(folder: Path, manifest: Manifest, side: int = MACS_SIDE) -> int | None:
    """Returns the multiply-accumulates of one side x side picture through the generator of a style folder.

    Counted are convolutions of every kind and products of matrices, as the exported graph does them, in the TFLite
    file or else the ONNX file; None where there is neither. The margin that a picture is given around it is not in it.

    Raises:
      StyleError: the file is missing or was changed. MissingExtraError: for ONNX, the package onnx.
    """
    for format, count in (("tflite", count_tflite), ("onnx", count_onnx)):
        file = manifest.find(format)
        if file:
            return count(verify_file(folder, file), side)
    return None


def count_tflite(path: Path, side: int) -> int:
    """Returns `count_macs` of a TFLite file, whose tensors get their sizes by running it once."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # A delegate would hide the operators it took over.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with silent_stderr():
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
        for detail in interpreter.get_input_details():
            if len(detail["shape"]) == 4:
                interpreter.resize_tensor_input(detail["index"], (1, side, side, 3))
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
    shapes = {detail["index"]: detail["shape"].tolist() for detail in interpreter.get_tensor_details()}
    total = 0
    for op in interpreter._get_ops_details():
        # Indices below 0 stand for inputs that are left out, such as a bias.
        inputs = [shapes.get(index, []) for index in op["inputs"]]
        total += _tflite_macs(op["op_name"], inputs, shapes.get(op["outputs"][0], []) if len(op["outputs"]) else [])
    return total


def _tflite_macs(name: str, inputs: Sequence[Shape], output: Shape) -> int:
    if name == "CONV_2D" or name == "FULLY_CONNECTED":  # kernel [out, kh, kw, in], [out, in]
        return math.prod(output) * math.prod(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":  # kernel [1, kh, kw, C]
        return math.prod(output) * math.prod(inputs[1][1:3])
    if name == "TRANSPOSE_CONV":  # output size, kernel [out, kh, kw, in], image
        return math.prod(inputs[2][:3]) * math.prod(inputs[1])
    if name == "BATCH_MATMUL":  # the left matrix may be transposed: its other side is the output's height
        return math.prod(inputs[0]) * output[-1]
    return 0


def count_onnx(path: Path, side: int) -> int:
    """Returns `count_macs` of an ONNX file, whose tensors get their sizes by running it once."""
    with needs_extra("onnx", "onnx", "train", "Counting the operations of an ONNX file"):
        import onnx
    with needs_extra("onnxruntime", "onnxruntime", "onnx", "Counting the operations of an ONNX file"):
        import onnxruntime

    model = onnx.load(str(path))
    counted = [node for node in model.graph.node if node.op_type in _ONNX_MACS]
    wanted = dict.fromkeys(name for node in counted for name in (*node.input[:2], node.output[0]))
    shapes: dict[str, Shape] = {item.name: list(item.dims) for item in model.graph.initializer}
    names = [name for name in wanted if name not in shapes]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(names, {item.name: _zeros(item, side) for item in session.get_inputs()})
    shapes |= {name: value.shape for name, value in zip(names, values, strict=True)}
    return sum(
        _ONNX_MACS[node.op_type](shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]])
        for node in counted
    )


def _zeros(item, side: int) -> np.ndarray:
    kind = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16}.get(item.type, np.float32)
    return np.zeros((1, side, side, 3) if len(item.shape) == 4 else (1, *item.shape[1:]), kind)


# Each takes the shapes of image, kernel and output; kernels are [out, in, kh, kw], of ConvTranspose [in, out, kh, kw].
_ONNX_MACS: dict[str, Callable[[Shape, Shape, Shape], int]] = {
    "Conv": lambda image, kernel, output: math.prod(output) * math.prod(kernel[1:]),
    "ConvTranspose": lambda image, kernel, output: math.prod(image) * math.prod(kernel[1:]),
    "MatMul": lambda left, right, output: math.prod(output) * left[-1],
    # Either matrix may be transposed: (M K) (K N) (M N) = (M K N)^2.
    "Gemm": lambda left, right, output: math.isqrt(math.prod(left) * math.prod(right) * math.prod(output)),
}
