"""From a float32 TFLite file to full int8: uint8 pictures in and out, every operation between them on int8.

Ranges of all tensors are measured on photos; TensorFlow's quantizer makes int8 of them, kernels with a scale per
channel, activations with one per tensor; the ends become uint8; the last kernel is rounded again, so that calm areas
stay calm (see rounding.py); the result is centred; and the ends are written for XNNPACK (see int8_ends.py).

Why the ranges are measured here: TensorFlow's own calibration reads a tensor after the next operation may have written
over it, and then takes the range of a sum for that of its terms. Where a photo and a feature map are concatenated,
the quantizer gives both one scale, and the file would no longer take pixels: the scale of the input is put right.

Why the result is centred: int8 has no step for 127.5, the middle of the pixels, so that the photo is read half a level
too dark or too bright, and the result written so; tanh has steps of 1/128 where pixels have 1/127.5; and rounding does
not even out over the layers. What all this moves the mean by goes into the bias of the last convolution, at no cost.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type

from animegan_tf import images
from animegan_tf.errors import ExportError
from animegan_tf.export.int8_ends import delegate_ends
from animegan_tf.export.rounding import round_kernel, second_moment
from animegan_tf.export.tflite_graph import code, constant, is_constant, makers, packed, parse, set_constant
from animegan_tf.native import silent_stderr

# Of a file and of one picture [1, H, W, 3], in the type that the file takes.
Run = Callable[[np.ndarray], np.ndarray]
_PIXEL_SCALE = 1 / 127.5
# tanh(3) is 0.6 of a level below 1: what lies beyond would only coarsen the steps of the rest.
_TANH_BOUND = 3.0
_CENTRING_ROUNDS = 2
# Means are known from fewer photos than extremes.
_MEANS_STRIDE = 4


def quantize(model: bytes, photos: Sequence[np.ndarray]) -> bytes:
    """Returns the bytes of a .tflite file that takes and returns uint8 [1, H, W, 3] RGB, H and W open.

    Args:
      model: of a float32 file of `stylize_function`, of a generator that takes an image alone.
      photos: uint8 [H, W, 3] RGB, sides that the generator takes; what the file will be used on, a few dozen.

    Raises:
      ExportError: no photos, an operation that int8 does not have, or no convolution at the end that could be centred.
    """
    if not photos:
        raise ExportError("An int8 file needs photos to measure the ranges of its tensors on.")
    parsed = parse(model)
    _write_ranges(parsed, measure_ranges(model, photos))
    with silent_stderr():
        quantized = mlir_quantize(packed(parsed))
    parsed = parse(bytes(modify_model_io_type(quantized, tf.uint8, tf.uint8)))
    _check_no_floats(parsed)
    _take_pixels(parsed)
    _cut_by_saturation(parsed)
    _round_last_kernel(parsed, model, photos[::_MEANS_STRIDE])
    for _ in range(_CENTRING_ROUNDS):
        _centre(parsed, model, photos[::_MEANS_STRIDE])
    delegate_ends(parsed)
    return packed(parsed)


def measure_ranges(model: bytes, photos: Sequence[np.ndarray]) -> dict[int, tuple[float, float]]:
    """Returns the smallest and largest value of every float tensor that is computed, by its index in the file.

    The image itself has [-1, 1]. Of the extremes in each photo the one that 95 % of the photos keep to is taken: a
    single odd value in one of many photos would coarsen the steps of all.
    """
    found: dict[int, list[tuple[float, float]]] = {index: [] for index in _computed_tensors(parse(model))}
    interpreter = _interpreter(model, keep_all=True)
    run = _runner(interpreter)
    for photo in photos:
        run(images.to_float(photo)[None])
        for index, extremes in found.items():
            values = interpreter.get_tensor(index)
            extremes.append((float(values.min()), float(values.max())))
    image = interpreter.get_input_details()[0]["index"]
    ranges = {index: _usual(np.array(extremes)) for index, extremes in found.items()}
    return ranges | {image: (-1.0, 1.0)}


def _usual(extremes: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(extremes[:, 0], 0.05), np.quantile(extremes[:, 1], 0.95)
    return min(float(low), 0.0), max(float(high), 0.0)  # int8 has to have a zero: what is padded is 0


def _computed_tensors(model: Any) -> list[int]:
    tensors = model.subgraphs[0].tensors
    return [
        index
        for index, tensor in enumerate(tensors)
        if tensor.type == schema.TensorType.FLOAT32 and not is_constant(model, tensor)
    ]


def _write_ranges(model: Any, ranges: dict[int, tuple[float, float]]) -> None:
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if code(model, operator) == schema.BuiltinOperator.TANH:
            low, high = ranges[operator.inputs[0]]
            ranges[operator.inputs[0]] = max(low, -_TANH_BOUND), min(high, _TANH_BOUND)
        if code(model, operator) == schema.BuiltinOperator.REDUCE_MAX:
            _widen_maximum(model, operator, ranges)
    for index, (low, high) in ranges.items():
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = np.array([[low], [high]], np.float32)
        graph.tensors[index].quantization = quantization


def _widen_maximum(model: Any, maximum: Any, ranges: dict[int, tuple[float, float]]) -> None:
    """Gives a maximum over channels, and what it is concatenated to, the range of the map it is taken of.

    In int8 all three have one scale, and the quantizer takes it from the last: all of the map that lies below the
    maxima would be cut off.
    """
    low, high = ranges[maximum.outputs[0]] = ranges[maximum.inputs[0]]
    for operator in model.subgraphs[0].operators:
        if code(model, operator) == schema.BuiltinOperator.CONCATENATION and maximum.outputs[0] in operator.inputs:
            joined = ranges[operator.outputs[0]]
            ranges[operator.outputs[0]] = min(low, joined[0]), max(high, joined[1])


def _check_no_floats(model: Any) -> None:
    graph = model.subgraphs[0]
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    left = {
        names[code(model, operator)]
        for operator in graph.operators
        for index in (*operator.inputs, *operator.outputs)
        if index >= 0 and graph.tensors[index].type == schema.TensorType.FLOAT32
    }
    if left:
        named = ", ".join(sorted(left - {"QUANTIZE", "DEQUANTIZE"} or left))
        raise ExportError(f"This network cannot be wholly int8: {named} would compute in float32.")


def _take_pixels(model: Any) -> None:
    """Makes both ends mean pixels, where the quantizer gave them another scale than a pixel's."""
    graph = model.subgraphs[0]
    for index in (graph.inputs[0], graph.outputs[0]):
        quantization = graph.tensors[index].quantization
        if abs(quantization.scale[0] / _PIXEL_SCALE - 1) > 0.01:  # of tanh it is 1/128, which _centre makes up for
            quantization.scale, quantization.zeroPoint = np.array([_PIXEL_SCALE], np.float32), np.array([128])


def _cut_by_saturation(model: Any) -> None:
    """Lets convolutions write what a bound at the end of the int8 range, and a change of scale, would make of them.

    ReLU with a bound of 1 that joins the photo's scale is MINIMUM and a RELU that TFLite computes one value after the
    other: 3.6 of 12.8 ms at 512x512, for a bound at which int8 ends by itself.
    """
    graph = model.subgraphs[0]
    made_by = makers(model)
    for relu in [operator for operator in graph.operators if code(model, operator) == schema.BuiltinOperator.RELU]:
        minimum = made_by.get(relu.inputs[0])
        convolution = made_by.get(minimum.inputs[0]) if minimum is not None else None
        if convolution is None or not _saturates(model, convolution, minimum, relu):
            continue
        convolution.outputs = relu.outputs
        convolution.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
        graph.operators = [operator for operator in graph.operators if operator not in (minimum, relu)]


def _saturates(model: Any, convolution: Any, minimum: Any, relu: Any) -> bool:
    """Whether convolution -> minimum -> relu is that convolution alone, cut off at the end of the range of int8."""
    graph, builtin = model.subgraphs[0], schema.BuiltinOperator
    if (code(model, convolution), code(model, minimum)) != (builtin.CONV_2D, builtin.MINIMUM):
        return False
    readers = [index for operator in graph.operators for index in operator.inputs]
    if any(readers.count(operator.outputs[0]) > 1 for operator in (convolution, minimum)):
        return False
    bound = graph.tensors[minimum.inputs[1]]
    if not is_constant(model, bound) or bound.shape.size:
        return False
    scale, zero = (values[0] for values in (bound.quantization.scale, bound.quantization.zeroPoint))
    largest = (float(constant(model, bound, np.int8)) - zero) * scale
    written = graph.tensors[relu.outputs[0]].quantization
    return abs((127 - written.zeroPoint[0]) * written.scale[0] - largest) <= written.scale[0]


def _round_last_kernel(model: Any, reference: bytes, photos: Sequence[np.ndarray]) -> None:
    """Rounds the kernel of the last convolution of `model` again, from that of the float32 file `reference`."""
    exact = parse(reference)
    (convolution, _), (source, _) = _last_convolution(model), _last_convolution(exact)
    tensor = model.subgraphs[0].tensors[convolution.inputs[1]]
    kernel = exact.subgraphs[0].tensors[source.inputs[1]]
    weights = constant(exact, kernel, np.float32)
    steps = weights.reshape(len(weights), -1) / np.asarray(tensor.quantization.scale)[:, None]
    interpreter = _interpreter(reference, keep_all=True)
    run = _runner(interpreter)

    def maps() -> Iterator[np.ndarray]:
        for photo in photos:
            run(images.to_float(photo)[None])
            yield interpreter.get_tensor(source.inputs[0])

    set_constant(model, tensor, round_kernel(steps, second_moment(maps(), *weights.shape[1:3])))


def _centre(model: Any, reference: bytes, photos: Sequence[np.ndarray]) -> None:
    """Adds what `model` lacks to the mean of the float32 file `reference` to the bias of its last convolution."""
    convolution, through_tanh = _last_convolution(model)
    bias = model.subgraphs[0].tensors[convolution.inputs[2]]
    scale = np.asarray(bias.quantization.scale)
    found, expected = (_runner(_interpreter(data)) for data in (packed(model), reference))
    missing, slopes = [], []
    for photo in photos:
        wanted = expected(images.to_float(photo)[None])
        missing.append(_block_means(wanted - images.to_float(found(photo[None])), len(scale)))
        slopes.append(_block_means(1 - np.square(wanted), len(scale)) if through_tanh else np.ones(len(scale)))
    step = np.mean(missing, 0) / np.maximum(np.mean(slopes, 0), 0.1)
    set_constant(model, bias, constant(model, bias, np.int32) + np.rint(step / scale).astype(np.int32))


def _last_convolution(model: Any) -> tuple[Any, bool]:
    """Returns the operator that the output is made of, and whether tanh comes after it."""
    graph = model.subgraphs[0]
    made_by = makers(model)
    operator, through_tanh = made_by.get(graph.outputs[0]), False
    while operator is not None and code(model, operator) != schema.BuiltinOperator.CONV_2D:
        through_tanh |= code(model, operator) == schema.BuiltinOperator.TANH
        operator = made_by.get(operator.inputs[0])
    if operator is None:
        raise ExportError("An int8 file is for a network that ends in a convolution; this one does not.")
    return operator, through_tanh


def _block_means(image: np.ndarray, channels: int) -> np.ndarray:
    """Returns the mean of [1, H, W, 3] for each of the `channels` that depth_to_space makes it of; 3: of the colours.

    Raises:
      ExportError: it cannot be made of so many.
    """
    block = round((channels / 3) ** 0.5)
    if 3 * block * block != channels:
        raise ExportError(f"An int8 file is for a network whose last convolution gives RGB; this one gives {channels}.")
    return np.concatenate([image[0, y::block, x::block].mean((0, 1)) for y in range(block) for x in range(block)])


def _interpreter(model: bytes, keep_all: bool = False) -> Interpreter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that keeping all tensors takes memory
        return Interpreter(model_content=model, num_threads=os.cpu_count(), experimental_preserve_all_tensors=keep_all)


def _runner(interpreter: Interpreter) -> Run:
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(image: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(source, image.shape)
        with silent_stderr():
            interpreter.allocate_tensors()
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run
