"""From a float32 ONNX file to int8 by QDQ: QuantizeLinear and DequantizeLinear around what is to be computed in int8.

What goes into a convolution, and its kernel, are rounded to int8; all between stays float. TensorRT wants it so:
signed, symmetric (the zero point is 0), kernels with a scale per channel, bias in float, nothing rounded behind a
convolution, so that activation and sum are fused with it. ONNX Runtime computes the same, on a CPU without gain.

Ranges are measured on photos, and the last kernel is rounded as in int8.py: calm areas stay calm.

Differs: onnxruntime.quantization also rounds what a convolution gives, before ReLU6 cuts it off, and every sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from animegan_tf import images
from animegan_tf.errors import ExportError
from animegan_tf.export.rounding import round_kernel, second_moment

_LIMIT = 127
_SHARE_OF_PHOTOS = 0.95
# The moment of the last kernel's patches is known from fewer photos than extremes.
_MOMENT_STRIDE = 4


def quantize_onnx(model: bytes, photos: Sequence[np.ndarray]) -> bytes:
    """Returns the bytes of an .onnx file that computes its convolutions in int8; float32 [N, H, W, 3] in and out.

    Args:
      model: of `convert_onnx`, float32, of a generator that takes an image alone.
      photos: uint8 [H, W, 3] RGB, sides that the generator takes; what the file will be used on, a few dozen.

    Raises:
      ExportError: no photos, or no convolution.
    """
    if not photos:
        raise ExportError("An int8 file needs photos to measure the ranges of its tensors on.")
    parsed = onnx.load_from_string(model)
    convolutions = [node for node in parsed.graph.node if node.op_type == "Conv"]
    if not convolutions:
        raise ExportError("An int8 file is for a network with convolutions; this one has none.")
    few = photos[::_MOMENT_STRIDE]
    bounds = measure_bounds(model, [node.input[0] for node in convolutions], photos)
    for node in convolutions:
        moment = _moment(parsed, node, model, few) if node is convolutions[-1] else None
        _quantize_kernel(parsed.graph, node, moment)
    _quantize_inputs(parsed.graph, convolutions, bounds)
    _drop_unread(parsed.graph)
    onnx.checker.check_model(parsed, full_check=True)
    return parsed.SerializeToString()


def measure_bounds(model: bytes, names: Sequence[str], photos: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns the largest magnitude of the named tensors, of those in each photo the one that 95 % keep to."""
    wanted = sorted(set(names))
    found = [[float(np.abs(values).max()) for values in maps] for maps in _maps(model, wanted, photos)]
    return dict(zip(wanted, np.quantile(np.array(found), _SHARE_OF_PHOTOS, axis=0).tolist(), strict=True))


def _maps(model: bytes, names: Sequence[str], photos: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yields, for every photo, the values of the named tensors."""
    parsed = onnx.load_from_string(model)
    (image,) = (value.name for value in parsed.graph.input)
    shown = {value.name for value in parsed.graph.output} | {image}
    parsed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in shown)
    session = _session(parsed.SerializeToString())
    asked = [name for name in names if name != image]
    for photo in photos:
        pixels = images.to_float(photo)[None]
        values = dict(zip(asked, session.run(asked, {image: pixels}) if asked else [], strict=True)) | {image: pixels}
        yield [values[name] for name in names]


def _session(model: bytes):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in graph.initializer}


def _add_constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _quantize_kernel(graph: onnx.GraphProto, node: onnx.NodeProto, moment: np.ndarray | None) -> None:
    """Puts an int8 kernel and its DequantizeLinear before a convolution; see `round_kernel` for `moment`."""
    kernel = numpy_helper.to_array(_constants(graph)[node.input[1]])
    flat = kernel.reshape(len(kernel), -1)
    scale = np.maximum(np.abs(flat).max(axis=1), 1e-12).astype(np.float32) / _LIMIT
    steps = flat / scale[:, None]
    rounded = np.rint(steps).astype(np.int8) if moment is None else round_kernel(steps, moment)
    name = f"{node.output[0]}/kernel"
    inputs = [
        _add_constant(graph, f"{name}/int8", rounded.reshape(kernel.shape)),
        _add_constant(graph, f"{name}/scale", scale),
        _add_constant(graph, f"{name}/zero_point", np.zeros(len(scale), np.int8)),
    ]
    node.input[1] = name
    graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], name, axis=0))


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _quantize_inputs(graph: onnx.GraphProto, convolutions: Sequence[onnx.NodeProto], bounds: dict[str, float]) -> None:
    for source, bound in bounds.items():
        readers = [node for node in convolutions if node.input[0] == source]
        for node in readers:
            node.input[0] = f"{source}/dequantized"
        scale = _add_constant(graph, f"{source}/scale", np.array(max(bound, 1e-12) / _LIMIT, np.float32))
        zero = _add_constant(graph, f"{source}/zero_point", np.array(0, np.int8))
        pair = (
            helper.make_node("QuantizeLinear", [source, scale, zero], [f"{source}/int8"], f"{source}/quantize"),
            helper.make_node(
                "DequantizeLinear",
                [f"{source}/int8", scale, zero],
                [f"{source}/dequantized"],
                f"{source}/dequantize",
            ),
        )
        # Nodes have to stand in the order in which they are computed.
        place = next(number for number, node in enumerate(graph.node) if node in readers)
        for new in reversed(pair):
            graph.node.insert(place, new)


def _moment(model: onnx.ModelProto, node: onnx.NodeProto, reference: bytes, photos: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the second moment of the patches that a convolution reads, in the order of its kernel."""
    kernel = _constants(model.graph)[node.input[1]]
    _, channels, height, width = kernel.dims
    maps = (np.moveaxis(values, 1, -1) for (values,) in _maps(reference, [node.input[0]], photos))
    moment = second_moment(maps, height, width)
    # second_moment has the channels last, an ONNX kernel before its height.
    order = np.arange(len(moment)).reshape(height, width, channels).transpose(2, 0, 1).ravel()
    return moment[order][:, order]
