"""How much of a .tflite file the fast kernels take: XNNPACK on a CPU, and the GPU delegate of phones.

What XNNPACK leaves alone runs in TFLite's own kernels, and every change of hands costs a copy of the maps.

XNNPACK is asked: the file is loaded with it. There is no GPU to ask, and `tf.lite.experimental.Analyzer` of TensorFlow
2.21 calls every file compatible, one with SEGMENT_SUM and five dimensions too; so a list of operations answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animegan_tf.native import silent_stderr

_DELEGATE = "DELEGATE"
_SIDE = 256
# Of maps of four dimensions. SHAPE is missing, so that a file of any size often has operations for the CPU.
# Source: the operation parsers in the GPU accelerator that ai-edge-litert 2.3 brings.
_GPU_OPERATIONS = frozenset(
    """ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D
    DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER
    GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6
    RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SELECT_V2 SIGN SIN SLICE
    SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2
    TRANSPOSE TRANSPOSE_CONV UNPACK""".split()
)
_GPU_DIMENSIONS = 4


@dataclass(frozen=True)
class Coverage:
    """Of one file: its operations, those that XNNPACK takes, in how many parts, and what both delegates leave.

    left: name -> number of the operations that stay with TFLite's own kernels. refused: names of those that the GPU
    delegate lacks, by name and number of dimensions alone, so that a phone may still refuse more. any_size: H and W
    are open, which the GPU delegate does not take.
    """

    operations: int
    taken: int
    parts: int
    left: Mapping[str, int]
    refused: tuple[str, ...]
    any_size: bool = False

    def __str__(self) -> str:
        text = f"{self.taken} of {self.operations} ops in XNNPACK"
        if self.parts > 1:
            text += f", {self.parts} parts"
        if self.left:
            text += f" (not {', '.join(f'{number} {name}' for name, number in self.left.items())})"
        if self.refused:
            return f"{text}; GPU delegate: lacks {', '.join(self.refused)}"
        return f"{text}; GPU delegate: has all{', once the file is of one size (--fixed_size)' * self.any_size}"


def measure_coverage(model: bytes) -> Coverage:
    """Returns the Coverage of a .tflite file, at 256x256 where it takes any size."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    image = next(detail for detail in interpreter.get_input_details() if len(detail["shape"]) == 4)
    any_size = -1 in image["shape_signature"]
    with silent_stderr():
        if any_size:
            interpreter.resize_tensor_input(image["index"], (1, _SIDE, _SIDE, 3))
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    own = [operator for operator in details if operator["op_name"] != _DELEGATE]
    parts = [operator for operator in details if operator["op_name"] == _DELEGATE]
    taken = set().union(*(_inside(part, own) for part in parts))
    left = Counter(operator["op_name"] for operator in own if operator["index"] not in taken)
    refused = _refused_by_gpu(interpreter, own)
    return Coverage(len(own), len(taken), len(parts), dict(left.most_common()), refused, any_size)


def _inside(part: Mapping[str, Any], operators: list[Mapping[str, Any]]) -> set[int]:
    """Returns which `operators` a delegate's `part` stands for: those between its outputs and its inputs.

    The interpreter keeps what it replaced in its list, and says of a part only which tensors go in and come out.
    """
    made_by = {tensor: operator for operator in operators for tensor in operator["outputs"].tolist()}
    edge, found = set(part["inputs"].tolist()), set()
    waiting = part["outputs"].tolist()
    while waiting:
        operator = made_by.get(waiting.pop())
        if operator is None or operator["index"] in found:
            continue
        found.add(operator["index"])
        waiting += [tensor for tensor in operator["inputs"].tolist() if tensor not in edge]
    return found


def _refused_by_gpu(interpreter: Any, operators: list[Mapping[str, Any]]) -> tuple[str, ...]:
    sizes = {detail["index"]: len(detail["shape"]) for detail in interpreter.get_tensor_details()}
    names = set()
    for operator in operators:
        tensors = [*operator["inputs"].tolist(), *operator["outputs"].tolist()]
        deep = any(sizes.get(tensor, 0) > _GPU_DIMENSIONS for tensor in tensors)
        if deep:
            names.add(f"{operator['op_name']} of more than {_GPU_DIMENSIONS} dimensions")
        elif operator["op_name"] not in _GPU_OPERATIONS:
            names.add(operator["op_name"])
    return tuple(sorted(names))
